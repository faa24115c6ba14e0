"""The features of learned predictors: the maxima of the last windows as published, and more of each window for ours.

Everything is computed row by row of an array of histories, so that a forecast is the same, bit for bit, whether it is
made alone or with others.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WINDOWS = 12
WINDOW_S = 10
HISTORY_S = WINDOWS * WINDOW_S
"""The published history: 2 minutes, as 12 windows of 10 s."""

PER_WINDOW = ("max", "mean", "deviation", "last", "log_variation", "log_horizon")
"""Our features of a window; the last two are the same for all windows of a history."""

REFERENCE_HORIZON_S = 20.0

_LEAST_DEVIATION = 0.01
_LOG_VARIATION = (-2.0, 0.5)
_LOG_HORIZON = 1.5


def by_window(histories: Floats) -> Floats:
    """The last two minutes of histories (forecasts, seconds) as (forecasts, windows, seconds), NaN where none is."""
    newest = histories[:, -HISTORY_S:]
    whole = np.full((len(histories), HISTORY_S), np.nan)
    whole[:, HISTORY_S - newest.shape[1] :] = newest
    return whole.reshape(len(histories), WINDOWS, WINDOW_S)


def maxima(windows: Floats) -> Floats:
    """The busiest second of each window [rps], shape (forecasts, windows); NaN for a window without a sample."""
    seconds = np.ascontiguousarray(windows.transpose(2, 0, 1))  # along the first axis, a third of the time
    return np.asarray(np.fmax.reduce(seconds, axis=0))


def level_and_scale(windows: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the seconds of each history [rps], shape (forecasts,); NaN without a sample.

    The deviation is at least 1 % of the mean, so that a constant load has a scale too.
    """
    seconds = windows.reshape(len(windows), -1)
    mean, deviation = _moments(seconds)
    return mean, np.maximum(np.maximum(deviation, _LEAST_DEVIATION * mean), 1e-9)


def relative(windows: Floats, level: Floats, scale: Floats, horizons_s: Floats) -> Floats:
    """Our features, shape (forecasts, windows, len(PER_WINDOW)).

    Loads are (load - level) / scale, so that a load ten times as large has the same features. A window without a
    sample counts as one at the level. The variation is scale / level, the horizon in units of 20 s; both as logarithms
    to the base 10, and within what models are trained on.
    """
    mean, deviation = _moments(windows)
    newest = WINDOW_S - 1 - np.argmax(~np.isnan(windows[:, :, ::-1]), axis=2, keepdims=True)
    last = np.take_along_axis(windows, newest, axis=2)[:, :, 0]
    features = np.empty((len(windows), WINDOWS, len(PER_WINDOW)))
    for place, load in enumerate((maxima(windows), mean, None, last)):
        if load is not None:
            features[:, :, place] = (load - level[:, None]) / scale[:, None]
    features[:, :, 2] = deviation / scale[:, None]
    features[:, :, 4] = np.clip(np.log10(scale / np.maximum(level, 1e-9)), *_LOG_VARIATION)[:, None]
    features[:, :, 5] = np.clip(np.log10(horizons_s / REFERENCE_HORIZON_S), -_LOG_HORIZON, _LOG_HORIZON)[:, None]
    return np.nan_to_num(features, copy=False, nan=0.0)


def _moments(samples: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation along the last axis, of what is no NaN."""
    is_sample = ~np.isnan(samples)
    count = is_sample.sum(axis=-1).astype(np.float64)
    count[count == 0] = np.nan
    filled = np.where(is_sample, samples, 0.0)
    mean = filled.sum(axis=-1) / count
    apart = np.where(is_sample, samples - mean[..., None], 0.0)
    return mean, np.sqrt((apart * apart).sum(axis=-1) / count)
