"""Real models on this machine, what is sent to them, and how right their answers were."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ipa.live import LiveError, Sample, holds_arrays, read_samples, rows_of
from ipa.live.profiling import variant_folder
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from ipa.profiles import Pipeline
    from ipa.studies.ocr import Page

EMULATED, OF_EXTRA = "emulated", "extra:ocr"
GENERATED = "generated pages"
PAGES, SEED = 100, 1_000_000
"""How many pages are made to be sent, and from which seed on: others than those that accuracies are measured on."""


@dataclass(frozen=True)
class Real:
    """What a run has that is real: the folder of its models and that of its samples; empty: none."""

    models: str = ""
    samples: str = ""


@dataclass(frozen=True)
class Checked:
    """The answers to samples, by request, beside what they should be; `folder` names where the samples are from."""

    folder: str
    answers: Mapping[int, str]
    samples: tuple[Sample, ...]

    @cached_property
    def right(self) -> dict[int, float]:
        """Request -> the share of characters that are right in its answer, where it is known what is right."""
        from ipa.studies.ocr import character_accuracy

        known: dict[tuple[str, str], float] = {}
        found = {}
        for request, answer in self.answers.items():
            truth = self._truth(request)
            if truth is not None:
                if (answer, truth) not in known:
                    known[answer, truth] = character_accuracy([answer], [truth])
                found[request] = known[answer, truth]
        return found

    def as_dict(self) -> dict[str, Any]:
        """For the manifest: how many answers were checked, and the share of all their characters that are right."""
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


def check_models(models: str, samples: str, on_cluster: bool, pipeline: Pipeline) -> None:
    """Raise LiveError for models or samples that are not there; both as in `Live`."""
    if models and on_cluster:
        raise LiveError("--models: a cluster has the models that `ipa live up --models` named")
    if models not in ("", EMULATED):
        _check_folder(Path(models), pipeline)
    if is_body(samples):
        read_body("--samples", Path(samples))
    elif samples:
        (rows_of if holds_arrays(Path(samples)) else read_samples)(Path(samples))


def is_body(samples: str) -> bool:
    """Whether what is to be sent is one V2 inference request in a file of JSON, again and again."""
    return Path(samples).suffix == ".json"


def read_body(option: str, path: Path) -> dict[str, Any]:
    """The V2 inference request of a file that an option names. Raises ScenarioError for what is none."""
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


def _check_folder(folder: Path, pipeline: Pipeline) -> None:
    """Every variant needs its folder: any of them may be chosen."""
    for stage in pipeline.stages:
        for variant in stage.variants:
            variant_folder(folder, pipeline.name, stage.name, variant.name)


@contextmanager
def real(models: str, samples: str, on_cluster: bool, pipeline: Pipeline, seed: int) -> Iterator[Real]:
    """What is real in a run, made where it comes with an extra, for as long as the run lasts. Raises LiveError.

    `models` and `samples` as in `Live`.
    """
    samples = str(Path(samples).absolute()) if samples else ""
    if on_cluster or models == EMULATED or pipeline.models != OF_EXTRA:
        yield Real("" if models in ("", EMULATED) else str(Path(models).absolute()), samples)
        return
    from ipa.live.ocr import make_model_folder
    from ipa.studies.ocr import write_pages

    with TemporaryDirectory(prefix="ipa-models-") as name:
        folder, pages = Path(models).absolute() if models else Path(name, "models"), Path(name, "pages")
        if not models:
            make_model_folder(folder, linked=True)
        if not samples:
            write_pages(PAGES, SEED + seed, pages)
        yield Real(str(folder), samples or str(pages))


def generated_pages(seed: int) -> list[Page]:
    """The pages that a run with this seed sends if it is given none."""
    from ipa.studies.ocr import pages

    return list(pages(PAGES, SEED + seed))


def checked(real: Real, samples: str, answers: Mapping[int, str]) -> Checked | None:
    """The answers of a run beside what they should be; None where no samples were sent. `samples` as in `Live`."""
    if not real.samples or is_body(samples) or holds_arrays(Path(real.samples)):
        return None
    return Checked(samples or GENERATED, answers, tuple(read_samples(Path(real.samples))))
