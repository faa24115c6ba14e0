"""What forecasts were worth, given what came: pure functions of arrays of the same shape, in requests per second.

Each is a mean over the forecasts; NaN where there are none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def smape_percent(actual_rps: Floats, forecast_rps: Floats) -> float:
    """The symmetric mean absolute percentage error, from 0 to 200: the mean of 200 |f - a| / (|a| + |f|).

    As in the M3 competition (Makridakis and Hibon, 2000, International Journal of Forecasting 16). A forecast of 0 for
    a load of 0 has no error.
    """
    size = np.abs(actual_rps) + np.abs(forecast_rps)
    apart = np.abs(forecast_rps - actual_rps)
    return _mean(200.0 * np.divide(apart, size, out=np.zeros_like(size), where=size > 0))


def pinball_rps(actual_rps: Floats, quantile_rps: Floats, level: float) -> float:
    """The pinball loss of a forecast quantile q: the mean of level (a - q) where a > q, else of (1 - level) (q - a).

    Of all forecasts the true quantile has the least (Koenker and Bassett, 1978, Econometrica 46). At the level 0.5 it
    is half the mean absolute error.
    """
    short = actual_rps - quantile_rps
    return _mean(np.maximum(level * short, (level - 1.0) * short))


def under_share(actual_rps: Floats, forecast_rps: Floats) -> float:
    """The share of under-predictions, where more came than was forecast; of a true quantile about 1 - level."""
    return _mean(np.asarray(actual_rps > forecast_rps, dtype=np.float64))


def coverage(actual_rps: Floats, low_rps: Floats, high_rps: Floats) -> float:
    """The share of what came within an interval, ends included; 0.9 between the true quantiles at 0.05, 0.95."""
    return _mean(np.asarray((low_rps <= actual_rps) & (actual_rps <= high_rps), dtype=np.float64))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
