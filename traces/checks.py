"""Checks of counts and times, and the error texts for invalid ones.

The caller (a trace, a file) adds the place of the bad number. Numbers that are too large are refused, as they nearly
always come from the wrong column.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ipa.errors import InputError

Counts = NDArray[np.int64]
Times = NDArray[np.float64]
Numbers = NDArray[Any]

MOST_PER_S = 10**9
"""The largest count of one second."""

LONGEST_S = 1e8
"""The longest trace [s], about three years; seconds since 1970 are larger."""


class TraceError(InputError):
    """A load that cannot be used; the text names the file or argument, the value and what is allowed."""


def bad_count(values: Numbers) -> tuple[int, str] | None:
    """The first index whose value is no count (a whole number from 0 to `MOST_PER_S`), and why."""
    good = (values >= 0) & (values <= MOST_PER_S) & (values == np.floor(values))
    fault = first_bad(values, good, "not a whole number")
    if fault and MOST_PER_S < values[fault[0]] < np.inf:
        return fault[0], f"{values[fault[0]]:.15g} is too large: a second has at most {MOST_PER_S:,} requests"
    return fault


def bad_time(values: Numbers, unit_s: float = 1.0) -> tuple[int, str] | None:
    """The first index whose value is no instant (0 <= t < `LONGEST_S`, in units of `unit_s` seconds), and why."""
    good = (values >= 0) & (values < LONGEST_S / unit_s)
    unit = "" if unit_s == 1.0 else f", here in units of {unit_s:g} s"
    return first_bad(values, good, f"too large: times are seconds since the trace's start, below {LONGEST_S:g}{unit}")


def first_bad(values: Numbers, good: NDArray[np.bool_], otherwise: str) -> tuple[int, str] | None:
    """The first index that is not good, and the reason: not finite, negative, or else the text `otherwise`."""
    if good.all():
        return None
    index = int(np.argmin(good))
    value = values[index].item()
    if not np.isfinite(value):
        return index, f"{value} is not a finite number"
    if value < 0:
        return index, f"{value:.15g} is negative"
    return index, f"{value:.15g} is {otherwise}"


def numbers(values: ArrayLike, subject: str) -> Numbers:
    """`values` as a one-dimensional array of numbers.

    Raises TraceError, with `subject` before the reason, if they are anything else.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise TraceError(f"{subject}: expected a flat sequence of numbers") from error
    if array.ndim != 1:
        raise TraceError(f"{subject}: expected one dimension, got {array.ndim}")
    if array.dtype.kind not in "iuf":
        raise TraceError(f"{subject}: expected numbers, got values of type {array.dtype}")
    return array
