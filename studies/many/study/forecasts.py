"""How good the forecasts of a system were: their error against the busiest second that followed."""

from __future__ import annotations

import numpy as np

from ipa.studies.many.study.findings import Cell
from ipa.studies.scenario import find_trace

HORIZON_S = 20
"""The published predictor forecasts the busiest of so many seconds to come."""


def smape_percent(cell: Cell) -> float | None:
    """The symmetric mean absolute percentage error of the forecasts in force at the start of each bin of a timeline.

    100 x the mean of |forecast - busiest| / ((forecast + busiest) / 2), of the first seed; None without any forecast.
    """
    seed, outcome = next(iter(cell.outcomes.items()))
    counts = find_trace(cell.scenario.trace, seed, cell.scenario.time_hints).per_second()
    time_s, _, forecast_rps = outcome.timeline[:3]
    errors = []
    for start_s, forecast in zip(time_s.astype(np.int64), forecast_rps, strict=True):
        busiest = counts[start_s : start_s + HORIZON_S].max(initial=0)
        if np.isfinite(forecast) and forecast + busiest > 0:
            errors.append(abs(forecast - busiest) / ((forecast + busiest) / 2.0))
    return float(100.0 * np.mean(errors)) if errors else None
