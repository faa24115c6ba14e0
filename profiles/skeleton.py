"""The text of a pipeline file with a known graph and figures to fill in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ipa.profiles.errors import ProfileError
from ipa.profiles.fields import MOST_LETTERS
from ipa.profiles.latencies import slug
from ipa.profiles.schema import PipelineFile
from ipa.profiles.yaml_file import parse_yaml, scalar_text, validate_document

FIGURES = "figures: []"
_ANY_FIGURES = "figures: [{cores: 1, batch: 1, mean_s: 1, p99_s: 1, throughput_rps: 1, from: not-measured}]"


@dataclass(frozen=True)
class Bone:
    """A stage without figures. `after`: the keys of each edge; those in `guessed` are marked to be filled in."""

    name: str
    task: str
    variant: str
    after: Sequence[Mapping[str, object]] = ()
    joins: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)
    guessed: Sequence[str] = ()


@dataclass(frozen=True)
class Imported:
    """The text of a pipeline file with figures to fill in, its name, and what it cannot express."""

    name: str
    text: str
    unsaid: tuple[str, ...]


def imported(name: str, source: str, bones: Sequence[Bone], unsaid: Sequence[str]) -> Imported:
    """A pipeline of stages from a file called `source`. ProfileError if they form no graph."""
    called = slug(name) or "imported"
    text = "\n".join(_lines(called, source, bones)) + "\n"
    try:
        validate_document(PipelineFile, parse_yaml(text.replace(FIGURES, _ANY_FIGURES), source))
    except ProfileError as error:  # the lines are not those of the source
        raise ProfileError(re.sub(r"^(.*?):\d+: ", r"\1: ", str(error), flags=re.MULTILINE)) from None
    return Imported(called, text, tuple(unsaid))


def _lines(name: str, source: str, bones: Sequence[Bone]) -> Iterator[str]:
    yield f"# From {source}. Fill in the figures of every variant, the accuracies, and what is marked `fill in`;"
    yield "# `ipa profile run` measures figures, `ipa pipeline check` says what is missing."
    yield from ("schema_version: 1", "kind: pipeline", f"name: {scalar_text(name)}")
    yield f"description: {scalar_text(f'imported from {source}')}"
    yield from ("", "provenance:", "  not-measured: {kind: assumed, why: fill in}", "", "stages:")
    for bone in bones:
        yield f"  - name: {scalar_text(bone.name)}"
        yield f"    task: {scalar_text(bone.task)}"
        yield "    accuracy_metric: accuracy"
        if bone.after:
            yield "    after:"
            for edge in bone.after:
                values = {key: scalar_text(value) if isinstance(value, str) else value for key, value in edge.items()}
                keys = ", ".join(f"{key}: {value}" for key, value in values.items())
                guessed = [key for key in edge if key in bone.guessed]
                yield f"      - {{{keys}}}" + (f"  # fill in: {', '.join(guessed)}" if guessed else "")
        else:
            yield "    after: []"
        if bone.joins:
            yield "    join: all"
        if bone.inputs:
            yield f"    inputs: {json.dumps(dict(bone.inputs), ensure_ascii=False)}"
        yield from ("    variants:", f"      - name: {scalar_text(bone.variant)}")
        yield "        accuracy: {value: 1.0, from: not-measured}  # fill in"
        yield f"        {FIGURES}  # fill in: cores, batch, mean_s, p99_s, throughput_rps, from"
    yield from ("", "accuracy: {combine: product}")


class Names:
    """Names of stages, none given twice."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def new(self, wanted: str) -> str:
        """The name as files have it, with a number where it is taken."""
        base = slug(wanted) or "stage"
        name, number = base, 1
        while name in self._given:
            number += 1
            name = f"{base[: MOST_LETTERS - 1 - len(str(number))].rstrip('-')}-{number}"
        self._given.add(name)
        return name
