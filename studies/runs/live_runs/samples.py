"""The real models of a live run and the samples sent to them, checked before it starts, and the answers' accuracy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.live import Sample, holds_arrays, read_samples, rows_of
from ipa.live.profiling import variant_folder
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from ipa.profiles import Pipeline

EMULATED = "emulated"


@dataclass(frozen=True)
class Checked:
    """The answers to samples, by request, with the expected ones in `samples`; `folder` is that of the samples."""

    folder: str
    answers: Mapping[int, str]
    samples: tuple[Sample, ...]

    @cached_property
    def right(self) -> dict[int, float]:
        """Request -> the share of correct characters in its answer, if the correct answer is known."""
        accuracies: dict[tuple[str, str], float] = {}
        shares = {}
        for request, answer in self.answers.items():
            truth = self._truth(request)
            if truth is not None:
                if (answer, truth) not in accuracies:
                    accuracies[answer, truth] = character_accuracy([answer], [truth])
                shares[request] = accuracies[answer, truth]
        return shares

    def as_dict(self) -> dict[str, Any]:
        """For the manifest: the number of answers checked, and the share of correct characters in all of them."""
        lengths = {request: len(self._truth(request) or "") for request in self.right}
        total = sum(lengths.values())
        right = sum(self.right[request] * length for request, length in lengths.items())
        return {
            "samples": self.folder,
            "checked": len(self.right),
            "character_accuracy": round(right / total, 6) if total else None,
        }

    def _truth(self, request: int) -> str | None:
        return self.samples[request % len(self.samples)].answer


def check_models(models: str, pipeline: Pipeline) -> None:
    """Raise LiveError if one of the models is missing; any variant of them may be chosen."""
    if folder_of(models):
        for stage in pipeline.stages:
            for variant in stage.variants:
                variant_folder(Path(models), pipeline.name, stage.name, variant.name)


def check_samples(samples: str) -> None:
    """Raise LiveError if the samples are missing, ScenarioError for an invalid body."""
    if is_body(samples):
        read_body("models.samples", Path(samples))
    elif samples:
        (rows_of if holds_arrays(Path(samples)) else read_samples)(Path(samples))


def is_body(samples: str) -> bool:
    """Whether `samples` is a JSON file with one V2 inference request, which is sent repeatedly."""
    return Path(samples).suffix == ".json"


def read_body(option: str, path: Path) -> dict[str, Any]:
    """The V2 inference request in the file that an option names. Raises ScenarioError for any other file."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"{option} {path}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ScenarioError(
            f"{option} {path}:{error.lineno}: not valid JSON: {error.msg}, column {error.colno}"
        ) from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{option} {path}: not a text file (UTF-8)") from None
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"{option} {path}: not valid JSON: {error}") from None
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        raise ScenarioError(f"{option} {path}: should be a V2 inference request: an object with the key 'inputs'")
    body.pop("id", None)
    return dict(body)


def folder_of(models: str) -> str:
    """The absolute path of the folder of real models; empty: replicas are emulated. `models` as in `Live`."""
    return "" if models in ("", EMULATED) else str(Path(models).absolute())


def checked(samples: str, answers: Mapping[int, str]) -> Checked | None:
    """The answers of a run with the expected ones; None if no sample files were sent. `samples` as in `Live`."""
    if not samples or is_body(samples) or holds_arrays(Path(samples)):
        return None
    return Checked(samples, answers, tuple(read_samples(Path(samples))))


# ---- scores ----


def edit_distance(a: str, b: str) -> int:
    """The fewest insertions, removals and replacements of characters that turn `a` into `b` (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, other_letter in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (letter != other_letter))
    return row[-1]


def character_accuracy(answers: Sequence[str], truths: Sequence[str]) -> float:
    """1 - errors / characters over all texts; a text with more errors than characters counts as all wrong."""
    errors = sum(min(edit_distance(a, t), len(t)) for a, t in zip(answers, truths, strict=True))
    return 1.0 - errors / max(sum(map(len, truths)), 1)
