"""Outcomes: the result columns of a table of runs, with their titles and whether less or more is better."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ipa.profiles import did_you_mean, listed
from ipa.studies.scenario import ScenarioError

Better = Literal["less", "more"]


@dataclass(frozen=True)
class Outcome:
    """A column of a table of runs. `column` x `factor` is shown in `unit`, rounded to `decimals`.

    `is_rate`: it is never below 0, so its intervals end there.
    """

    column: str
    title: str
    better: Better
    unit: str = ""
    factor: float = 1.0
    decimals: int = 2
    is_rate: bool = True

    @property
    def sign(self) -> float:
        """1 if less is better, else -1; a figure times this sign is better if it is less."""
        return 1.0 if self.better == "less" else -1.0

    @property
    def axis(self) -> str:
        """The title of an axis: `cost [cores]`."""
        return f"{self.title} [{self.unit}]" if self.unit else self.title

    @property
    def best(self) -> str:
        """The best value in words: `lowest cost`."""
        return f"{'lowest' if self.better == 'less' else 'highest'} {self.title}"


KNOWN = (
    Outcome("cost_mean_cores", "cost", "less", "cores"),
    Outcome("pas_mean", "PAS", "more"),
    Outcome("sla_violation_rate", "SLA violations", "less", "%", 100.0),
    Outcome("sla_violation_worst_hour_rate", "SLA violations of the worst hour", "less", "%", 100.0),
    Outcome("goodput_rps", "goodput", "more", "rps"),
    Outcome("latency_mean_s", "mean latency", "less", "s"),
    Outcome("latency_p50_s", "median latency", "less", "s"),
    Outcome("latency_p95_s", "latency p95", "less", "s"),
    Outcome("latency_p99_s", "latency p99", "less", "s"),
    Outcome("ttft_p50_s", "median time to first token", "less", "s", 1.0, 3),
    Outcome("ttft_p99_s", "time to first token, p99", "less", "s", 1.0, 3),
    Outcome("tpot_p50_s", "median time per further token", "less", "s", 1.0, 4),
    Outcome("tpot_p99_s", "time per further token, p99", "less", "s", 1.0, 4),
    Outcome("gpus_mean", "GPUs", "less"),
    Outcome("cost_core_s", "cost of the run", "less", "core-s", 1.0, 0),
    Outcome("planned_cost_mean_cores", "planned cost", "less", "cores"),
    Outcome("planned_pas_mean", "planned PAS", "more"),
    Outcome("dropped", "dropped requests", "less", "", 1.0, 1),
    Outcome("failed", "failed requests", "less", "", 1.0, 1),
    Outcome("unfinished", "unfinished requests", "less", "", 1.0, 1),
    Outcome("infeasible_decisions", "infeasible decisions", "less", "", 1.0, 1),
    Outcome("below_accuracy_decisions", "decisions with too little accuracy", "less", "", 1.0, 1),
    Outcome("above_cores_decisions", "decisions with too many cores", "less", "", 1.0, 1),
    Outcome("overloaded_decisions", "decisions for too much load", "less", "", 1.0, 1),
    Outcome("changes", "changes", "less", "", 1.0, 1),
)
"""The outcomes that a run's summary has."""

USUAL = ("cost_mean_cores", "pas_mean", "sla_violation_rate")
"""The default outcomes."""

LATE_AT_MOST = 0.01
"""The default limit on the share of SLA violations of a recommended setting."""


OF_STAGE = "stage_accuracy_mean"
"""The figure of a summary that has a value for each stage; `stage_accuracy_mean.STAGE` names that of one."""


def known_outcome(column: str) -> Outcome:
    """The outcome in a column of a run's summary; of a column that is none of `KNOWN`, under its own name."""
    if column.startswith(f"{OF_STAGE}."):
        return Outcome(column, f"accuracy of {column.partition('.')[2]}", "more")
    return next((outcome for outcome in KNOWN if outcome.column == column), Outcome(column, column, "less"))


def figure_of(run: Mapping[str, Any], column: str) -> Any:
    """A figure of a run's summary, or of its row in a table; None if it is not there.

    In results without the worst hour, the share of all late requests stands for it.
    """
    if column in run:
        return run[column]
    if column == "sla_violation_worst_hour_rate":
        return run.get("sla_violation_rate")
    by_stage = run.get(OF_STAGE)
    if isinstance(by_stage, str):  # a table has it as JSON
        by_stage = json.loads(by_stage)
    return by_stage.get(column.partition(".")[2]) if isinstance(by_stage, Mapping) else None


def has_figure(columns: Collection[str], column: str) -> bool:
    """Whether a table with these columns has a figure of its runs (see `figure_of`)."""
    is_of_stage = column.startswith(f"{OF_STAGE}.") and OF_STAGE in columns
    is_replaced = column == "sla_violation_worst_hour_rate" and "sla_violation_rate" in columns
    return column in columns or is_of_stage or is_replaced


def find(outcomes: Iterable[str | Outcome], columns: Sequence[str]) -> tuple[Outcome, ...]:
    """The outcomes, given as such or by column name. Raises ScenarioError for an unknown one or a missing column."""
    by_column = {outcome.column: outcome for outcome in KNOWN}
    chosen = []
    for outcome in outcomes:
        if isinstance(outcome, str):
            if outcome not in by_column:
                raise ScenarioError(
                    f"outcomes: {outcome!r} is none that is known{did_you_mean(outcome, list(by_column))}; allowed: "
                    f"{listed(list(by_column))}, or an Outcome that says whether less of it is better"
                )
            outcome = by_column[outcome]
        if outcome.column not in columns:
            raise ScenarioError(
                f"outcomes: the table has no column {outcome.column!r}{did_you_mean(outcome.column, columns)}"
            )
        chosen.append(outcome)
    if not chosen:
        raise ScenarioError("outcomes: none is given; at least one is needed")
    return tuple(chosen)
