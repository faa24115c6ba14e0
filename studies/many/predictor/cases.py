"""The moments of a load at which forecasts are made: the load before and after each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ipa.policies import Observation
from ipa.studies.scenario import ScenarioError
from ipa.traces import Trace

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ForecastCases:
    """Moments between the seconds of a load: `history_s` seconds precede each, and `horizon_s` follow it.

    `counts_rps`: the requests of each second, including those before the trace; shape (seconds,). `place`: the index
    there of the second that begins at each moment; shape (moments,). `time_s`: the same moments in the trace's time.
    """

    counts_rps: Floats
    place: Places
    time_s: Floats
    history_s: int
    horizon_s: int

    def __len__(self) -> int:
        return len(self.place)

    @property
    def actual_rps(self) -> Floats:
        """The load of the busiest second of the horizon after each moment, shape (moments,)."""
        after = np.lib.stride_tricks.sliding_window_view(self.counts_rps, self.horizon_s)
        return np.asarray(after[self.place].max(axis=1))

    def observation(self, number: int, *, future: bool = False) -> Observation:
        """What a predictor sees at a moment: the load; with `future`, the next seconds."""
        place = int(self.place[number])
        after = self.counts_rps[place : place + self.horizon_s] if future else None
        return Observation(
            pipeline="",
            step=number,
            seed=0,
            time_s=float(self.time_s[number]),
            load_rps=tuple(self.counts_rps[place - self.history_s : place].tolist()),
            sample_age_s=0.0,
            limit_cores=None,
            stages={},
            future_rps=None if after is None else tuple(after.tolist()),
        )


def cases_of(
    trace: Trace,
    windows: Sequence[tuple[float, float]] | None = None,
    *,
    interval_s: int = 10,
    history_s: int = 120,
    horizon_s: int = 20,
    without_zeros: bool = False,
) -> ForecastCases:
    """The moments every `interval_s` from the start of each window, with horizons within it.

    `windows`: seconds of the trace (start, end); None: all of it. Histories may lie before the window, and before the
    trace if its history is known; otherwise the first moment is the first with a full history. `without_zeros`: seconds
    without a request are gaps in the recording and are removed first, as published.

    Raises ScenarioError for a window outside of the trace, and for windows without such a moment.
    """
    counts = np.concatenate([trace.history_counts, trace.per_second()])
    second = np.arange(len(counts)) - len(trace.history_counts)
    if without_zeros:
        counts, second = counts[counts > 0], second[counts > 0]
    spans = [(0.0, trace.duration_s)] if windows is None else windows
    moments = [
        np.arange(max(first, history_s), end - horizon_s + 1, interval_s)
        for first, end in (np.searchsorted(second, _checked(window, trace)) for window in spans)
    ]
    place = np.concatenate(moments)
    if not len(place):
        raise ScenarioError(
            f"{trace.name}: nothing to forecast: a forecast needs {history_s} s before it, and "
            f"{horizon_s} s after it (--horizon) within its window"
        )
    return ForecastCases(
        counts.astype(np.float64),
        place,
        second[place].astype(np.float64),
        history_s,
        horizon_s,
    )


def _checked(window: tuple[float, float], trace: Trace) -> tuple[float, float]:
    start_s, end_s = window
    if 0 <= start_s < end_s <= trace.duration_s:
        return start_s, end_s
    raise ScenarioError(
        f"window {start_s:.12g}:{end_s:.12g}: should end after its start and lie within the trace; {trace.name!r} has "
        f"seconds 0 to {trace.duration_s:.12g}"
    )
