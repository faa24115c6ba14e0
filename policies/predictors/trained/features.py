"""The features of learned predictors: the maxima of the last windows as published, and more of each window for ours.

Everything is computed row by row of an array of histories, so that a forecast is the same, bit for bit, whether it is
made alone or with others.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ipa.policies.seasons import AFTER_S, BEFORE_S, LAGS_S, Seasons

Floats = npt.NDArray[np.float64]

WINDOWS = 12
WINDOW_S = 10
HISTORY_S = WINDOWS * WINDOW_S
"""The published history: 2 minutes, as 12 windows of 10 s."""

PER_WINDOW = ("max", "mean", "deviation", "last", "log_variation", "log_horizon")
"""Our features of a window; the last two are the same for all windows of a history."""

PER_SEASON = ("busiest_rise", "mean_rise", "busiest", "busiest_today", "minute_today")
"""Our features of a season: how far the busiest of the seconds that followed, and their mean, lay above the two minutes
before; that busiest second; and this, and the mean of the minute that followed, if the load has the same ratio to the
two minutes before today."""

REFERENCE_HORIZON_S = 20.0

_LEAST_DEVIATION = 0.01
_LOG_VARIATION = (-2.0, 0.5)
_LOG_HORIZON = 1.5


def inputs_of(is_seasonal: bool) -> int:
    """The number of features of trees."""
    return WINDOWS * len(PER_WINDOW) + is_seasonal * len(LAGS_S) * len(PER_SEASON)


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
    found = np.empty((len(windows), WINDOWS, len(PER_WINDOW)))
    for place, load in enumerate((maxima(windows), mean, None, last)):
        if load is not None:
            found[:, :, place] = (load - level[:, None]) / scale[:, None]
    found[:, :, 2] = deviation / scale[:, None]
    found[:, :, 4] = np.clip(np.log10(scale / np.maximum(level, 1e-9)), *_LOG_VARIATION)[:, None]
    found[:, :, 5] = np.clip(np.log10(horizons_s / REFERENCE_HORIZON_S), -_LOG_HORIZON, _LOG_HORIZON)[:, None]
    return np.nan_to_num(found, copy=False, nan=0.0)


def by_lag(seasons: Seasons) -> Floats:
    """What came around the same second a day and a week ago as (1, len(LAGS_S), seconds), NaN where it is not known."""
    found = np.full((1, len(LAGS_S), BEFORE_S + AFTER_S), np.nan)
    for place, counts in enumerate(seasons):
        if counts:
            found[0, place] = counts
    return found


def seasons_before(counts_rps: Floats, seconds: npt.NDArray[np.int64]) -> Floats:
    """The same of many seconds of a load, shape (seconds, len(LAGS_S), BEFORE_S + AFTER_S)."""
    apart = np.arange(-BEFORE_S, AFTER_S) - np.array(LAGS_S)[:, None]
    places = seconds[:, None, None] + apart
    return np.where(places >= 0, counts_rps[np.maximum(places, 0)], np.nan)


def are_known(seasons: Floats) -> npt.NDArray[np.bool_]:
    """Whether each season of (forecasts, lags, seconds) is complete: no unknown second, and no minute without requests,
    which is a gap in the record."""
    by_minute = seasons.reshape(*seasons.shape[:2], -1, 60).sum(axis=-1)
    return np.asarray((by_minute > 0).all(axis=-1))


def seasonal(seasons: Floats, level: Floats, scale: Floats, horizons_s: Floats) -> Floats:
    """Features of seasons (forecasts, lags, seconds), shape (forecasts, lags x len(PER_SEASON)); 0 for an unknown one.

    Loads are as in `relative`. Of a horizon longer than `AFTER_S`, so much is looked at.
    """
    is_known = are_known(seasons)
    seasons = np.where(is_known[:, :, None], seasons, 1.0)
    before = seasons[:, :, :BEFORE_S].sum(axis=-1) / BEFORE_S
    after = seasons[:, :, BEFORE_S:]
    within = np.minimum(np.maximum(np.ceil(horizons_s), 1.0), AFTER_S)[:, None]
    is_ahead = (np.arange(AFTER_S) < within)[:, None, :]
    busiest = np.where(is_ahead, after, 0.0).max(axis=-1)
    mean = np.where(is_ahead, after, 0.0).sum(axis=-1) / within
    minute = after.sum(axis=-1) / AFTER_S
    level, scale = level[:, None], scale[:, None]
    ratio = level / before
    loads = (busiest - before, mean - before, busiest - level, busiest * ratio - level, minute * ratio - level)
    found = np.stack([load / scale for load in loads], axis=-1)
    found[~is_known] = 0.0
    return np.asarray(np.nan_to_num(found.reshape(len(seasons), -1), copy=False, nan=0.0))


def _moments(samples: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation along the last axis, of what is no NaN."""
    is_sample = ~np.isnan(samples)
    count = is_sample.sum(axis=-1).astype(np.float64)
    count[count == 0] = np.nan
    filled = np.where(is_sample, samples, 0.0)
    mean = filled.sum(axis=-1) / count
    apart = np.where(is_sample, samples - mean[..., None], 0.0)
    return mean, np.sqrt((apart * apart).sum(axis=-1) / count)
