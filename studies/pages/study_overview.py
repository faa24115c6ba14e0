"""The figures that stand above those of the pipelines: the loads, and the time that a decision takes."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from statistics import median

import numpy as np

from ipa.sim import FloatArray
from ipa.studies.many import TIMELINE
from ipa.studies.many.study import BATCHES, PROBLEMS, Cell, Findings, Found
from ipa.studies.pages.clock import ORIGIN_MS, TIME, moments, time_axis
from ipa.studies.pages.colours import ARRIVALS, MUTED, SHADES, SLA_COLOUR
from ipa.studies.pages.panels import framed, grid
from ipa.studies.pages.plots import Spec, axis, layout, numbers
from ipa.studies.pages.study_bars import Figure, Look, Looks
from ipa.studies.scenario import find_trace


def loads(found: Found, looks: Looks) -> Figure:
    """The requests of every second, and what the first system forecast."""
    findings = found.findings[0]
    setting, first = found.settings[0], findings.systems[0]
    cells = [cell for workload in findings.study.workloads if (cell := findings.cell(setting, workload, first))]
    seed = findings.seeds[0]
    counted = [find_trace(cell.scenario.trace, seed, cell.scenario.time_hints).per_second() for cell in cells]
    panels = grid(
        [cell.workload for cell in cells],
        [
            time_axis(float(len(counts)), TIME if place >= len(cells) - 2 else "")
            for place, counts in enumerate(counted)
        ],
        [{"title": "requests per second", "rangemode": "tozero"} for _ in cells],
        panel=200,
    )
    traces: list[Spec] = []
    for place, (cell, counts) in enumerate(zip(cells, counted, strict=True)):
        timeline = cell.outcomes[seed].timeline
        axes = panels.axes(place)
        line = {"x0": ORIGIN_MS, "type": "scatter", "mode": "lines", "showlegend": place == 0, **axes}
        traces.append(
            {
                **line,
                "dx": 1000,
                "y": [int(count) for count in counts],
                "name": "requests",
                "legendgroup": "requests",
                "line": {"color": ARRIVALS, "width": 1},
                "hovertemplate": "%{y} rps<extra></extra>",
            }
        )
        traces.append(
            {
                **line,
                "dx": 1e3 * float(timeline[0, 1] - timeline[0, 0]) if timeline.shape[1] > 1 else 1000,
                "y": numbers(timeline[2], 2),
                "name": f"forecast of {looks[first].title}",
                "legendgroup": "forecast",
                "line": {"color": looks[first].colour, "width": 1.6, "shape": "hv"},
                "hovertemplate": "forecast %{y:.1f} rps<extra></extra>",
            }
        )
    return Figure(
        "loads",
        "Load patterns",
        f"The requests of every second, and the busiest second that {looks[first].title} expected. "
        f"Seed 1, on {found.plan.loads}.",
        traces,
        panels.layout,
    )


def decision_times(found: Found) -> Figure:
    """Time of a decision over the variants per stage, one line per number of stages, published ones as diamonds."""
    regular = [timing for timing in found.timings if timing.is_regular]
    traces: list[Spec] = []
    for shade, stages in zip(SHADES, sorted({len(timing.shape) for timing in regular}), strict=False):
        of = [timing for timing in regular if len(timing.shape) == stages]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [timing.shape[0] for timing in of],
                "y": [timing.seconds for timing in of],
                "name": _stages(stages),
                "line": {"color": shade, "width": 2},
                "hovertemplate": f"{_stages(stages)} of %{{x}} variants: %{{y:.3~s}}s<extra></extra>",
            }
        )
    published = [
        each
        for each in (found.plan.published.decision_times if found.plan.published else ())
        if len(set(each.variants)) == 1 and not each.batches
    ]
    if published:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "x": [each.variants[0] for each in published],
                "y": [each.seconds for each in published],
                "text": [_stages(len(each.variants)) for each in published],
                "textposition": "bottom center",
                "textfont": {"color": MUTED},
                "name": "published",
                "marker": {"symbol": "diamond-open", "size": 11, "color": SLA_COLOUR, "line": {"width": 2}},
                "hovertemplate": "published, %{text} of %{x} variants: %{y:.3~s}s<extra></extra>",
            }
        )
    typical = median(timing.seconds for timing in regular)
    return Figure(
        "decision-times",
        "Time of one decision",
        f"The exact solver on random pipelines whose SLA binds, {BATCHES} batch sizes: medians of {PROBLEMS}, measured "
        f"on this machine when this report was made. Half of the points shown are below {1000 * typical:.2g} ms.",
        traces,
        layout(
            380,
            xaxis=axis("variants a stage", dtick=1),
            yaxis=axis("time of a decision", type="log", tickvals=list(_TIMES), ticktext=list(_TIMES.values())),
        ),
    )


_TIMES = {1e-5: "10 µs", 1e-4: "0.1 ms", 1e-3: "1 ms", 1e-2: "10 ms", 1e-1: "0.1 s", 1.0: "1 s", 10.0: "10 s"}


def _stages(count: int) -> str:
    return f"{count} stage{'' if count == 1 else 's'}"


# ---- what the systems of a pipeline wanted over time, and how the requests fared ----


ROWS = (
    ("load (rps)", "load_rps", 90),
    ("planned cost (cores)", "planned_cost_cores", 210),
    ("planned PAS", "planned_pas", 190),
    ("SLA violations (%)", "violations", 150),
)
"""A panel each: title, column of the timeline, height."""

CLIPPED_AT = 0.99
"""Of the costs over time the panel shows this share; a single spike would make the rest flat."""


def timeline(findings: Findings, looks: Looks, setting: str, workload: str) -> Figure:
    """Load, planned cost, planned PAS and violations over time, one line per system."""
    seed = findings.seeds[0]
    cells = [cell for system in findings.systems if (cell := findings.cell(setting, workload, system)) is not None]
    gap, top, bottom = 22, 44, 52
    inner = sum(height for *_, height in ROWS) + gap * (len(ROWS) - 1)
    axes: Spec = {"xaxis": time_axis(_duration_s(cells, seed), anchor=f"y{len(ROWS)}")}
    upper, shown_to = 1.0, cost_shown_to(cells, seed)
    traces: list[Spec] = []
    for row, (title, column, height) in enumerate(ROWS):
        reference = "" if row == 0 else str(row + 1)
        lower = max(upper - height / inner, 0.0)
        more: Spec = {} if column == "planned_pas" else {"rangemode": "tozero"}
        if column == "planned_cost_cores" and shown_to is not None:
            more = {"range": [0.0, shown_to]}
        axes[f"yaxis{reference}"] = axis(title, domain=[lower, upper], anchor="x", nticks=5, **more)
        upper = lower - gap / inner
        shown = cells if row else cells[:1]  # all have the same load
        traces += [_line(cell, seed, looks[cell.system], column, f"y{reference}", row) for cell in shown]
    return Figure(
        f"{findings.pipeline}-timeline-{setting}-{workload}",
        f"Cost, accuracy and violations over time: {workload}",
        f"What each system wanted, and the share of the requests arrived meanwhile that violated the SLA, in steps of "
        f"{_bin_s(findings, setting, workload):g} s. Seed {seed} only; click on a name to hide it, twice to see it "
        "alone."
        + ("" if shown_to is None else f" The axis of cost ends at {shown_to:.0f} cores, which a few steps exceed."),
        traces,
        framed(inner, top, bottom, **axes),
        setting=setting,
        workload=workload,
    )


def cost_shown_to(cells: Sequence[Cell], seed: int) -> float | None:
    """Where the axis of cost ends: above nearly all costs where the highest is far above these, else None."""
    column = TIMELINE.index("planned_cost_cores")
    costs = np.concatenate([cell.outcomes[seed].timeline[column] for cell in cells])
    most = float(np.quantile(costs, CLIPPED_AT, method="higher"))
    return ceil(1.1 * most) if costs.max() > 1.5 * most else None


def _duration_s(cells: Sequence[Cell], seed: int) -> float:
    return max(float(cell.outcomes[seed].summary["duration_s"]) for cell in cells)


def _bin_s(findings: Findings, setting: str, workload: str) -> float:
    cell = findings.cell(setting, workload, findings.systems[0])
    timeline = cell.outcomes[findings.seeds[0]].timeline if cell else np.zeros((1, 1))
    return float(timeline[0, 1]) if timeline.shape[1] > 1 else 0.0


def _line(cell: Cell, seed: int, look: Look, column: str, y_axis: str, row: int) -> Spec:
    values = shown_values(cell.outcomes[seed].timeline, column)
    times_s = cell.outcomes[seed].timeline[0]
    is_load = row == 0
    return {
        "type": "scatter",
        "mode": "lines",
        "x": moments(times_s),
        "y": numbers(values, 2),
        "name": "load" if is_load else look.title,
        "legendgroup": "load" if is_load else look.legend,
        "showlegend": row == 1,
        "line": {
            "color": "#8b949b" if is_load else look.colour,
            "dash": "solid" if is_load else look.dash,
            "width": look.width if not is_load else 1.4,
            "shape": "hv",
        },
        "hovertemplate": f"{'load' if is_load else look.title} %{{y:.2~f}}<extra></extra>",
        "yaxis": y_axis,
    }


def shown_values(timeline: FloatArray, column: str) -> FloatArray:
    """A column; of violations their percentage of the requests, NaN where none arrived."""
    values: FloatArray = timeline[TIMELINE.index(column)]
    if column != "violations":
        return values
    requests = timeline[TIMELINE.index("requests")]
    shares: FloatArray = np.divide(values, requests, out=np.full_like(values, np.nan), where=requests > 0)
    return 100.0 * shares
