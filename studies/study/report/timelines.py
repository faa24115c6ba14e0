"""What a pipeline's systems wanted over time."""

from __future__ import annotations

import numpy as np

from studies.report.plots import Spec, axis, layout, numbers
from studies.study.findings import Cell, Findings
from studies.study.outcome import TIMELINE
from studies.study.report.figure import Figure, Look, Looks


def timeline(findings: Findings, looks: Looks, setting: str, workload: str) -> Figure:
    """Load, planned cost, planned PAS and violations over time, a line a system."""
    seed = findings.seeds[0]
    rows = (("load (rps)", "load_rps"), ("planned cost (cores)", "planned_cost_cores"), ("planned PAS", "planned_pas"))
    heights = (90, 210, 210)
    gap, top, bottom = 22, 70, 52
    inner = sum(heights) + gap * (len(rows) - 1)
    axes: Spec = {"xaxis": axis("time since the start (s)", tickformat=",~f", anchor=f"y{len(rows)}")}
    upper = 1.0
    traces: list[Spec] = []
    for row, ((title, column), height) in enumerate(zip(rows, heights, strict=True)):
        reference = "" if row == 0 else str(row + 1)
        lower = max(upper - height / inner, 0.0)
        more = {} if column == "planned_pas" else {"rangemode": "tozero"}
        axes[f"yaxis{reference}"] = axis(title, domain=[lower, upper], anchor="x", nticks=5, **more)
        upper = lower - gap / inner
        for system in findings.systems:
            cell = findings.cell(setting, workload, system)
            if cell is not None and (row > 0 or system == findings.systems[0]):
                traces.append(_line(cell, seed, looks[system], column, f"y{reference}", row))
    return Figure(
        f"{findings.pipeline}-timeline-{setting}-{workload}",
        f"Cost and accuracy over time: {workload}",
        f"What each system wanted, in steps of {_bin_s(findings, setting, workload):g} s. Seed {seed} only; click on a "
        "name to hide it, twice to see it alone.",
        traces,
        layout(
            inner + top + bottom,
            margin={"l": 60, "r": 14, "t": top, "b": bottom},
            legend={"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
            **axes,
        ),
        setting=setting,
        workload=workload,
    )


def _bin_s(findings: Findings, setting: str, workload: str) -> float:
    cell = findings.cell(setting, workload, findings.systems[0])
    timeline = cell.outcomes[findings.seeds[0]].timeline if cell else np.zeros((1, 1))
    return float(timeline[0, 1]) if timeline.shape[1] > 1 else 0.0


def _line(cell: Cell, seed: int, look: Look, column: str, y_axis: str, row: int) -> Spec:
    values = cell.outcomes[seed].timeline[TIMELINE.index(column)]
    times_s = cell.outcomes[seed].timeline[0]
    is_load = row == 0
    return {
        "type": "scatter",
        "mode": "lines",
        "x0": 0,
        "dx": float(times_s[1]) if len(times_s) > 1 else 1,
        "y": numbers(values, 2),
        "name": "load" if is_load else look.title,
        "legendgroup": "load" if is_load else look.name,
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
