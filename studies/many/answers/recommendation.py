"""Which setting to take: what is asked (`demand`), which settings meet it in their runs, what is known of them, and one
sentence that says so, or why there is none.

A setting meets the demand if its means over the seeds keep every limit. Of those that do, the cheapest is taken, or the
most accurate if that is the aim. A setting that knows the load to come is a bound, and never taken.

A limit is shown to be kept if the interval of the figure ends within it. If the one on late requests is not, and too
little was seen to tell (`LEAST`), nothing is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, isfinite, isnan, nan
from typing import Any

import numpy as np

from ipa.sim import IntArray
from ipa.studies.intervals import BURST_S, HOUR_S, SURE, Estimate, runs_to_show, unseen
from ipa.studies.many.answers.demand import ACCURACY, COST, LATE, Demand, DemandLimit
from ipa.studies.many.answers.differences import dominated, tied
from ipa.studies.many.answers.outcome import Outcome, known_outcome
from ipa.studies.many.answers.settings import ComparedSettings, of_summaries

MEAN_LATE = known_outcome("sla_violation_rate")

NAMES = ("policy", "system", "point")
"""Keys whose value alone names a setting."""

MOST_NAMED = 5
"""The most settings that a sentence names; for more it gives their number."""

LEAST = 100
"""The fewest requests, and bursts of load, that tell anything of late ones: 1,000 s."""

MOST_SEEDS = 1000
"""The most seeds that are named as needed."""


@dataclass(frozen=True)
class RankedSetting:
    """A setting with its figures over the seeds: cost [cores], accuracy [PAS; NaN: no request completed], late requests
    of all and of those of the worst hour [%], and the number of requests of all runs."""

    name: str
    cost: Estimate
    accuracy: Estimate
    late: Estimate
    worst_hour: Estimate
    requests: float

    @property
    def text(self) -> str:
        """Its figures in words: `2.41 ± 0.05 cores, PAS 40.12, 0.31 % late`."""
        accuracy = "no PAS" if isnan(self.accuracy.mean) else f"PAS {self.accuracy.text(2)}"
        return f"{self.cost.text(2)} cores, {accuracy}, {self._late}"

    @property
    def _late(self) -> str:
        if self.late.mean == 0.0:
            return f"none of {self.requests:,.0f} requests late" if isfinite(self.requests) else "none late"
        hour = f", {self.worst_hour.text(2)} % in the worst hour" if self.has_hours else ""
        return f"{self.late.text(2)} % late{hour}"

    @property
    def has_hours(self) -> bool:
        """Whether the worst hour is not the whole run."""
        return self.worst_hour.mean != self.late.mean


@dataclass(frozen=True)
class Missed:
    """A setting that does not meet the demand: the limits that it misses, each with its figure over the seeds."""

    choice: RankedSetting
    limits: tuple[tuple[DemandLimit, Estimate], ...]

    @property
    def text(self) -> str:
        """The setting with the figures that miss a limit."""
        figures = [
            limit.figure(figure) + " in the worst hour" * (limit.outcome == LATE and self.choice.has_hours)
            for limit, figure in self.limits
        ]
        return f"{self.choice.name} ({', '.join(figures)})"

    @property
    def by(self) -> str:
        """By how much it misses each limit."""
        return " and ".join(limit.missed_by(figure) for limit, figure in self.limits)


@dataclass(frozen=True)
class Evidence:
    """What the runs show of the best setting that meets the demand.

    `late_at_most`: the upper end of the interval of late requests in any hour (NaN: none). `is_late_shown`: whether it
    is within the limit. `seeds_needed`: the number of seeds that would show it (inf: none would; NaN: unknown).
    `is_enough`: whether enough was seen to tell. `not_shown`: the other limits that the intervals reach beyond.
    """

    late_at_most: float
    is_late_shown: bool
    seeds_needed: float
    is_enough: bool
    not_shown: tuple[DemandLimit, ...]


@dataclass(frozen=True)
class Recommendation:
    """Which setting to take for a demand.

    `cheapest` and `most_accurate`: of the settings that meet it, None if none does. `tied_in_cost` and
    `tied_in_accuracy`: settings tied with these that also meet it and are not dominated. `dominated`: a setting that
    meets it -> the one that dominates it. `missed`: the settings that do not meet it, the nearest first. `unknown`: the
    names of those without a figure that is needed. `bounds`: the settings that know the load to come. `evidence`: of
    the `best`, None without one. `settings` (without bounds), `seeds`, `loads`: their numbers; `run_s`: the length of a
    run [s; NaN: runs differ].
    """

    demand: Demand
    settings: int
    seeds: int
    loads: int
    run_s: float
    cheapest: RankedSetting | None
    most_accurate: RankedSetting | None
    tied_in_cost: tuple[RankedSetting, ...]
    tied_in_accuracy: tuple[RankedSetting, ...]
    dominated: dict[str, str]
    missed: tuple[Missed, ...]
    unknown: tuple[str, ...]
    bounds: tuple[RankedSetting, ...]
    evidence: Evidence | None

    @property
    def best(self) -> RankedSetting | None:
        """The setting that meets the demand and is best for its aim, whether or not enough is known of it."""
        return self.most_accurate if self.demand.aim == "accuracy" else self.cheapest

    @property
    def choice(self) -> RankedSetting | None:
        """The setting to take; None: nothing meets the demand, or too little is known."""
        return self.best if self.evidence is not None and self.evidence.is_enough else None

    @property
    def sentences(self) -> list[str]:
        """The recommendation with what is known of it, or why there is none, in one sentence; then the reasons."""
        reasons = [self._other_aim, *self._ties, self._dominated] if self.choice else []
        rest = (self._left_out, self._unknown, self._bounds, *self.demand.notes, self._seeds, self._loads)
        return [sentence for sentence in (self._first, *reasons, *rest) if sentence]

    def as_dict(self) -> dict[str, Any]:
        """The names and the sentences, JSON-able."""
        return {
            "aim": self.demand.aim,
            "limits": [limit.text for limit in self.demand.limits],
            "late_at_most": self.demand.late.bound,
            "choice": None if self.choice is None else self.choice.name,
            "cheapest": None if self.cheapest is None else self.cheapest.name,
            "most_accurate": None if self.most_accurate is None else self.most_accurate.name,
            "tied_in_cost": [choice.name for choice in self.tied_in_cost],
            "tied_in_accuracy": [choice.name for choice in self.tied_in_accuracy],
            "dominated": self.dominated,
            "missed": {missed.choice.name: [limit.text for limit, _ in missed.limits] for missed in self.missed},
            "unknown": list(self.unknown),
            "bounds": [choice.name for choice in self.bounds],
            "sentences": self.sentences,
        }

    # ---- the sentences ----

    @property
    def _first(self) -> str:
        if self.best is None:
            return self._none
        if self.choice is None:
            return self._too_little(self.best)
        if self.settings == 1:
            return f"{self.choice.name} keeps {self._limits}: {self.choice.text}{self._known}."
        met = self.settings - len(self.missed) - len(self.unknown)
        which = "the only one that keeps" if met == 1 else f"the {self._superlative} of {met:,} that keep"
        return f"Take {self.choice.name}, {which} {self._limits}: {self.choice.text}{self._known}."

    @property
    def _limits(self) -> str:
        return self.demand.text + self._in_any_hour

    @property
    def _in_any_hour(self) -> str:
        return " in any hour" if self.run_s > HOUR_S else ""

    @property
    def _superlative(self) -> str:
        if self.demand.aim is None:
            return "cheapest and most accurate" if self._is_best_in_both else "cheapest"
        return {"cost": "cheapest", "accuracy": "most accurate"}[self.demand.aim]

    @property
    def _is_best_in_both(self) -> bool:
        choices = (self.cheapest, self.most_accurate)
        return len({choice.name for choice in choices if choice is not None}) == 1

    @property
    def _known(self) -> str:
        """What is known of the choice, as the rest of its sentence."""
        assert self.choice is not None
        assert self.evidence is not None
        words, late = "", self.evidence.late_at_most
        if self.choice.late.mean == 0.0 and isfinite(late):
            words = f", so at most {100.0 * late:.2f} %{self._in_any_hour} ({100.0 * SURE:g} % sure)"
        if not self.evidence.is_late_shown:
            words += self._seeds_needed
        limits = " and ".join(limit.text for limit in self.evidence.not_shown)
        return words + (f"; {limits} is not shown, as its interval reaches beyond" if limits else "")

    @property
    def _seeds_needed(self) -> str:
        assert self.evidence is not None
        needed, limit = self.evidence.seeds_needed, f"{100.0 * self.demand.late.bound:g} %"
        if isnan(needed):
            return ""
        if needed == inf:
            return f"; no number of seeds would show {limit}"
        return f"; {f'more than {MOST_SEEDS:,}' if needed > MOST_SEEDS else f'{needed:,.0f}'} seeds would show {limit}"

    def _too_little(self, best: RankedSetting) -> str:
        if best.requests == 0:
            return "Nothing is recommended: no request arrived."
        of_length = f" of {self.run_s:,.6g} s" if isfinite(self.run_s) else ""
        amount = f"{_counted(best.requests, 'request')} in {_counted(self.seeds * self.loads, 'run')}{of_length}"
        limit = f"{self.demand.late.text}{self._in_any_hour}"
        return f"Nothing is recommended: {amount} cannot tell {limit}{self._seeds_needed}."

    @property
    def _none(self) -> str:
        if not self.missed:
            return "" if self.unknown else "Nothing is recommended: all that is compared knows the load to come."
        nearest = self.missed[0]
        if self.settings == 1:
            return f"{nearest.choice.name} misses {nearest.by}: {nearest.choice.text}."
        named = f"the nearest is {nearest.choice.name}: {nearest.choice.text}"
        return f"None keeps {self._limits}; {named}, which misses {nearest.by}."

    @property
    def _other_aim(self) -> str:
        most = self.most_accurate
        if most is None or self._is_best_in_both or self.demand.aim is not None:
            return ""
        return f"The most accurate of them is {most.name}: {most.text}."

    @property
    def _ties(self) -> Iterator[str]:
        how = ", by intervals widened for so many" if self.seeds > 1 and self.settings > 2 else ""
        for aim, first, others in (
            ("cost", self.cheapest, self.tied_in_cost),
            ("accuracy", self.most_accurate, self.tied_in_accuracy),
        ):
            if others and first is not None and self.demand.aim in (None, aim):
                yield f"Not told apart from {first.name} in {aim}{how}: {listed([tie.name for tie in others])}."

    @property
    def _dominated(self) -> str:
        pairs = [f"{name} by {dominator}" for name, dominator in self.dominated.items()]
        return f"Dominated (no cheaper and no more accurate): {listed(pairs)}." if pairs else ""

    @property
    def _left_out(self) -> str:
        rest = self.missed if self.best is not None else self.missed[1:]
        return f"Left out: {listed([missed.text for missed in rest])}." if rest else ""

    @property
    def _unknown(self) -> str:
        names = listed(self.unknown)
        return f"Not known to keep {self._limits}, for want of a figure: {names}." if names else ""

    @property
    def _bounds(self) -> str:
        beginning = (
            "A bound and no choice, as it knows" if len(self.bounds) == 1 else "Bounds and no choices, as they know"
        )
        named = listed([f"{bound.name} ({bound.text})" for bound in self.bounds])
        return f"{beginning} the load to come: {named}." if named else ""

    @property
    def _seeds(self) -> str:
        return "By one seed, without intervals." if self.seeds < 2 and self.settings > 1 and self.choice else ""

    @property
    def _loads(self) -> str:
        return f"All figures are means over {self.loads} loads." if self.loads > 1 else ""


def listed(names: Sequence[str]) -> str:
    """At most `MOST_NAMED` names, and how many more there are."""
    rest = len(names) - MOST_NAMED
    comma = "; " if any(", " in name for name in names) else ", "
    return comma.join(names[:MOST_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")


def _counted(number: float, thing: str) -> str:
    return f"{number:,.0f} {thing}{'' if number == 1 else 's'}"


# ---- from settings to a recommendation ----


def recommend_policy(summaries: Mapping[str, Mapping[int, Mapping[str, Any]]], demand: Demand) -> Recommendation:
    """Which policy to take, from the summaries of its runs by seed."""
    further = (MEAN_LATE.column, *demand.columns)
    recommendation = recommend(of_summaries("policy", summaries, (COST, ACCURACY, LATE), further), demand)
    assert recommendation is not None, "every summary has cost, accuracy and late requests"
    return recommendation


def recommend(settings: ComparedSettings, demand: Demand) -> Recommendation | None:
    """Which of the settings to take; None if cost, accuracy or late requests are not among their figures."""
    if any(outcome.column not in settings.values for outcome in (COST, ACCURACY, LATE)):
        return None
    settings = settings.only(np.flatnonzero(np.isfinite(settings.means[COST.column])))
    choices, bounds = (
        settings.only(np.flatnonzero(is_of_kind)) for is_of_kind in (~settings.is_bound, settings.is_bound)
    )
    met = choices.only(meeting(choices, demand))
    cheapest, most_accurate = _best(met, COST, ACCURACY), _best(met, ACCURACY, COST)
    best = most_accurate if demand.aim == "accuracy" else cheapest
    worse = dominated(met, (COST, ACCURACY))
    ties = [
        tuple(_choice(met, place) for place in tied(met, outcome, first) if place not in worse)
        for outcome, first in ((COST, cheapest), (ACCURACY, most_accurate))
    ]
    return Recommendation(
        demand,
        settings=len(choices),
        seeds=len(settings.seeds),
        loads=settings.loads,
        run_s=_run_s(settings),
        cheapest=None if cheapest is None else _choice(met, cheapest),
        most_accurate=None if most_accurate is None else _choice(met, most_accurate),
        tied_in_cost=ties[0],
        tied_in_accuracy=ties[1],
        dominated={_name(met, loser): _name(met, dominator) for loser, dominator in worse.items()},
        missed=tuple(_missed(choices, demand)),
        unknown=tuple(_unknown(choices, demand)),
        bounds=tuple(_choice(bounds, place) for place in range(len(bounds))),
        evidence=None if best is None else _evidence(met, best, demand),
    )


def meeting(settings: ComparedSettings, demand: Demand) -> IntArray:
    """The places of the settings, bounds left out, whose means keep every limit."""
    excess = demand.excesses(settings.means, len(settings))
    return np.flatnonzero((excess <= 0.0).all(axis=0) & ~settings.is_bound)


def _missed(settings: ComparedSettings, demand: Demand) -> Iterator[Missed]:
    """The settings that miss a limit, the nearest first: by the sum of the shares by which limits are missed."""
    excess = demand.excesses(settings.means, len(settings))
    bounds = np.array([abs(limit.bound) or 1.0 for limit in demand.limits])
    far = np.nansum(np.maximum(excess, 0.0) / bounds[:, None], axis=0)
    places = np.flatnonzero((excess > 0.0).any(axis=0))
    for place in places[np.argsort(far[places], kind="stable")].tolist():
        limits = [demand.limits[number] for number in np.flatnonzero(excess[:, place] > 0.0).tolist()]
        figures = (_estimate(settings, limit.outcome, place) for limit in limits)
        yield Missed(_choice(settings, place), tuple(zip(limits, figures, strict=True)))


def _unknown(settings: ComparedSettings, demand: Demand) -> Iterator[str]:
    """The settings that miss no limit, but lack a figure."""
    excess = demand.excesses(settings.means, len(settings))
    for place in np.flatnonzero(np.isnan(excess).any(axis=0) & ~(excess > 0.0).any(axis=0)).tolist():
        yield _name(settings, place)


def _evidence(met: ComparedSettings, place: int, demand: Demand) -> Evidence:
    """What the runs show of a setting that meets the demand."""
    late, seeds, limit = _estimate(met, LATE, place), len(met.seeds), demand.late
    of_hour, hour_s, requests, span_s = (
        _size(met, name, place) for name in ("hour_requests", "hour_s", "requests", "duration_s")
    )
    high, most, needed = late.high / LATE.factor, limit.bound, nan
    if late.mean == 0.0 and isfinite(of_hour):
        high = float(unseen(np.array(of_hour), np.array(hour_s)))
        needed = runs_to_show(most, of_hour / seeds, hour_s / seeds)
    elif late.mean < LATE.factor * most < late.high:
        needed = float(ceil(seeds * ((late.high - late.mean) / (LATE.factor * most - late.mean)) ** 2))
    is_late_shown = high <= most
    return Evidence(
        high,
        is_late_shown,
        needed,
        is_enough=is_late_shown or isnan(requests) or min(span_s / BURST_S, requests) >= LEAST,
        not_shown=tuple(
            limit_of_demand
            for limit_of_demand in demand.limits
            if limit_of_demand.outcome != LATE
            and not limit_of_demand.is_shown(_estimate(met, limit_of_demand.outcome, place))
        ),
    )


def _best(met: ComparedSettings, outcome: Outcome, then: Outcome) -> int | None:
    """The setting with the best mean, ties decided by a further outcome; None if there is none."""
    keys = [by.sign * met.means[by.column] for by in (then, outcome)]
    order = np.lexsort(keys)  # NaN comes last
    return int(order[0]) if np.isfinite(keys[1]).any() else None


def _choice(settings: ComparedSettings, place: int) -> RankedSetting:
    mean_late = MEAN_LATE if MEAN_LATE.column in settings.values else LATE
    cost, accuracy, late, worst_hour = (
        _estimate(settings, outcome, place) for outcome in (COST, ACCURACY, mean_late, LATE)
    )
    return RankedSetting(_name(settings, place), cost, accuracy, late, worst_hour, _size(settings, "requests", place))


def _name(settings: ComparedSettings, place: int) -> str:
    key, *others = settings.keys
    is_name = not others and key.name in NAMES
    return key.text(int(settings.codes[place, 0])) if is_name else settings.title(place)


def _estimate(settings: ComparedSettings, outcome: Outcome, place: int) -> Estimate:
    mean, low, high, _ = settings.bounds(outcome, np.array([place]))
    return Estimate(float(mean[0]), float(low[0]), float(high[0]))


def _size(settings: ComparedSettings, name: str, place: int) -> float:
    """The sum of a size over the seeds of a setting; NaN if unknown."""
    sizes = settings.sizes.get(name)
    return nan if sizes is None or np.isnan(sizes[place]).all() else float(np.nansum(sizes[place]))


def _run_s(settings: ComparedSettings) -> float:
    """The length of a run; NaN if it is unknown or runs differ."""
    lengths_s = settings.sizes.get("duration_s", np.empty(0))
    different = np.unique(lengths_s[np.isfinite(lengths_s)]).tolist()
    return float(different[0]) / settings.loads if len(different) == 1 else nan
