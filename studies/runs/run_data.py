"""The interface of every finished run, whether simulated, live or read back, and its description."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ipa.studies.displayed import Displayed
from ipa.studies.scenario import ScenarioError
from ipa.studies.series import latencies_of

if TYPE_CHECKING:
    import pandas as pd

    from ipa.policies import Entry
    from ipa.sim import FloatArray
    from ipa.studies.scenario import Scenario


Figure = tuple[str, str, float, int]
"""A figure of a policy: title, key of the summary, factor, digits."""

FIGURES: tuple[Figure, ...] = (
    ("PAS", "pas_mean", 1.0, 2),
    ("cores", "cost_mean_cores", 1.0, 2),
    ("violations %", "sla_violation_rate", 100.0, 2),
    ("p50 s", "latency_p50_s", 1.0, 2),
    ("p99 s", "latency_p99_s", 1.0, 2),
    ("dropped", "dropped", 1.0, 0),
    ("changes", "changes", 1.0, 0),
)
"""The main figures of a policy."""

WORST_HOUR: Figure = ("worst hour %", "sla_violation_worst_hour_rate", 100.0, 2)
OF_TOKENS: tuple[Figure, ...] = (("TTFT p99 s", "ttft_p99_s", 1.0, 2), ("TPOT p99 ms", "tpot_p99_s", 1000.0, 1))
GPUS: Figure = ("GPUs", "gpus_mean", 1.0, 2)
INFEASIBLE: Figure = ("infeasible", "infeasible_decisions", 1.0, 0)

HOUR_S = 3600.0


def figures_of(summaries: Collection[Mapping[str, Any]]) -> tuple[Figure, ...]:
    """The figures that a table of these runs shows: the main ones, the worst hour's violations if runs are longer than
    an hour, times of tokens where there are language models, and infeasible decisions if there are any."""
    shown = list(FIGURES)
    if any(summary.get("ttft_p99_s") is not None for summary in summaries):
        shown[-2:-2] = OF_TOKENS
    if any("gpus_mean" in summary for summary in summaries):
        shown.insert(2, GPUS)
    if any(summary.get("infeasible_decisions") for summary in summaries):
        shown.insert(-1, INFEASIBLE)
    if any(is_longer_than_an_hour(summary) for summary in summaries):
        shown.insert(shown.index(FIGURES[2]) + 1, WORST_HOUR)
    return tuple(shown)


def is_longer_than_an_hour(summary: Mapping[str, Any]) -> bool:
    """Whether the worst hour of a run is not the whole run."""
    return bool(summary["duration_s"] > HOUR_S) and summary.get(WORST_HOUR[1]) is not None


def marked(name: str, summary: Mapping[str, Any]) -> str:
    """A policy's name for people: one that knows the load to come is a bound, and no choice."""
    return f"{name} (bound)" if summary.get("knows_future") else name


_UNMET = (
    ("below_accuracy_decisions", "too little accuracy in"),
    ("above_cores_decisions", "too many cores in"),
    ("uncovered_decisions", "fewer late requests asked for than the forecast's quantiles cover in"),
    ("overloaded_decisions", "the load not carried within the SLA and the limits in"),
)
"""Counts of decisions that could not keep something, and what that is."""


def unmet(name: str, summaries: Collection[Mapping[str, Any]]) -> str:
    """In how many decisions of some runs the goal, a limit or the SLA could not be kept; empty if in none."""
    infeasible = sum(summary.get("infeasible_decisions", 0) for summary in summaries)
    if not infeasible:
        return ""
    decisions = sum(summary["decisions"] for summary in summaries)
    counts = [(reason, sum(summary.get(key, 0) for summary in summaries)) for key, reason in _UNMET]
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts if count)
    return f"{name}: in {infeasible:,} of {decisions:,} decisions not all that is asked could be kept: {reasons}."


class RunData(Protocol):
    """A finished run, just made or read back: its scenario, summary, tables, accuracies and journal."""

    @property
    def scenario(self) -> Scenario: ...

    @property
    def starts_at(self) -> datetime | None:
        """The wall-clock start of the load; None if it has none."""
        ...

    @property
    def loss(self) -> str:
        """The warning for a live run that lost too many requests; empty for any other."""
        ...

    @property
    def entries(self) -> Sequence[Entry]:
        """The journal. Raises ScenarioError if it cannot be read, PolicyError if it is damaged."""
        ...

    @property
    def summary(self) -> Mapping[str, Any]: ...

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]: ...

    @property
    def latencies(self) -> FloatArray:
        """The latencies of completed requests, as `latencies_of` has them."""
        ...

    @property
    def accuracies(self) -> Mapping[str, Mapping[str, float]]:
        """Stage -> variant -> accuracy."""
        ...


class DisplayedRun(Displayed):
    """What every run has by its tables, and how notebooks and consoles show it."""

    PAGE = "comparison"

    @property
    def latencies(self: RunData) -> FloatArray:
        """The latencies of completed requests, as `latencies_of` has them."""
        return latencies_of(self.tables)

    def __repr__(self: RunData) -> str:
        return "\n  ".join([f"{type(self).__name__} of {run_title(self.summary)}", *run_lines(self.summary)])


def age_of_metrics(scenario: Scenario) -> str:
    """How old the metrics are that policies see; empty if they are of the moment."""
    return f"{scenario.metrics_delay_s:g} s old" if scenario.metrics_delay_s else ""


def check_records(records: str) -> None:
    """Raise ScenarioError for runs without records, which cannot be drawn."""
    if records == "none":
        raise ScenarioError("a report needs records, but records is none; use records: sample, or all")


def has_records(run: RunData) -> bool:
    """Whether a run has records, so that it can be drawn."""
    return bool(run.summary.get("records", "all") != "none")


def run_title(summary: Mapping[str, Any]) -> str:
    """The identity of a run, in one line."""
    return (
        f"{summary['policy']} on {summary['pipeline']}, {summary['trace']}: {summary['duration_s']:,g} s, "
        f"seed {summary['seed']}"
    )


def run_lines(summary: Mapping[str, Any]) -> list[str]:
    """A run in a few lines of text."""
    ends = [f"{summary[end]:,} {end}" for end in ("completed", "dropped", "failed", "unfinished") if summary[end]]
    engine = f"; {summary['engine']}" if "engine" in summary else ""
    late = _figure(summary, "sla_violation_rate", 100.0)
    quality = f"PAS {_figure(summary, 'pas_mean')}, cost {_figure(summary, 'cost_mean_cores')} cores"
    latency = f"latency p50 {_figure(summary, 'latency_p50_s')} s, p99 {_figure(summary, 'latency_p99_s')} s"
    hour = f" ({_figure(summary, WORST_HOUR[1], 100.0)} % in the worst hour)" if is_longer_than_an_hour(summary) else ""
    lines = [
        f"{summary['requests']:,} requests: {', '.join(ends) or 'none'}",
        f"{quality}, {latency}; {late} % violate the SLA of {summary['sla_s']:.4g} s{hour}",
        f"{summary['decisions']:,} decisions, {summary['changes']:,} changes{engine}",
        unmet(str(summary["policy"]), [summary]),
    ]
    return [line for line in lines if line]


def _figure(summary: Mapping[str, Any], key: str, factor: float = 1.0) -> str:
    value = summary[key]
    return "-" if value is None else f"{factor * value:,.2f}"
