"""Profiled figures as the text of a pipeline file: a new one, or an existing one with everything else unchanged."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ipa.profiles.errors import ProfileError
from ipa.profiles.figures import Figure
from ipa.profiles.language_model import StepTime
from ipa.profiles.latencies import Latencies, LatencyRow
from ipa.profiles.pipeline import AGAINST, Pipeline, Provenance
from ipa.profiles.schema import PipelineFile
from ipa.profiles.stage import START_UP_S, Stage
from ipa.profiles.yaml_file import parse_yaml, scalar_text, validate_document

_TEXT_OF = {"measured": "source", "interpolated": "law", "assumed": "why"}
"""Kinds of provenance -> the key of their text; others are calibrated, and have two."""


@dataclass(frozen=True)
class ProfiledVariant:
    """The measurements of a variant; None or empty: not measured, and the file's value stays.

    `source` is the provenance key of what is no figure: start-up and memory; `step_source` that of the step, of a
    language model, which has no figures.
    """

    stage: str
    variant: str
    figures: tuple[Figure, ...]
    source: str
    start_up_s: float | None = None
    memory_mb: float | None = None
    step: StepTime | None = None
    step_source: str = ""


def new_pipeline_text(
    name: str, description: str, variants: Sequence[ProfiledVariant], provenance: Mapping[str, Provenance]
) -> str:
    """The text of a pipeline file with these variants, in their order. Accuracies, which were not measured, are 1."""
    lines = [
        "schema_version: 1",
        "kind: pipeline",
        f"name: {scalar_text(name)}",
        f"description: {json.dumps(description)}",
        "",
    ]
    lines += ["provenance:", "  not-measured:", "    kind: assumed"]
    lines += ["    why: nobody has measured the accuracies yet; until then they weigh the same", "", "stages:"]
    for stage in dict.fromkeys(variant.stage for variant in variants):
        lines += [
            f"  - name: {scalar_text(stage)}",
            f"    task: {scalar_text(stage)}",
            "    accuracy_metric: accuracy",
            "    variants:",
        ]
        for variant in variants:
            if variant.stage == stage:
                lines += [
                    f"      - name: {scalar_text(variant.variant)}",
                    "        accuracy: {value: 1.0, from: not-measured}",
                ]
                lines += ["        figures: []"]
    return profiled_text("\n".join(lines) + "\n", name, variants, provenance)


def profiled_text(
    text: str,
    path: str,
    variants: Sequence[ProfiledVariant],
    provenance: Mapping[str, Provenance],
) -> str:
    """The text of a pipeline file with the figures of these variants in place of theirs.

    `provenance` holds the new keys; unused ones are removed. Comments and all else stay. ProfileError if the result
    would not be valid, as with base cores that are no longer profiled.
    """
    edits = _Edits(text)
    root = _mapping(yaml.compose(text, Loader=yaml.BaseLoader))
    for variant in variants:
        node_of_variant = _named(_named(root, "stages", variant.stage), "variants", variant.variant)
        if variant.step is None:
            edits.set(node_of_variant, "figures", [_row(figure) for figure in variant.figures])
        else:
            edits.set(node_of_variant, "step", f"{{{step_text(variant.step)}, from: {variant.step_source}}}")
        if variant.start_up_s is not None:
            edits.leave_out(node_of_variant, "start_up_s")
            edits.set(
                node_of_variant,
                "start_up",
                f"{{seconds: {variant.start_up_s!r}, from: {variant.source}}}",
                after="accuracy",
            )
        if variant.memory_mb is not None:
            edits.set(
                node_of_variant,
                "memory_mb",
                f"{{value: {variant.memory_mb!r}, from: {variant.source}}}",
                after="accuracy",
            )
    for key, origin in provenance.items():
        edits.add(_mapping(_value(root, "provenance")), key, origin)
    written = _without_unused(edits.text())
    profiled_pipeline(written, path)
    return written


def profiled_pipeline(text: str, path: str) -> Pipeline:
    """The pipeline of a file's text. ProfileError if it is not valid."""
    return validate_document(PipelineFile, parse_yaml(text, path)).pipeline()


def step_text(step: StepTime) -> str:
    """The keys of a step, in flow style."""
    return (
        f"base_s: {step.base_s:.5g}, per_token_s: {step.per_token_s:.5g}, "
        f"per_cached_token_s: {step.per_cached_token_s:.5g}"
    )


def _row(figure: Figure) -> str:
    sources = {"mean": figure.mean_from, "p99": figure.p99_from, "throughput": figure.throughput_from}
    same = len(set(sources.values())) == 1
    origin = figure.mean_from if same else "{" + ", ".join(f"{key}: {name}" for key, name in sources.items()) + "}"
    within = {"mean": figure.mean_within, "p99": figure.p99_within}
    margins = ", ".join(f"{key}: {value:.4f}" for key, value in within.items() if value is not None)
    return (
        f"{{cores: {figure.cores}, batch: {figure.batch}, mean_s: {figure.mean_s!r}, p99_s: {figure.p99_s!r}, "
        f"throughput_rps: {figure.throughput_rps!r}, from: {origin}"
        + (f", within: {{{margins}}}" if figure.mean_within is not None else "")
        + "}"
    )


