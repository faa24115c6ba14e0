"""The recommended settings: the cheapest, and the most accurate, of those that keep a limit on late requests.

A setting keeps the limit if its mean SLA violations over the seeds do; this is unknown if no run has them. Only those
that keep it are recommended or called dominated: another is no worse in cost and accuracy, and shown to be better in
one of them. Settings are tied if the interval of their difference, seed by seed, reaches zero or, for a single seed, if
they are equal. The intervals are the simultaneous ones of `differences`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipa.sim import IntArray
from ipa.studies.intervals import Estimate
from ipa.studies.many.answers.differences import differences, on_front
from ipa.studies.many.answers.outcome import LATE_AT_MOST, USUAL, Outcome, find
from ipa.studies.many.answers.settings import Settings

COST, ACCURACY, LATE = find(USUAL, USUAL)

NAMES = ("policy", "system", "point")
"""Keys whose value alone names a setting."""

MOST_NAMED = 5
"""The most settings that a sentence names; for more it gives their number."""


@dataclass(frozen=True)
class Choice:
    """A setting with its figures over the seeds: cost [cores], accuracy [PAS; NaN: no request completed], late requests
    [%]."""

    name: str
    cost: Estimate
    accuracy: Estimate
    late: Estimate

    @property
    def text(self) -> str:
        """Its figures in words: `2.41 ± 0.05 cores, PAS 40.12, 0.31 % late`."""
        accuracy = "no PAS" if isnan(self.accuracy.mean) else f"PAS {self.accuracy.text(2)}"
        return f"{self.cost.text(2)} cores, {accuracy}, {self.late.text(2)} % late"


@dataclass(frozen=True)
class Recommendation:
    """Which setting to take if at most the share `late_at_most` of the requests may violate the SLA.

    `cheapest` and `most_accurate`: of the settings that keep the limit, None if none does. `tied_in_cost` and
    `tied_in_accuracy`: settings tied with these that also keep it and are not dominated. `dominated`: a setting that
    keeps the limit -> the one that dominates it. `late`: the settings that break it, the nearest first. `unknown`: the
    names of those without a figure of late requests. `settings`, `seeds`, `loads`: their numbers.
    """

    late_at_most: float
    settings: int
    seeds: int
    loads: int
    cheapest: Choice | None
    most_accurate: Choice | None
    tied_in_cost: tuple[Choice, ...]
    tied_in_accuracy: tuple[Choice, ...]
    dominated: dict[str, str]
    late: tuple[Choice, ...]
    unknown: tuple[str, ...]

    @property
    def sentences(self) -> list[str]:
        """The recommendation and its reasons, a sentence each."""
        parts = (self._first, self._accurate, self._ties, self._dominated, self._late, self._unknown)
        found = [*parts, self._unsure, self._over]
        return [sentence for sentence in found if sentence]

    def as_dict(self) -> dict[str, Any]:
        """The names and the sentences, JSON-able."""
        return {
            "late_at_most": self.late_at_most,
            "cheapest": None if self.cheapest is None else self.cheapest.name,
            "most_accurate": None if self.most_accurate is None else self.most_accurate.name,
            "tied_in_cost": [each.name for each in self.tied_in_cost],
            "tied_in_accuracy": [each.name for each in self.tied_in_accuracy],
            "dominated": self.dominated,
            "late": [each.name for each in self.late],
            "unknown": list(self.unknown),
            "sentences": self.sentences,
        }

    @property
    def _limit(self) -> str:
        return f"at most {100.0 * self.late_at_most:g} % late"

    @property
    def _first(self) -> str:
        taken = self.cheapest or next(iter(self.late), None)
        if taken is None:
            return ""
        if self.settings == 1:
            keeps = "keeps" if self.cheapest else "does not keep"
            return f"{taken.name} {keeps} {self._limit}: {taken.text}."
        if self.cheapest is None:
            return f"None keeps {self._limit}; the nearest is {taken.name}: {taken.text}, {self._above(taken)}."
        kept = self.settings - len(self.late) - len(self.unknown)
        which = f"the cheapest{' and most accurate' if self._is_same else ''} of {kept} that keep"
        return f"Take {taken.name}, {which if kept > 1 else 'the only one that keeps'} {self._limit}: {taken.text}."

    @property
    def _is_same(self) -> bool:
        both = (self.cheapest, self.most_accurate)
        return len({each.name for each in both if each is not None}) == 1

    @property
    def _accurate(self) -> str:
        most = self.most_accurate
        if most is None or self._is_same:
            return ""
        return f"The most accurate that keeps it is {most.name}: {most.text}."

    @property
    def _ties(self) -> str:
        found = []
        how = ", by intervals that hold together" if self.seeds > 1 and self.settings > 2 else ""
        for what, with_, tied in (
            ("cost", self.cheapest, self.tied_in_cost),
            ("accuracy", self.most_accurate, self.tied_in_accuracy),
        ):
            if tied and with_ is not None:
                names = _listed([each.name for each in tied])
                found.append(f"Not told apart from {with_.name} in {what}{how}: {names}.")
        return " ".join(found)

    @property
    def _dominated(self) -> str:
        pairs = [f"{name} by {other}" for name, other in self.dominated.items()]
        return f"Dominated (no cheaper and no more accurate): {_listed(pairs)}." if pairs else ""

    @property
    def _late(self) -> str:
        if self.cheapest is None or not self.late:
            return ""
        return f"Above the limit: {_listed([f'{each.name} ({each.late.text(2)} %)' for each in self.late])}."

    @property
    def _unknown(self) -> str:
        names = _listed(self.unknown)
        return f"Not known to keep {self._limit}, for want of a figure: {names}." if names else ""

    @property
    def _unsure(self) -> str:
        if self.seeds < 2:
            return "By one seed, without intervals." if self.settings > 1 else ""
        both = (self.cheapest, self.most_accurate)
        beyond = [each.name for each in both if each is not None and each.late.high > 100.0 * self.late_at_most]
        names = _listed(list(dict.fromkeys(beyond)))
        return f"Not shown to keep the limit, as their intervals reach beyond it: {names}." if names else ""

    @property
    def _over(self) -> str:
        return f"All figures are means over {self.loads} loads." if self.loads > 1 else ""

    def _above(self, choice: Choice) -> str:
        limit = 100.0 * self.late_at_most
        unsure = " by the mean, though its interval reaches the limit" if choice.late.low <= limit else ""
        return f"{choice.late.mean - limit:.2f} percentage points above it{unsure}"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MOST_NAMED
    comma = "; " if any(", " in name for name in names) else ", "
    return comma.join(names[:MOST_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")


def keeping(settings: Settings, late_at_most: float) -> IntArray:
    """The places of the settings whose means keep the limit; all if SLA violations are not among the outcomes."""
    if LATE.column not in settings.values:
        return np.arange(len(settings))
    return np.flatnonzero(settings.means[LATE.column] <= late_at_most)


def recommend(settings: Settings, late_at_most: float = LATE_AT_MOST) -> Recommendation | None:
    """Which of the settings to take; None if cost, accuracy or late requests are not among their outcomes."""
    if any(outcome.column not in settings.values for outcome in (COST, ACCURACY, LATE)):
        return None
    settings = settings.only(np.flatnonzero(np.isfinite(settings.means[COST.column])))
    kept = settings.only(keeping(settings, late_at_most))
    late = np.flatnonzero(settings.means[LATE.column] > late_at_most)
    unknown = np.flatnonzero(np.isnan(settings.means[LATE.column])).tolist()
    late = late[np.argsort(settings.means[LATE.column][late], kind="stable")]
    cheapest, most_accurate = _first(kept, COST, ACCURACY), _first(kept, ACCURACY, COST)
    dominated = _dominated(kept)
    return Recommendation(
        late_at_most,
        settings=len(settings),
        seeds=len(settings.seeds),
        loads=settings.loads,
        cheapest=None if cheapest is None else _choices(kept, [cheapest])[0],
        most_accurate=None if most_accurate is None else _choices(kept, [most_accurate])[0],
        tied_in_cost=_tied(kept, COST, cheapest, dominated),
        tied_in_accuracy=_tied(kept, ACCURACY, most_accurate, dominated),
        dominated={_name(kept, one): _name(kept, other) for one, other in dominated.items()},
        late=_choices(settings, late.tolist()),
        unknown=tuple(_name(settings, place) for place in unknown),
    )


def _name(settings: Settings, place: int) -> str:
    key, *others = settings.keys
    is_name = not others and key.name in NAMES
    return key.text(int(settings.codes[place, 0])) if is_name else settings.title(place)


def _choices(settings: Settings, places: Sequence[int]) -> tuple[Choice, ...]:
    found = []
    for outcome in (COST, ACCURACY, LATE):
        mean, low, high, _ = settings.bounds(outcome, np.array(places, dtype=np.int64))
        found.append([Estimate(*each) for each in zip(mean.tolist(), low.tolist(), high.tolist(), strict=True)])
    return tuple(Choice(_name(settings, place), *figures) for place, *figures in zip(places, *found, strict=True))


def _first(kept: Settings, outcome: Outcome, then: Outcome) -> int | None:
    """The setting with the best mean, ties decided by a further outcome; None if there is none."""
    keys = [each.sign * kept.means[each.column] for each in (then, outcome)]
    order = np.lexsort(keys)  # NaN comes last
    return int(order[0]) if np.isfinite(keys[1]).any() else None


def _tied(kept: Settings, outcome: Outcome, place: int | None, dominated: Mapping[int, int]) -> tuple[Choice, ...]:
    """The settings that are tied with the one at `place` and not dominated, the nearest first."""
    if place is None:
        return ()
    found = differences(kept, outcome, place)
    equals = found.equals if len(kept.seeds) > 1 else found.equals[found.mean[found.equals] == 0.0]
    return _choices(kept, [each for each in equals.tolist() if each not in dominated])


def _dominated(kept: Settings) -> dict[int, int]:
    """Dominated setting -> the cheapest setting on the front that dominates it."""
    means = [outcome.sign * kept.means[outcome.column] for outcome in (COST, ACCURACY)]
    front = np.flatnonzero(on_front(np.column_stack(means)))
    found: dict[int, int] = {}
    for place in front[np.argsort(means[0][front], kind="stable")].tolist():
        no_better, worse = np.ones(len(kept), dtype=bool), np.zeros(len(kept), dtype=bool)
        for outcome, mean in zip((COST, ACCURACY), means, strict=True):
            no_better &= mean >= mean[place]
            worse |= _is_worse(kept, outcome, place)
        found |= {each: place for each in np.flatnonzero(no_better & worse).tolist() if each not in found}
    return dict(sorted(found.items()))


def _is_worse(kept: Settings, outcome: Outcome, place: int) -> NDArray[np.bool_]:
    """Which settings are shown to be worse than the one at `place`; for a single seed, which ones are worse."""
    found = differences(kept, outcome, place)
    return found.is_worse if len(kept.seeds) > 1 else np.asarray(outcome.sign * found.mean > 0.0)
