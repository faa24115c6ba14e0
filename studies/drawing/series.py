"""What the plots draw, as plain arrays: counted in bins, merged and thinned, so that a page stays small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ipa.studies.drawing.bins import FloatArray, bin_edges, bin_numbers, bin_s, round_up

if TYPE_CHECKING:
    import pandas as pd

MOST_STEPS = 1500
MOST_SEGMENTS = 500
MOST_CURVE_POINTS = 400

VIOLATIONS = ("late", "dropped", "failed", "unfinished")
"""The ways to violate the SLA; no request does so in more than one."""


# ---- counted in bins ----


def load_rps(requests: pd.DataFrame, duration_s: float) -> Steps:
    """Arrivals per second, counted by the second (in longer bins where the run is long)."""
    edges_s = bin_edges(duration_s, round_up(max(1.0, duration_s / MOST_STEPS)))
    arrival_s = requests["arrival_s"].to_numpy(dtype=np.float64)
    counts = np.bincount(bin_numbers(arrival_s, edges_s), minlength=len(edges_s) - 1)
    return Steps(edges_s, counts / np.diff(edges_s))


def latency_quantiles_s(
    requests: pd.DataFrame, duration_s: float, quantiles: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """The middles of the bins, and the quantiles (shape: quantiles, bins) of the requests that arrived in each.

    Of completed requests; NaN in a bin without one.
    """
    edges_s = bin_edges(duration_s, bin_s(duration_s))
    completed = requests[requests["outcome"] == "completed"]
    latency_s = completed["latency_s"].to_numpy(dtype=np.float64)
    number = bin_numbers(completed["arrival_s"].to_numpy(dtype=np.float64), edges_s)
    result = np.full((len(quantiles), len(edges_s) - 1), np.nan)
    for found in np.unique(number):
        result[:, found] = np.quantile(latency_s[number == found], quantiles)
    return (edges_s[:-1] + edges_s[1:]) / 2.0, result


def violation_counts(
    requests: pd.DataFrame, duration_s: float, sla_s: float
) -> tuple[FloatArray, dict[str, NDArray[np.int64]]]:
    """The edges of the bins, and the requests arrived in each that violated the SLA, by how."""
    edges_s = bin_edges(duration_s, bin_s(duration_s))
    number = bin_numbers(requests["arrival_s"].to_numpy(dtype=np.float64), edges_s)
    outcome = requests["outcome"].to_numpy(dtype=str)
    outcome = np.where(requests["latency_s"].to_numpy(dtype=np.float64) > sla_s, "late", outcome)
    return edges_s, {kind: np.bincount(number[outcome == kind], minlength=len(edges_s) - 1) for kind in VIOLATIONS}


# ---- steps ----


@dataclass(frozen=True)
class Steps:
    """A figure that holds value[i] from edges_s[i] until edges_s[i + 1]; one edge more than values."""

    edges_s: FloatArray
    value: FloatArray

    @property
    def line(self) -> tuple[FloatArray, FloatArray]:
        """Times and values for a line that keeps each value until the next time."""
        return self.edges_s, np.append(self.value, self.value[-1:])

    def thinned(self) -> Steps:
        """The same, or where there are too many steps their time-means in bins."""
        if len(self.value) <= MOST_STEPS:
            return self
        integral = np.concatenate([[0.0], np.cumsum(np.diff(self.edges_s) * self.value)])
        edges_s = np.linspace(self.edges_s[0], self.edges_s[-1], MOST_STEPS + 1)
        at_edges = np.interp(edges_s, self.edges_s, integral)
        return Steps(edges_s, np.diff(at_edges) / np.diff(edges_s))


def existing_cores(replicas: pd.DataFrame, duration_s: float) -> Steps:
    """The cores of all existing replicas: from creation until gone, within the duration."""
    cores = replicas["cores"].to_numpy(dtype=np.float64)
    created_s = replicas["created_s"].to_numpy(dtype=np.float64)
    gone_s = replicas["gone_s"].to_numpy(dtype=np.float64)
    ever = np.isfinite(created_s) & (created_s < duration_s)
    moments_s = np.concatenate([created_s[ever], np.nan_to_num(gone_s[ever], nan=np.inf)])
    change = np.concatenate([cores[ever], -cores[ever]])
    within = moments_s < duration_s
    edges_s, place = np.unique(np.append(moments_s[within], 0.0), return_inverse=True)
    changes = np.bincount(place, weights=np.append(change[within], 0.0))
    return Steps(np.append(edges_s, duration_s), np.cumsum(changes)).thinned()


def decided(decisions: pd.DataFrame, column: str, duration_s: float) -> Steps | None:
    """A figure of the decisions over time, from the first that has it; None where none has."""
    steps = decisions.drop_duplicates("step")
    steps = steps[np.isfinite(steps[column].to_numpy(dtype=np.float64))]
    if steps.empty:
        return None
    edges_s = np.append(steps["time_s"].to_numpy(dtype=np.float64), duration_s)
    return Steps(edges_s, steps[column].to_numpy(dtype=np.float64)).thinned()


# ---- segments of a band ----


@dataclass(frozen=True)
class Segment:
    """A time in which the same was decided for a stage."""

    start_s: float
    end_s: float
    variant: str
    batch: int
    replicas: int


def segments(decisions: pd.DataFrame, stage: str, duration_s: float) -> list[Segment]:
    """What was decided for a stage, equal neighbours as one; of too many, those in force at evenly spaced moments."""
    rows = decisions[decisions["stage"] == stage]
    time_s = rows["time_s"].to_numpy(dtype=np.float64)
    wanted = list(zip(rows["variant"], rows["batch"], rows["replicas"], strict=True))
    if len(wanted) > MOST_SEGMENTS:
        moments_s = np.linspace(time_s[0], duration_s, MOST_SEGMENTS, endpoint=False)
        in_force = np.searchsorted(time_s, moments_s, side="right") - 1
        time_s, wanted = moments_s, [wanted[row] for row in in_force]
    starts = [row for row, now in enumerate(wanted) if row == 0 or now != wanted[row - 1]]
    ends_s = [float(time_s[row]) for row in starts[1:]] + [duration_s]
    return [
        Segment(float(time_s[row]), end_s, str(wanted[row][0]), int(wanted[row][1]), int(wanted[row][2]))
        for row, end_s in zip(starts, ends_s, strict=True)
    ]


# ---- the distribution of latencies ----


def latency_curve(tables: Sequence[pd.DataFrame], sla_s: float) -> tuple[FloatArray, FloatArray]:
    """Latencies in increasing order, and the share in percent of *all* requests that took no longer.

    A request that never completed is never counted, so that the height at the SLA is the share without violation.
    The curve is thinned to evenly spaced ranks, closer at the slow end, and the one at the SLA.
    """
    latency_s = np.sort(np.concatenate([table["latency_s"].dropna().to_numpy(dtype=np.float64) for table in tables]))
    total, count = sum(len(table) for table in tables), len(latency_s)
    if count == 0:
        return np.empty(0), np.empty(0)
    rank = np.arange(count)
    if count > MOST_CURVE_POINTS:
        bulk = np.linspace(0, count - 1, MOST_CURVE_POINTS * 3 // 4)
        slow = count - np.geomspace(1, count / 20, MOST_CURVE_POINTS // 4 - 1)
        at_sla = max(int(np.searchsorted(latency_s, sla_s, side="right")) - 1, 0)
        rank = np.unique(np.concatenate([bulk, slow, [at_sla]]).astype(np.int64))
    return latency_s[rank], 100.0 * (rank + 1) / total
