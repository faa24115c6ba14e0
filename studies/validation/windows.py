"""The windows of a run, one per control interval, and how busy its stages were in each: the bands of utilisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

BANDS: tuple[tuple[str, float], ...] = (
    ("below 30 %", 0.30),
    ("30 to 60 %", 0.60),
    ("60 to 85 %", 0.85),
    ("above 85 %", float("inf")),
)
"""The bands of utilisation, each with its upper end, which it includes."""

JUDGED_UP_TO = 0.85
"""The highest utilisation at which a verdict is given: nearer to saturation small differences grow without bound."""


@dataclass(frozen=True)
class Windows:
    """Some of the windows between `edges_s` (shape (W + 1,)): those `chosen` (shape (W,))."""

    edges_s: FloatArray
    chosen: BoolArray

    @classmethod
    def all_of(cls, duration_s: float, width_s: float) -> Windows:
        """All windows of a duration; the last may be shorter."""
        inner = np.arange(0.0, duration_s - 1e-9, width_s)
        return cls(np.append(inner, duration_s), np.ones(len(inner), dtype=bool))

    def only(self, chosen: BoolArray) -> Windows:
        """The same windows with others chosen."""
        return Windows(self.edges_s, chosen)

    @property
    def total_s(self) -> float:
        """The total length of the chosen windows."""
        return float(np.diff(self.edges_s)[self.chosen].sum())

    def holds(self, time_s: FloatArray) -> BoolArray:
        """Which moments lie in a chosen window; shape of `time_s`. NaN never does."""
        place = np.searchsorted(self.edges_s, time_s, side="right") - 1
        inside = (place >= 0) & (place < len(self.chosen)) & np.isfinite(time_s)
        return inside & self.chosen[np.clip(place, 0, len(self.chosen) - 1)]

    def overlap_s(self, since_s: FloatArray, until_s: FloatArray) -> FloatArray:
        """For how long each span [since, until) lies in each window, chosen or not; shape (spans, W)."""
        starts, ends = self.edges_s[:-1], self.edges_s[1:]
        shared = np.minimum(until_s[:, None], ends[None, :]) - np.maximum(since_s[:, None], starts[None, :])
        return np.asarray(np.maximum(np.nan_to_num(shared, nan=0.0), 0.0), dtype=np.float64)


def utilisation(tables: Mapping[str, pd.DataFrame], windows: Windows) -> Mapping[str, FloatArray]:
    """Stage -> busy replica-seconds over ready ones in each window, shape (W,); 0 where none was ready.

    A replica that has been removed counts until its last batch is done.
    """
    stages, replicas = tables["stages"], tables["replicas"]
    served = stages[stages["batch"] >= 0].drop_duplicates(["stage", "batch"])
    found: dict[str, FloatArray] = {}
    for name in replicas["stage"].cat.categories:
        batches, own = served[served["stage"] == name], replicas[replicas["stage"] == name]
        finish_s = np.nan_to_num(batches["finish_s"].to_numpy(), nan=np.inf)
        busy_s = windows.overlap_s(batches["start_s"].to_numpy(), finish_s).sum(axis=0)
        last_s = batches.groupby("replica")["finish_s"].max().reindex(own["replica"]).to_numpy()
        removed_s = np.nan_to_num(own["removed_s"].to_numpy(), nan=np.inf)
        until_s = np.fmax(removed_s, last_s)
        ready_s = windows.overlap_s(own["ready_s"].to_numpy(), until_s).sum(axis=0)
        found[str(name)] = np.divide(busy_s, ready_s, out=np.zeros_like(busy_s), where=ready_s > 0.0)
    return found


def busiest(runs: Sequence[Mapping[str, pd.DataFrame]], windows: Windows) -> FloatArray:
    """The utilisation of the busiest stage in each window, the mean over runs; shape (W,)."""
    of_runs = [np.max(list(utilisation(tables, windows).values()), axis=0) for tables in runs]
    return np.asarray(np.mean(of_runs, axis=0), dtype=np.float64)


def by_band(busy: FloatArray, windows: Windows) -> dict[str, Windows]:
    """Band -> its windows, bands without any included."""
    found, below = {}, -1.0
    for name, up_to in BANDS:
        found[name] = windows.only((busy > below) & (busy <= up_to))
        below = up_to
    return found
