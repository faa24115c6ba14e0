"""Required bounds on figures, for continuous integration: `late<=0.01`, `cost<=20`, `latency_p99_s<=1.5`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from ipa.numbers import is_in_per_cent, quantity_of
from ipa.profiles import did_you_mean
from ipa.studies.intervals import Estimate, estimate_of
from ipa.studies.runs import columns
from ipa.studies.scenario import ScenarioError

SHORT = {"late": "sla_violation_rate", "cost": "cost_mean_cores", "pas": "pas_mean", "p99": "latency_p99_s"}
"""Short names of frequent columns."""

WORDS = ("pipeline", "policy", "trace", "seed", "engine", "records", "knows_future", "stage_accuracy_mean", "wall_s")
"""The keys of a summary that are not single figures of the table."""

FIGURES = tuple(name for name in columns.SUMMARY if name not in WORDS)
"""The columns of the table of runs that a requirement may name."""

_TEXT = re.compile(r"\s*(\w+)\s*(<=|>=)\s*(\S.*?)\s*")


@dataclass(frozen=True)
class Requirement:
    """A column of the table of runs whose mean over the seeds must be at most (else at least) `bound`."""

    column: str
    is_most: bool
    bound: float
    text: str

    def holds(self, estimate: Estimate | None) -> bool:
        """Whether it holds; False if no run has the figure."""
        return estimate is not None and (estimate.mean <= self.bound if self.is_most else estimate.mean >= self.bound)


def parse(text: str) -> Requirement:
    """The requirement in a text. Raises ScenarioError, with the allowed forms, for any other text."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise _no_requirement(text)
    name = match[1]
    if name not in SHORT and name not in FIGURES:
        names = (*SHORT, *FIGURES)
        allowed = did_you_mean(name, names) or f"; allowed: {', '.join(names)}"
        raise ScenarioError(f"{text!r}: no figure {name!r}{allowed}")
    column = SHORT.get(name, name)
    bound = quantity_of(match[3], column)
    if bound is None or not isfinite(bound):
        raise _no_requirement(text)
    if problem := bound_problem(column, bound):
        raise ScenarioError(f"{text!r}: {problem}")
    return Requirement(column, match[2] == "<=", bound, text.strip())


def bound_problem(column: str, bound: float) -> str:
    """Why a bound of a column of the table of runs is one in another unit, which always holds or never; else empty."""
    if column.endswith("_rate") and bound >= 1.0:
        return f"a share is below 1, such as 0.01 or 1 %; given {bound:g}"
    if is_in_per_cent(column) and 0.0 < bound < 1.0:
        return f"PAS is in per cent, such as 45 or 45 %; given {bound:g}"
    return ""


def _no_requirement(text: str) -> ScenarioError:
    return ScenarioError(f"{text!r}; allowed: FIGURE<=NUMBER or FIGURE>=NUMBER, such as late<=0.01 or late<=1 %")


def broken(required: Sequence[Requirement], runs: Iterable[tuple[str, Sequence[Mapping[str, Any]]]]) -> Iterator[str]:
    """A line for each broken requirement. `runs`: names of policies or points with the summaries of their seeds."""
    for name, summaries in runs:
        for requirement in required:
            estimate = estimate_of(requirement.column, summaries)
            if not requirement.holds(estimate):
                has = f"no {requirement.column}" if estimate is None else _text(estimate)
                yield f"required {requirement.text}: {name} has {has}"


def _text(estimate: Estimate) -> str:
    """A mean, with its interval if there is one: `0.0231 [0.02, 0.026]`."""
    is_wide = estimate.has_interval and estimate.low < estimate.high
    return f"{estimate.mean:.4g}" + (f" [{estimate.low:.3g}, {estimate.high:.3g}]" if is_wide else "")
