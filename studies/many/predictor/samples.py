"""Training samples of a predictor: histories of a trace, and the busiest second that followed each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.policies.predictors.trained import TREES, features
from ipa.studies.scenario import ScenarioError

Floats = npt.NDArray[np.float64]

HORIZONS_S = (20, 10, 40, 60)
"""The horizons of a model that learns several; more than half of the samples have the first, published one."""

GAP_S = 60
"""This many seconds without a request are a gap in the recording; samples that overlap one are left out."""

LEAST_SAMPLES = {"training": (100, "train on"), "validation": (100, "validate with")}
"""The fewest samples of each part of a load, and their purpose."""

FOLDS = 5

_ROWS = 10_000


@dataclass(frozen=True)
class TrainingSamples:
    """Moments of a load: `ends` are their indices in `counts`, `horizons_s` their horizons."""

    counts: Floats
    ends: npt.NDArray[np.int64]
    horizons_s: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def only(self, chosen: npt.NDArray[Any]) -> TrainingSamples:
        """Some of the samples."""
        return TrainingSamples(self.counts, self.ends[chosen], self.horizons_s[chosen])

    @property
    def busiest_rps(self) -> Floats:
        """The busiest second of each horizon, shape (samples,)."""
        busiest = np.empty(len(self))
        for horizon_s in np.unique(self.horizons_s):
            has_horizon = self.horizons_s == horizon_s
            ahead = np.lib.stride_tricks.sliding_window_view(self.counts, horizon_s)
            busiest[has_horizon] = ahead[self.ends[has_horizon]].max(axis=1)
        return busiest

    def windows(self) -> Iterator[Floats]:
        """The histories by windows, as `features.by_window`, in blocks of some thousand."""
        before = np.lib.stride_tricks.sliding_window_view(self.counts, features.HISTORY_S)
        for first in range(0, len(self), _ROWS):
            ends = self.ends[first : first + _ROWS]
            yield features.by_window(before[ends - features.HISTORY_S])


def split(
    counts: npt.NDArray[np.int64], every_s: int, rng: np.random.Generator, horizons: int, ends_s: Mapping[str, int]
) -> dict[str, TrainingSamples]:
    """The samples of each part of a load, one every `every_s` seconds, with the first `horizons` of `HORIZONS_S`.

    `ends_s`: part -> its end. No forecast second is in two parts. Raises ScenarioError if a part has too few samples.
    """
    load = counts.astype(np.float64)
    parts = {}
    for name, (start, end) in zip(ends_s, pairwise((0, *ends_s.values())), strict=True):
        first_s = max(0, start - features.HISTORY_S)
        part = _samples(load[first_s:end], every_s, rng, horizons)
        least, purpose = LEAST_SAMPLES.get(name, (0, ""))
        if len(part) < least:
            raise ScenarioError(
                f"a load of {len(counts)} s gives {len(part)} samples to {purpose}; at least {least} are needed, "
                f"each of a history of {features.HISTORY_S} s and a horizon of {max(HORIZONS_S[:horizons])} s"
            )
        parts[name] = TrainingSamples(load, part.ends + first_s, part.horizons_s)
    return parts


def folds(
    counts: npt.NDArray[np.int64], every_s: int, rng: np.random.Generator, horizons: int
) -> Iterator[tuple[TrainingSamples, TrainingSamples, TrainingSamples]]:
    """For each of `FOLDS` parts of the load, the samples to train on, to stop with, and to calibrate with (the part).

    Another part that is not adjacent is to stop with, the rest to train on, without samples that share a second with
    those of the calibration part.
    """
    every = _samples(counts.astype(np.float64), every_s, rng, horizons)
    apart_s = features.HISTORY_S + max(HORIZONS_S[:horizons])
    parts = np.array_split(np.arange(len(every)), FOLDS)
    for number, part in enumerate(parts):
        is_apart = (every.ends < every.ends[part[0]] - apart_s) | (every.ends > every.ends[part[-1]] + apart_s)
        is_stop = np.isin(np.arange(len(every)), parts[number - 2])
        yield every.only(is_apart & ~is_stop), every.only(is_apart & is_stop), every.only(part)


def thinned(learnt: TrainingSamples, factor: int, share: int, rng: np.random.Generator) -> TrainingSamples:
    """Every `share`-th sample, in a load thinned by keeping each request with probability 1 / `factor`."""
    thinned_counts = rng.binomial(learnt.counts.astype(np.int64), 1.0 / factor)
    return TrainingSamples(thinned_counts.astype(np.float64), learnt.ends[::share], learnt.horizons_s[::share])


def _samples(counts: Floats, every_s: int, rng: np.random.Generator, horizons: int) -> TrainingSamples:
    allowed = HORIZONS_S[:horizons]
    ends = np.arange(features.HISTORY_S, len(counts) - max(allowed) + 1, every_s)
    others = rng.choice(allowed, len(ends))
    horizons_s = np.where(rng.random(len(ends)) < 0.5, allowed[0], others)
    before = np.concatenate([[0], np.cumsum(_is_gap(counts))])  # the number of gap seconds before each second
    is_whole = before[ends + max(allowed)] == before[ends - features.HISTORY_S]
    return TrainingSamples(counts, ends[is_whole], horizons_s[is_whole])


def _is_gap(counts: Floats) -> npt.NDArray[np.bool_]:
    """Whether each second is part of a gap."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (counts == 0).astype(np.int8), [0]])))
    is_gap = np.zeros(len(counts), dtype=bool)
    for start, end in edges.reshape(-1, 2):
        is_gap[start:end] = end - start >= GAP_S
    return is_gap


# Samples as inputs and targets of each kind of model.


@dataclass(frozen=True)
class Set:
    """A model's `inputs` and `targets`; a target in rps is `level` + `scale` x target."""

    inputs: Floats
    targets: Floats
    level: Floats
    scale: Floats

    @property
    def busiest_rps(self) -> Floats:
        return self.level + self.scale * self.targets


def set_of(samples: TrainingSamples, kind: str) -> Set:
    """The samples for a model of a kind."""
    parts, first = [], 0
    for windows in samples.windows():
        horizons_s = samples.horizons_s[first : first + len(windows)].astype(np.float64)
        first += len(windows)
        parts.append(_published(windows) if kind == "lstm" else _relative(windows, horizons_s))
    inputs, level, scale = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if kind == TREES:
        inputs = inputs.reshape(len(inputs), -1)
    return Set(inputs, (samples.busiest_rps - level) / scale, level, scale)


def joined(parts: Sequence[Set]) -> Set:
    """All samples of the parts."""
    return Set(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Set)))


def _published(windows: Floats) -> tuple[Floats, Floats, Floats]:
    return features.maxima(windows)[:, :, None], np.zeros(len(windows)), np.ones(len(windows))


def _relative(windows: Floats, horizons_s: Floats) -> tuple[Floats, Floats, Floats]:
    level, scale = features.level_and_scale(windows)
    return features.relative(windows, level, scale, horizons_s), level, scale
