"""Dropping settings early: one that is clearly worse on the first windows is not tried on all of them.

Settings meet the same windows in the same order, so that they can be compared window by window. After a quarter and
after half of the windows, a setting is dropped if it breaks a limit, or if the best ones so far are better in an aim,
by more than the one-sided 95 % Student bound of the mean difference leaves open. Several looks make errors likelier
than 5 %: what is dropped is at worst a good setting less among those found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, sqrt

import numpy as np
import numpy.typing as npt

from ipa.studies.many.tuning.wishes import Wishes

Columns = Mapping[str, npt.NDArray[np.float64]]
"""Outcome -> one value a run, in the order of the cases; NaN where a run has none."""

FEWEST = 4
"""Windows before the first look."""

LEVEL = 0.95


def looks(windows: int, seeds: int) -> list[int]:
    """After how many runs settings are looked at; the last is all of them."""
    shares = (ceil(windows / 4), ceil(windows / 2))
    return [seeds * count for count in shares if FEWEST <= count < windows] + [seeds * windows]


def is_hopeless(found: Columns, wishes: Wishes, defaults: Columns, best: Sequence[Columns]) -> bool:
    """Whether a setting, of which the first runs are known, is clearly out.

    `best`: the best settings so far that keep the limits, with all runs, as `defaults`. Where nothing has kept them
    yet, nothing is out: what breaks them least may be the best there is.
    """
    if not best:
        return False
    count = len(next(iter(found.values())))
    for limit in wishes.limits:
        known, at_hand = found[limit.outcome], defaults[limit.outcome][:count]
        bound = limit.value * at_hand if limit.of_defaults else np.full(count, limit.value)
        if _is_above_zero(known - bound if limit.is_most else bound - known):
            return True
    return any(_is_beaten(found, other, wishes, count) for other in best)


def _is_beaten(found: Columns, other: Columns, wishes: Wishes, count: int) -> bool:
    """Whether another setting is clearly better in every aim."""
    for aim in wishes.aims:
        worse = found[aim.outcome] - other[aim.outcome][:count]
        if not _is_above_zero(-worse if aim.is_most else worse):
            return False
    return True


def _is_above_zero(values: npt.NDArray[np.float64]) -> bool:
    """Whether the mean of what these are a sample of is above zero, by a one-sided Student bound."""
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return False
    from scipy.special import stdtrit

    half = float(stdtrit(len(known) - 1, LEVEL)) * float(known.std(ddof=1)) / sqrt(len(known))
    return bool(known.mean() > half)
