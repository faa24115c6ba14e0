"""What a notebook or a program has of runs: named figures, a few lines of text, a summary with small pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ipa.studies.drawing import (
    SLA_COLOUR,
    Curve,
    bin_s,
    card,
    colour,
    decided,
    existing_cores,
    latency_quantiles_s,
    load_rps,
    plain_table,
    sketch,
    swatch,
    violation_counts,
)
from ipa.studies.report.groups import Group, by_policy
from ipa.studies.report.page import plots
from ipa.studies.runs import RESIZES
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from ipa.studies.runs import RunData

FIGURES = (
    ("PAS", "pas_mean", 1.0, 2),
    ("cores", "cost_mean_cores", 1.0, 2),
    ("violations %", "sla_violation_rate", 100.0, 2),
    ("p50 s", "latency_p50_s", 1.0, 2),
    ("p99 s", "latency_p99_s", 1.0, 2),
    ("dropped", "dropped", 1.0, 0),
    ("changes", "changes", 1.0, 0),
)
"""What is said first of a policy: title, key of the summary, factor, digits."""


def figures(runs: Sequence[RunData]) -> dict[str, Figure]:
    """The figures of the report of these runs, by name.

    Raises ScenarioError for runs without records, or where plotly is not installed, and as `by_policy`.
    """
    for run in runs:
        check_records(str(run.summary.get("records", "all")))
    return {plot.name: plot.figure() for plot in plots(by_policy(runs))}


def check_records(records: str) -> None:
    """Raise ScenarioError for runs without records, which cannot be drawn."""
    if records == "none":
        raise ScenarioError("a report needs records, but records is none; use records: sample, or all")


def has_records(run: RunData) -> bool:
    """Whether pictures can be drawn of a run."""
    return bool(run.summary.get("records", "all") != "none")


def title(summary: Mapping[str, Any]) -> str:
    """Which run it is, in one line."""
    return (
        f"{summary['policy']} on {summary['pipeline']}, {summary['trace']}: {summary['duration_s']:,g} s, "
        f"seed {summary['seed']}"
    )


def lines(summary: Mapping[str, Any]) -> list[str]:
    """A run in a few lines of text."""
    ends = [f"{summary[end]:,} {end}" for end in ("completed", "dropped", "failed", "unfinished") if summary[end]]
    engine = f"; {summary['engine']}" if "engine" in summary else ""
    late = _figure(summary, "sla_violation_rate", 100.0)
    quality = f"PAS {_figure(summary, 'pas_mean')}, cost {_figure(summary, 'cost_mean_cores')} cores"
    latency = f"latency p50 {_figure(summary, 'latency_p50_s')} s, p99 {_figure(summary, 'latency_p99_s')} s"
    return [
        f"{summary['requests']:,} requests: {', '.join(ends) or 'none'}",
        f"{quality}, {latency}; {late} % violate the SLA of {summary['sla_s']:.4g} s",
        f"{summary['decisions']:,} decisions, {summary['changes']:,} changes{engine}",
    ]


def _figure(summary: Mapping[str, Any], key: str, factor: float = 1.0) -> str:
    value = summary[key]
    return "-" if value is None else f"{factor * value:,.2f}"


def cell(group: Group, figure: tuple[str, str, float, int]) -> str:
    """One of `FIGURES` of a policy over its seeds: the mean with half its 95 % interval; `-` where no run has it."""
    _, key, factor, digits = figure
    found = group.estimate(key, factor)
    return "-" if found is None else found.text(digits)


# ---- pictures ----


def card_of(run: RunData) -> str:
    """A run in a notebook: a few lines and small pictures, as HTML."""
    return card(title(run.summary), lines(run.summary), _sketches(run) if has_records(run) else "")


def _sketches(run: RunData) -> str:
    """Load and forecast, cores existing and decided, the slowest latencies, violations."""
    end_s, sla_s = float(run.summary["duration_s"]), float(run.summary["sla_s"])
    decisions = run.tables["decisions"]
    load = load_rps(run.tables, end_s)
    middle_s, (p99_s,) = latency_quantiles_s(run.tables, end_s, (0.99,))
    return "".join(
        [
            sketch(
                "load (area), forecast",
                "rps",
                [Curve(load.edges_s, load.value, is_area=True), *_decided(decisions, "forecast_rps", end_s)],
                end_s,
            ),
            sketch(
                "cores (area), decided", "", [cores(run, colour(0)), *_decided(decisions, "cost_cores", end_s)], end_s
            ),
            sketch("latency p99", "s", [Curve(middle_s, p99_s, colour(0))], end_s),
            sketch(f"later than {sla_s:.3g} s, or lost", _per_bin(end_s), [violations(run)], end_s),
        ]
    )


def _per_bin(end_s: float) -> str:
    return f"in {bin_s(end_s):g} s"


def _decided(decisions: Any, column: str, end_s: float) -> list[Curve]:
    found = decided(decisions, column, end_s)
    return [] if found is None else [Curve(found.edges_s, found.value, colour(1))]


def cores(run: RunData, colour: str) -> Curve:
    """The cores of existing replicas over time."""
    found = existing_cores(run.tables["replicas"], float(run.summary["duration_s"]), run.tables.get(RESIZES))
    return Curve(found.edges_s, found.value, colour, is_area=True)


def violations(run: RunData) -> Curve:
    """The requests that violated the SLA, counted in bins."""
    summary = run.summary
    edges_s, counts = violation_counts(run.tables, float(summary["duration_s"]), float(summary["sla_s"]))
    return Curve(edges_s, np.sum(list(counts.values()), axis=0, dtype=np.float64), SLA_COLOUR, is_area=True)


def comparison_html(title: str, groups: Sequence[Group]) -> str:
    """A row for each policy: its figures, and its cores and violations over time in the first seed."""
    rows = [[swatch(group.colour) + group.label, *(cell(group, figure) for figure in FIGURES)] for group in groups]
    columns = ["policy", *(name for name, *_ in FIGURES)]
    if all(has_records(group.runs[0]) for group in groups):
        end_s = float(groups[0].runs[0].summary["duration_s"])
        for what, unit, draw in (
            ("cores", "", [cores(group.runs[0], group.colour) for group in groups]),
            ("violations", _per_bin(end_s), [violations(group.runs[0]) for group in groups]),
        ):
            top = max(float(curve.y.max(initial=0.0)) for curve in draw)
            columns.append(f"{what} over time")
            for row, curve in zip(rows, draw, strict=True):
                row.append(sketch(what, unit, [curve], end_s, top))
    return card(title, [], plain_table(columns, rows))