# ---- the text ----


class _Edits:
    """Pieces of a text to be replaced, found by the nodes of its YAML."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._edits: list[tuple[int, int, str]] = []

    def text(self) -> str:
        """The text with all edits; those at one place in the order in which they were made."""
        parts, at = [], 0
        for start, end, new in sorted(self._edits, key=lambda edit: edit[:2]):
            parts += [self._text[at:start], new]
            at = end
        return "".join(parts) + self._text[at:]

    def set(self, mapping: yaml.MappingNode, key: str, value: str | Sequence[str], *, after: str = "") -> None:
        """Give a key of a mapping a value in flow style, or a list of such; a key that is new comes after another."""
        names = {name.value: (name, node) for name, node in mapping.value}
        column = " " * mapping.value[0][0].start_mark.column
        if isinstance(value, str) or mapping.flow_style:
            new = ": " + (value if isinstance(value, str) else f"[{', '.join(value)}]")
        else:
            new = ":" + "".join(f"\n{column}  - {item}" for item in value)
        if key in names:
            node, old = names[key]
            self._edits.append((node.end_mark.index, _end(old, self._text), new))
        elif mapping.flow_style:
            at = _end(names[after][1], self._text)
            self._edits.append((at, at, f", {key}{new}"))
        else:
            at = self._line_end(names[after][1])
            self._edits.append((at, at, f"\n{column}{key}{new}"))

    def leave_out(self, mapping: yaml.MappingNode, key: str) -> None:
        """Remove a key of a mapping that has others before it, if it is there."""
        before: yaml.Node | None = None
        for name, value in mapping.value:
            if name.value == key and before is not None:
                start, end = _end(before, self._text), _end(value, self._text)
                if not mapping.flow_style:
                    start, end = self._text.rfind("\n", 0, name.start_mark.index), self._line_end(value)
                self._edits.append((start, end, ""))
            before = value

    def add(self, provenance: yaml.MappingNode, key: str, origin: Provenance) -> None:
        """Add an entry to the provenance, which is not empty."""
        last = provenance.value[-1][1]
        if provenance.flow_style:
            at = _end(last, self._text)
            texts = "".join(f", {name}: {json.dumps(text)}" for name, text in _texts(origin).items())
            self._edits.append((at, at, f", {key}: {{kind: {origin.kind}{texts}}}"))
            return
        column = " " * provenance.start_mark.column
        lines = [f"{key}:", f"  kind: {origin.kind}"]
        for name, text in _texts(origin).items():
            wrapped = textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)
            lines += [f"  {name}: >-", *(f"    {line}" for line in wrapped)]
        at = self._line_end(last)
        self._edits.append((at, at, "".join(f"\n{column}{line}" for line in lines)))

    def _line_end(self, node: yaml.Node) -> int:
        end = self._text.find("\n", _end(node, self._text))
        return len(self._text) if end < 0 else end


def _texts(origin: Provenance) -> Mapping[str, str]:
    """Key of an entry of the provenance -> its text."""
    if origin.kind in _TEXT_OF:
        return {_TEXT_OF[origin.kind]: origin.text}
    how, _, against = origin.text.partition(AGAINST)
    return {"against": against, "how": how}


def _without_unused(text: str) -> str:
    """The text without the entries of the provenance that nothing names."""
    used = set(_sources(parse_yaml(text, "").data))
    root = _mapping(yaml.compose(text, Loader=yaml.BaseLoader))
    provenance = _mapping(_value(root, "provenance"))
    used_entries = [(key, value) for key, value in provenance.value if key.value in used]
    if len(used_entries) == len(provenance.value):
        return text
    if provenance.flow_style:
        entries = ", ".join(text[key.start_mark.index : _end(value, text)] for key, value in used_entries)
        return text[: provenance.start_mark.index] + f"{{{entries}}}" + text[provenance.end_mark.index :]
    for key, value in reversed(provenance.value):
        if key.value not in used:
            start = text.rfind("\n", 0, key.start_mark.index)
            end = text.find("\n", _end(value, text))
            text = text[:start] + (text[end:] if end >= 0 else "\n")
    return text


def _sources(data: object) -> Iterator[str]:
    """Every provenance key that is named in a file's data."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "from":
                yield from value.values() if isinstance(value, dict) else [value]
            elif key != "provenance":
                yield from _sources(value)
    elif isinstance(data, list):
        for item in data:
            yield from _sources(item)


def _mapping(node: yaml.Node | None) -> yaml.MappingNode:
    assert isinstance(node, yaml.MappingNode)
    return node


def _value(mapping: yaml.MappingNode, key: str) -> yaml.Node:
    node: yaml.Node = next(value for name, value in mapping.value if name.value == key)
    return node


def _named(mapping: yaml.MappingNode, key: str, name: str) -> yaml.MappingNode:
    """The item of a list of mappings that has this name."""
    for item in _value(mapping, key).value:
        if _value(item, "name").value == name:
            return _mapping(item)
    raise ProfileError(f"{key}: none is called {name!r}")


