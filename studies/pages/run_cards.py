"""Cards of runs and comparisons for notebooks: their figures, with small pictures over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ipa.studies.many import Group, cell
from ipa.studies.pages.cards import Curve, card, plain_table, sketch, swatch
from ipa.studies.pages.colours import SLA_COLOUR, colour
from ipa.studies.runs import FIGURES, RESIZES, RunData, has_records, run_lines, run_title
from ipa.studies.series import bin_s, decided, existing_cores, latency_quantiles_s, load_rps, violation_counts


def run_card(run: RunData) -> str:
    """A run in a few lines, with pictures where it has records."""
    return card(run_title(run.summary), run_lines(run.summary), _sketches(run) if has_records(run) else "")


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


def comparison_card(title: str, groups: Sequence[Group]) -> str:
    """A row for each policy: its figures, and its cores and violations over time in the first seed."""
    rows = [
        [swatch(colour(group.place)) + group.label, *(cell(group, figure) for figure in FIGURES)] for group in groups
    ]
    columns = ["policy", *(name for name, *_ in FIGURES)]
    if all(has_records(group.runs[0]) for group in groups):
        end_s = float(groups[0].runs[0].summary["duration_s"])
        for what, unit, draw in (
            ("cores", "", [cores(group.runs[0], colour(group.place)) for group in groups]),
            ("violations", _per_bin(end_s), [violations(group.runs[0]) for group in groups]),
        ):
            top = max(float(curve.y.max(initial=0.0)) for curve in draw)
            columns.append(f"{what} over time")
            for row, curve in zip(rows, draw, strict=True):
                row.append(sketch(what, unit, [curve], end_s, top))
    return card(title, [], plain_table(columns, rows))
