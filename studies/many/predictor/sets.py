"""Samples as what each kind of model sees and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from ipa.policies.predictors.trained import TREES, features
from ipa.studies.many.predictor.samples import Floats, Samples


@dataclass(frozen=True)
class Set:
    """`inputs` for a model, and `targets` it should answer with; a target in rps is `level` + `scale` x that."""

    inputs: Floats
    targets: Floats
    level: Floats
    scale: Floats

    @property
    def busiest_rps(self) -> Floats:
        return self.level + self.scale * self.targets


def of(samples: Samples, kind: str) -> Set:
    """The samples for a model of a kind."""
    parts, first = [], 0
    for windows in samples.windows():
        horizons_s = samples.horizons_s[first : first + len(windows)].astype(np.float64)
        first += len(windows)
        parts.append(_published(windows) if kind == "lstm" else _relative(windows, horizons_s))
    inputs, level, scale = (np.concatenate(each) for each in zip(*parts, strict=True))
    if kind in TREES:
        inputs = inputs.reshape(len(inputs), -1)
    if kind == "seasonal-gbm":
        inputs = np.hstack([inputs, _seasonal(samples, level, scale)])
    return Set(inputs, (samples.busiest_rps - level) / scale, level, scale)


def _seasonal(samples: Samples, level: Floats, scale: Floats) -> Floats:
    parts, first = [], 0
    for seasons in samples.seasons():
        of = slice(first, first + len(seasons))
        parts.append(features.seasonal(seasons, level[of], scale[of], samples.horizons_s[of].astype(np.float64)))
        first += len(seasons)
    return np.concatenate(parts)


def joined(parts: Sequence[Set]) -> Set:
    """All of their samples."""
    return Set(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Set)))


def _published(windows: Floats) -> tuple[Floats, Floats, Floats]:
    return features.maxima(windows)[:, :, None], np.zeros(len(windows)), np.ones(len(windows))


def _relative(windows: Floats, horizons_s: Floats) -> tuple[Floats, Floats, Floats]:
    level, scale = features.level_and_scale(windows)
    return features.relative(windows, level, scale, horizons_s), level, scale
