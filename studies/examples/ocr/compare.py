"""Compares every answer of a live run with that of the same two variants run alone, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipa.errors import InputError
from ipa.live.profiling import variant_folder
from ipa.live.serving import folder_model
from ipa.studies.examples.ocr.model_folder import PIPELINE, STAGES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Wrong:
    """An answer that differs from that of its variants alone."""

    request: int
    variants: tuple[str, str]
    answer: str
    alone: str


@dataclass(frozen=True)
class Compared:
    """The numbers of compared answers by the pair of variants that served them, and the answers that differ.

    `unknown` counts answers whose record at the gateway, and with it the variants, was lost.
    """

    by_pair: dict[tuple[str, str], int]
    wrong: tuple[Wrong, ...]
    unknown: int

    @property
    def answers(self) -> int:
        """How many were compared."""
        return sum(self.by_pair.values())


def compare(run: Path, models: Path, samples: list[bytes]) -> Compared:
    """Compare the answers in a results folder; request k was sent sample k modulo their number.

    Raises InputError if the folder holds no live run with answers.
    """
    alone = _Alone(models, samples)
    by_pair: dict[tuple[str, str], int] = {}
    wrong, unknown = [], 0
    for request, pair, answer in _served(run):
        if pair is None:
            unknown += 1
            continue
        by_pair[pair] = by_pair.get(pair, 0) + 1
        expected = alone.text(request % len(samples), pair)
        if answer != expected:
            wrong.append(Wrong(request, pair, answer, expected))
    return Compared(by_pair, tuple(wrong), unknown)


class _Alone:
    """The answers of models, loaded on first use; each variant reads each page once."""

    def __init__(self, models: Path, samples: list[bytes]) -> None:
        self._models, self._samples = models, samples
        self._loaded: dict[tuple[str, str], Any] = {}
        self._lines: dict[tuple[int, str], bytes] = {}
        self._texts: dict[tuple[int, tuple[str, str]], str] = {}

    def text(self, sample: int, pair: tuple[str, str]) -> str:
        """The text that two variants read in a sample."""
        first, second = STAGES
        if (sample, pair) not in self._texts:
            if (sample, pair[0]) not in self._lines:
                inputs = {"image": _one(self._samples[sample])}
                self._lines[sample, pair[0]] = self._model(first, pair[0]).predict(inputs)["lines"][0, 0]
            inputs = {"lines": _one(self._lines[sample, pair[0]])}
            self._texts[sample, pair] = self._model(second, pair[1]).predict(inputs)["text"][0, 0].decode()
        return self._texts[sample, pair]

    def _model(self, stage: str, variant: str) -> Any:
        if (stage, variant) not in self._loaded:
            folder = variant_folder(self._models, PIPELINE, stage, variant)
            self._loaded[stage, variant] = folder_model(folder.path, 1).predictor
        return self._loaded[stage, variant]


def _one(content: bytes) -> Any:
    return np.array([[content]], dtype=object)


def _served(run: Path) -> Iterator[tuple[int, tuple[str, str] | None, str]]:
    """Request, variants (None: unknown) and answer of every completed request."""
    import pandas as pd

    tables = {name: run / f"{name}.parquet" for name in ("load", "stages", "replicas")}
    missing = [path for path in tables.values() if not path.is_file()]
    if missing:
        raise InputError(f"{missing[0]}: there is no such table: not the results of a live run")
    load, stages, replicas = (pd.read_parquet(path) for path in tables.values())
    if "answer" not in load:
        raise InputError(f"{tables['load']}: has no answers: the run sent no samples")
    completed = load[load["outcome"] == "completed"]
    variants = [_variants(stages, replicas, stage) for stage in STAGES]
    for request, answer in zip(completed["request"].tolist(), completed["answer"].tolist(), strict=True):
        first, second = (of_stage.get(request) for of_stage in variants)
        yield request, None if first is None or second is None else (first, second), answer


def _variants(stages: pd.DataFrame, replicas: pd.DataFrame, stage: str) -> dict[int, str]:
    """Request -> the variant that served it at a stage."""
    of_replica = replicas[replicas["stage"] == stage].set_index("replica")["variant"].astype(str).to_dict()
    visits = stages[(stages["stage"] == stage) & (stages["replica"] >= 0)]
    return {
        request: of_replica[replica]
        for request, replica in zip(visits["request"].tolist(), visits["replica"].tolist(), strict=True)
    }