def _end(node: yaml.Node, text: str) -> int:
    """Where a value's own text ends, without the comments and empty lines behind it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last, text)
    end: int = node.end_mark.index
    while end > node.start_mark.index and text[end - 1].isspace():
        end -= 1
    return end


def pipeline_text(table: Latencies, name: str) -> str:
    """The text of a valid pipeline file of that name.

    Numbers are those of the table. `provenance` explains the missing ones: a throughput is batch / mean_s, a start-up
    the rule's. SLAs, base cores and defaults follow from the rules, each in a comment with its value. ProfileError if
    the rules find no base cores for a variant.
    """
    text = "\n".join(_body(table, name)) + "\n"
    try:
        pipeline = validate_document(PipelineFile, parse_yaml(text, table.path)).pipeline()
    except ProfileError as error:
        raise ProfileError(re.sub(r"^(.*?):\d+: ", r"\1: ", str(error), flags=re.MULTILINE)) from None
    for stage in pipeline.stages:
        rules = "".join(f"    {line}\n" for line in _stage_rules(stage))
        text = text.replace(f"  # the rules of {stage.name}\n", rules)
    return text + "\n".join(_defaults(pipeline)) + "\n"


def _body(table: Latencies, name: str) -> Iterator[str]:
    source = scalar_text(" and ".join(Path(file).name for file in table.files))
    rows = [row for variants in table.stages.values() for measured in variants.values() for row in measured]
    accuracies = "in per cent" if table.in_percent else "as fractions"
    yield f"# Made from {source}: {len(rows)} measurements, accuracies {accuracies}."
    yield "# Every line that is commented out says what a rule gives: edit it and take the # away to say otherwise."
    yield "# `ipa pipeline check` checks this file and explains its rules."
    yield from ("schema_version: 1", "kind: pipeline", f"name: {scalar_text(name)}")
    yield f"description: {scalar_text(' then '.join(table.stages) + ', measured')}"
    yield ""
    yield _beside("provenance:", "where the numbers come from")
    yield f"  measured: {{kind: measured, source: {source}}}"
    if any(row.throughput_rps is None for row in rows):
        yield "  served: {kind: interpolated, law: throughput_rps = batch / mean_s}"
    yield ""
    yield "stages:"
    for stage, variants in table.stages.items():
        yield f"  - name: {scalar_text(stage)}"
        yield f"    task: {scalar_text(stage)}"
        first = next(iter(variants.values()))[0]
        yield f"    accuracy_metric: {scalar_text(first.accuracy_metric or 'accuracy')}"
        yield f"  # the rules of {stage}"
        yield "    variants:"
        for variant, measured in variants.items():
            yield from _variant(variant, measured)
        yield ""


def _variant(name: str, rows: Sequence[LatencyRow]) -> Iterator[str]:
    yield f"      - name: {scalar_text(name)}"
    yield f"        accuracy: {{value: {rows[0].accuracy!r}, from: measured}}"
    start_up_s = rows[0].start_up_s
    if start_up_s is None:
        yield f"        # start_up: {{seconds: {START_UP_S:g}, from: measured}}"
    else:
        yield f"        start_up: {{seconds: {start_up_s!r}, from: measured}}"
    yield "        figures:"
    for row in sorted(rows, key=lambda row: (row.cores, row.batch)):
        yield f"          - {_row(row.figure())}"


def _stage_rules(stage: Stage) -> Iterator[str]:
    yield _beside(f"# sla: {{pinned_s: {stage.sla_s:.6g}, why: ...}}", "25 x the mean p99 at batch 1 and most cores")
    yield _beside(f"# threshold_rps: {stage.threshold_rps!r}", "what the fewest cores that keep the SLA carry")


def _defaults(pipeline: Pipeline) -> Iterator[str]:
    defaults = pipeline.defaults
    yield "# What policies use unless told otherwise; any key may be left out."
    yield "# defaults:"
    yield _beside(f"#   load_rps: {defaults.load_rps:g}", "a usual forecast, for which the rules are made")
    yield _beside(f"#   alpha: {defaults.alpha:g}", "of accuracy; low and high are worth the same then")
    yield _beside(f"#   beta: {defaults.beta:g}", "of a core")
    yield _beside(f"#   load_margin: {defaults.load_margin:g}", "planned load = forecast x (1 + margin)")
    yield _beside("#   scale_only:", "low: the lightest variants, high: the most accurate that keep the SLA")
    for label, chosen in defaults.scale_only.items():
        yield f"#     {label}: {_flow_mapping(chosen)}"
    yield "#   # replicas with which the lightest variants carry 1.5 x load_rps:"
    yield f"#   switch_only_replicas: {_flow_mapping(defaults.switch_only_replicas)}"


def _beside(text: str, comment: str) -> str:
    return f"{text:<33} # {comment}"


def _flow_mapping(values: Mapping[str, object]) -> str:
    shown = (f"{key}: {scalar_text(value) if isinstance(value, str) else value}" for key, value in values.items())
    return "{" + ", ".join(shown) + "}"
