"""The goal of a tuning: an outcome to maximise or minimise, and limits to keep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan

from ipa.numbers import number_of, quantity_of
from ipa.profiles import did_you_mean
from ipa.studies.many.answers import demand_of_goal
from ipa.studies.many.requirements import bound_problem
from ipa.studies.scenario import Scenario, ScenarioError

OUTCOMES = (
    "sla_violation_rate",
    "sla_violation_worst_hour_rate",
    "sla_violation_seconds_rate",
    "cost_mean_cores",
    "pas_mean",
    "goodput_rps",
    "throughput_rps",
    "latency_mean_s",
    "latency_p50_s",
    "latency_p95_s",
    "latency_p99_s",
    "planned_cost_mean_cores",
    "planned_pas_mean",
    "dropped",
    "infeasible_decisions",
    "changes",
)
"""The figures of a run's summary that aims and limits may name."""

OF_TOKENS = ("ttft_p50_s", "ttft_p99_s", "tpot_p50_s", "tpot_p99_s")
"""More of these, of runs with language models."""

JUDGED = ("sla_violation_rate", "cost_mean_cores", "pas_mean")
"""The figures that are always reported."""

DEFAULTS = "defaults"
"""The word in a limit for the outcome of the default parameters."""

_LIMIT = re.compile(r"\s*(\w+)\s*(<=|>=)\s*(?:(?P<factor>[^*]+?)\s*\*\s*)?(?P<value>[^\s*]+(?: ?%| [a-z]+)?)\s*")

Outcomes = Mapping[str, float]
"""Outcome -> its mean over the runs of one setting; NaN if there is none."""


@dataclass(frozen=True)
class Aim:
    """An outcome to maximise (`is_most`) or else to minimise."""

    outcome: str
    is_most: bool = False

    def __str__(self) -> str:
        return f"{'maximise' if self.is_most else 'minimise'} {self.outcome}"

    def loss(self, value: float) -> float:
        """The outcome with the sign for minimising; infinity if there is none."""
        if isnan(value):
            return inf
        return -value if self.is_most else value


@dataclass(frozen=True)
class Limit:
    """An outcome must be at most (`is_most`) or else at least `value`, a multiple of the defaults' if `of_defaults`."""

    outcome: str
    is_most: bool
    value: float
    of_defaults: bool = False

    def __str__(self) -> str:
        factor = "" if self.value == 1.0 else f"{self.value:g}*"
        bound = f"{factor}{DEFAULTS}" if self.of_defaults else f"{self.value:g}"
        return f"{self.outcome}{'<=' if self.is_most else '>='}{bound}"

    def bound(self, defaults: float) -> float:
        """The bound, given the outcome of the defaults."""
        return self.value * defaults if self.of_defaults else self.value

    def excess(self, value: float, defaults: float) -> float:
        """How far an outcome is beyond the limit: at most 0 if it keeps it, infinity if there is no outcome."""
        if isnan(value):
            return inf
        bound = self.bound(defaults)
        return value - bound if self.is_most else bound - value


@dataclass(frozen=True)
class Wishes:
    """The aim and the limits."""

    aim: Aim
    limits: tuple[Limit, ...] = ()

    @property
    def outcomes(self) -> list[str]:
        """That of the aim, those of the limits, then `JUDGED`."""
        return list(dict.fromkeys([self.aim.outcome, *(limit.outcome for limit in self.limits), *JUDGED]))

    def are_kept(self, outcomes: Outcomes, defaults: Outcomes) -> bool:
        """Whether all limits are kept."""
        return all(limit.excess(outcomes[limit.outcome], defaults[limit.outcome]) <= 0.0 for limit in self.limits)

    def breach(self, outcomes: Outcomes, defaults: Outcomes) -> float:
        """The sum of the excesses over all limits, each relative to its bound; 0 if all are kept."""
        total = 0.0
        for limit in self.limits:
            excess = limit.excess(outcomes[limit.outcome], defaults[limit.outcome])
            total += max(0.0, excess) / (abs(limit.bound(defaults[limit.outcome])) or 1.0)
        return total


def wishes_of(
    minimise: str | None,
    maximise: str | None,
    limits: Sequence[str] = (),
    scenario: Scenario | None = None,
) -> Wishes:
    """The aim and the limits of command-line texts. Raises ScenarioError for an unknown outcome or an invalid limit.

    `scenario`: what its goal asks counts beside them, its aim unless there is another; None: none.
    """
    aim, demanded = (None, ()) if scenario is None else demand_of_goal(scenario)
    if minimise is None and maximise is None and aim is not None:
        minimise, maximise = ("cost_mean_cores", None) if aim == "cost" else (None, "pas_mean")
    if (minimise is None) == (maximise is None):
        raise ScenarioError("--minimise or --maximise: give one of them")
    first = (
        Aim(_known(minimise, "--minimise")) if minimise is not None else Aim(_known(maximise or "", "--maximise"), True)
    )
    of_goal = (Limit(limit.outcome.column, limit.is_most, limit.bound) for limit in demanded)
    return Wishes(first, (*map(parse_limit, limits), *of_goal))


def parse_limit(text: str) -> Limit:
    """The limit in a text: `OUTCOME<=NUMBER`, `OUTCOME>=defaults` or `OUTCOME<=0.5*defaults`.

    Raises ScenarioError, with the allowed forms, for any other text.
    """
    parts = _LIMIT.fullmatch(text)
    if parts is None:
        raise _no_limit(text)
    is_relative = parts["value"] == DEFAULTS
    value = number_of(parts["factor"] or "1") if is_relative else quantity_of(parts["value"], parts[1])
    if value is None or not isfinite(value) or (parts["factor"] and not is_relative):
        raise _no_limit(text)
    outcome = _known(parts[1], f"--slo {text}")
    if not is_relative and (problem := bound_problem(outcome, value)):
        raise ScenarioError(f"--slo {text}: {problem}")
    return Limit(outcome, parts[2] == "<=", value, is_relative)


def _no_limit(text: str) -> ScenarioError:
    return ScenarioError(
        f"--slo {text}: should be OUTCOME<=NUMBER or OUTCOME>=NUMBER, such as sla_violation_rate<=0.01, or a share of "
        f"what the defaults come to, such as cost_mean_cores<=0.9*{DEFAULTS}"
    )


def _known(outcome: str, option: str) -> str:
    if outcome not in (*OUTCOMES, *OF_TOKENS):
        raise ScenarioError(
            f"{option}: no outcome {outcome!r}{did_you_mean(outcome, (*OUTCOMES, *OF_TOKENS))}; allowed: "
            f"{', '.join((*OUTCOMES, *OF_TOKENS))}"
        )
    return outcome
