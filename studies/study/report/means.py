"""The means of a pipeline's systems as bars: cost, accuracy, violations."""

from __future__ import annotations

from ipa.studies.drawing import SLA_COLOUR, TEXT, Spec, axis, faded, numbers
from ipa.studies.study.findings import Cell, Findings
from ipa.studies.study.found import Found
from ipa.studies.study.report.figure import Figure, Look, Looks, framed

_MEANS = (
    ("cost (cores)", "cost_mean_cores", 1.0, "planned_cost_mean_cores"),
    ("PAS (x 100)", "pas_mean", 1.0, "planned_pas_mean"),
    ("SLA violations (%)", "sla_violation_rate", 100.0, "sla_violation_seconds_rate"),
)
"""A row of bars each: title, figure, factor, and the figure of its small mark."""


def means(found: Found, findings: Findings, looks: Looks, setting: str) -> Figure:
    """Bars of cost, accuracy and violations, one group per workload, with published figures beside them."""
    workloads, systems = findings.study.workloads, findings.systems
    width = len(systems) + 1.2
    place_of = {
        (workload, system): group * width + place
        for group, workload in enumerate(workloads)
        for place, system in enumerate(systems)
    }
    panel, gap, top, bottom = 190, 26, 70, 40
    inner = len(_MEANS) * panel + (len(_MEANS) - 1) * gap
    axes: Spec = {
        "xaxis": axis(
            tickvals=[group * width + (len(systems) - 1) / 2 for group in range(len(workloads))],
            ticktext=list(workloads),
            range=[-0.9, len(workloads) * width - 0.3],
            ticks="",
            showgrid=False,
            anchor=f"y{len(_MEANS)}",
        )
    }
    has_published = any((each.pipeline, each.setting) == (findings.pipeline, setting) for each in found.compared)
    traces: list[Spec] = []
    for row, (title, key, factor, mark) in enumerate(_MEANS):
        reference = "" if row == 0 else str(row + 1)
        upper = 1.0 - row * (panel + gap) / inner
        axes[f"yaxis{reference}"] = axis(
            title, domain=[max(upper - panel / inner, 0.0), upper], rangemode="tozero", anchor="x"
        )
        for system in systems:
            cells = [cell for workload in workloads if (cell := findings.cell(setting, workload, system))]
            if cells:
                x = [place_of[cell.workload, system] for cell in cells]
                traces += _bars(cells, x, looks[system], key, factor, mark, f"y{reference}", row == 0)
        traces += _published(found, findings, setting, place_of, row, f"y{reference}")
    return Figure(
        f"{findings.pipeline}-means-{setting}",
        "Means",
        "Bars: the cost of what existed, the PAS of what was served, the share of requests that violated the SLA, with "
        "95 % intervals over seeds. Ticks: planned cost, planned PAS, and the share of seconds whose p99 was "
        "above the SLA." + (" Red diamonds: published, to compare with the ticks." if has_published else ""),
        traces,
        framed(inner, top, bottom, bargap=0.1, barmode="overlay", **axes),
        setting=setting,
    )


def _bars(
    cells: list[Cell], x: list[float], look: Look, key: str, factor: float, mark: str, y_axis: str, is_first: bool
) -> list[Spec]:
    values = [cell.estimate(key, factor) for cell in cells]
    bars: Spec = {
        "type": "bar",
        "x": x,
        "y": numbers((float("nan") if value is None else value.mean for value in values), 4),
        "width": 0.86,
        "name": look.title,
        "legendgroup": look.name,
        "showlegend": is_first,
        "marker": {"color": faded(look.colour, 0.75), "line": {"color": look.colour, "width": 1}},
        "customdata": [cell.workload for cell in cells],
        "hovertemplate": f"<b>{look.title}</b>, %{{customdata}}: %{{y:.3~f}}<extra></extra>",
        "yaxis": y_axis,
    }
    if any(value is not None and value.has_interval for value in values):
        ends = [(0.0, 0.0) if value is None else (value.mean - value.low, value.high - value.mean) for value in values]
        bars["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": numbers((above for _, above in ends), 4),
            "arrayminus": numbers((below for below, _ in ends), 4),
            "color": TEXT,
            "thickness": 1,
            "width": 2,
        }
    ticks: Spec = {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": numbers((cell.mean(mark, factor) for cell in cells), 4),
        "marker": {"symbol": "line-ew", "size": 11, "line": {"color": TEXT, "width": 2}},
        "name": "planned; seconds",
        "legendgroup": "ticks",
        "showlegend": False,
        "hovertemplate": f"{look.title}: %{{y:.3~f}}<extra></extra>",
        "yaxis": y_axis,
    }
    return [bars, ticks]


def _published(
    found: Found, findings: Findings, setting: str, place_of: dict[tuple[str, str], float], row: int, y_axis: str
) -> list[Spec]:
    cells = [
        each for each in found.compared if (each.pipeline, each.setting) == (findings.pipeline, setting) and row < 2
    ]
    if not cells:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [place_of[each.workload, each.system] for each in cells],
            "y": [each.published.cores if row == 0 else each.published.pas for each in cells],
            "marker": {"symbol": "diamond-open", "size": 9, "color": SLA_COLOUR, "line": {"width": 1.8}},
            "name": "published",
            "legendgroup": "published",
            "showlegend": row == 0,
            "hovertemplate": "published: %{y:.2f}<extra></extra>",
            "yaxis": y_axis,
        }
    ]
