"""The distribution of the latencies of a pipeline's systems: of the requests, and of the p99s of the seconds."""

from __future__ import annotations

from collections.abc import Iterator
from math import log10
from typing import NamedTuple

import numpy as np

from ipa.studies.many import ARRIVED_SECONDS, latency_edges_s
from ipa.studies.many.study import Cell, Findings, Found, front
from ipa.studies.pages.colours import BACKGROUND, MUTED, faded
from ipa.studies.pages.panels import Grid, grid
from ipa.studies.pages.plots import Spec, log_ticks, note, numbers, sla_line
from ipa.studies.pages.study_bars import Figure, Look, Looks


class _Of(NamedTuple):
    """What a curve counts: the name of its histogram in an outcome, and of the total in the summary."""

    name: str
    total: str
    heading: str
    y: str
    reading: str


_REQUESTS = _Of(
    "latencies",
    "requests",
    "Latency",
    "% of all requests",
    "Share of all requests answered within a latency (logarithmic), all seeds together; the height at the line of the "
    "SLA is the share that kept the SLA. Requests that were dropped keep a curve below 100 %.",
)
_SECONDS = _Of(
    "seconds",
    ARRIVED_SECONDS,
    "Latency by the second",
    "% of all seconds",
    "As the publication plots it: for every second the p99 of the requests that arrived in it, and the share of the "
    "seconds whose p99 is within a latency (logarithmic), all seeds together. The height at the line of the SLA is the "
    "share of seconds that kept it. Seconds whose p99 is that of a dropped request keep a curve below 100 %.",
)


def latencies(findings: Findings, looks: Looks, setting: str) -> Iterator[Figure]:
    """The distributions, one panel per workload, one line per system, all seeds together."""
    for of in (_REQUESTS, _SECONDS):
        yield _distribution(findings, looks, setting, of)


def _distribution(findings: Findings, looks: Looks, setting: str, of: _Of) -> Figure:
    workloads = findings.study.workloads
    sla_s = float(next(iter(findings.cells[0].outcomes.values())).summary["sla_s"])
    curves = {
        (workload, system): _curve(cell, of)
        for workload in workloads
        for system in findings.systems
        if (cell := findings.cell(setting, workload, system)) is not None
    }
    seen_s = np.concatenate([x for x, _ in curves.values()] + [np.array([sla_s])])
    low_s, high_s = float(seen_s.min()), float(seen_s.max())
    x_axis = {
        "type": "log",
        "range": numbers(np.log10([0.9 * low_s, 1.1 * high_s])),
        **log_ticks(low_s, high_s),
        "tickangle": 0,
    }
    panels = grid(
        workloads,
        [{**x_axis, "title": "latency (s)" if place >= len(workloads) - 2 else ""} for place in range(len(workloads))],
        [{"title": of.y, "range": [0.0, 101.0]} for _ in workloads],
    )
    traces: list[Spec] = []
    for place, workload in enumerate(workloads):
        reference = panels.references[place]
        # A colour and a dash that no system has.
        line = sla_line(sla_s, vertical=True, reference=reference) | {"line": {"color": MUTED, "width": 1}}
        panels.layout["shapes"].append(line)
        panels.layout["annotations"].append(
            note(
                f"SLA {sla_s:.4g} s",
                xref=f"x{reference}",
                x=log10(sla_s),
                xanchor="right",
                xshift=-3,
                yref=f"y{reference} domain",
                y=0.02,
                yanchor="bottom",
                font={"size": 11, "color": MUTED},
            )
        )
        for system in findings.systems:
            if (workload, system) in curves:
                x, y = curves[workload, system]
                look = looks[system]
                traces.append(
                    {
                        "type": "scatter",
                        "mode": "lines",
                        "x": numbers(x, 4),
                        "y": numbers(y, 2),
                        "name": look.title,
                        "legendgroup": look.name,
                        "showlegend": place == 0,
                        "line": {"color": look.colour, "dash": look.dash, "width": look.width},
                        "hovertemplate": f"{look.title}: %{{y:.1f}} % within %{{x:.2f}} s<extra></extra>",
                        **panels.axes(place),
                    }
                )
    return Figure(
        f"{findings.pipeline}-{of.name}-{setting}",
        of.heading,
        of.reading,
        traces,
        panels.layout,
        setting=setting,
    )


def _curve(cell: Cell, of: _Of) -> tuple[np.ndarray, np.ndarray]:
    """Latencies, and the percentage of all requests or seconds that took no longer."""
    outcomes = cell.outcomes.values()
    counts = np.sum([getattr(outcome, of.name) for outcome in outcomes], axis=0)
    total = sum(int(outcome.summary[of.total]) for outcome in outcomes)
    place = np.flatnonzero(counts)
    return latency_edges_s()[place], 100.0 * np.cumsum(counts)[place] / max(total, 1)


# ---- the preference sweep ----


MARKS = ("x-thin", "cross-thin", "triangle-up-open", "square-open", "asterisk", "y-up")
"""The mark of a sweep's points, by its place in the study."""

PUBLISHED, PLANNED = "published (planned)", "ours, planned"
_OF_PUBLISHED = (
    " What is published is planned: open diamonds, to compare not with the symbols but with the open circles of the "
    "same colour, which are ours as planned."
)


def trade_off(found: Found, findings: Findings, looks: Looks, setting: str) -> Figure | None:
    """PAS over cost, one panel per workload: sweeps as curves, systems as points, published ones as diamonds."""
    workloads = [each for each in findings.study.workloads if any(_swept(findings, setting, each))]
    if not workloads:
        return None
    count = len(workloads)
    panels = grid(
        workloads,
        [
            {**_log_cores(findings, setting, each), "title": "mean of existing cores" if place >= count - 2 else ""}
            for place, each in enumerate(workloads)
        ],
        [{"title": "PAS (x 100)"} for _ in workloads],
        top=112,
    )
    traces: list[Spec] = []
    for place, workload in enumerate(workloads):
        for name, cells in zip(_varied(findings), _swept(findings, setting, workload), strict=True):
            if cells:
                traces += _sweep(findings, looks, name, cells, panels, place)
        for system in findings.systems:
            cell = findings.cell(setting, workload, system)
            if cell is not None:
                traces.append(_point(cell, looks[system], panels, place))
        traces += _published_points(found, findings, looks, setting, workload, panels, place)
    return Figure(
        f"{findings.pipeline}-plane-{setting}",
        "Preference sweep: accuracy against cost",
        "Every system a large symbol, every point of a sweep a small mark (its values under the pointer); the line "
        "joins those that no other of the sweep betters. Up is more accurate, left is cheaper; both are measured."
        + (_OF_PUBLISHED if any(trace["name"] == PUBLISHED for trace in traces) else ""),
        traces,
        panels.layout,
        setting=setting,
    )


def _log_cores(findings: Findings, setting: str, workload: str) -> Spec:
    """A logarithmic axis of cost for all that a panel shows."""
    costs = [
        cell.mean("cost_mean_cores")
        for cell in findings.cells
        if (cell.setting, cell.workload) == (setting, workload)
        and cell.system in (*findings.systems, *_varied(findings))
        and cell.mean("cost_mean_cores") > 0.0
    ]
    low, high = min(costs, default=1.0), max(costs, default=1.0)
    return {"type": "log", "range": numbers(np.log10([0.85 * low, 1.15 * high])), **log_ticks(low, high)}


def _swept(findings: Findings, setting: str, workload: str) -> list[list[Cell]]:
    return [findings.of(setting, workload, name) for name in _varied(findings)]


def _varied(findings: Findings) -> list[str]:
    """The sweeps that vary values; those with named points have a figure of their own."""
    return [name for name, sweep in findings.study.sweeps.items() if not sweep.points]


def _sweep(findings: Findings, looks: Looks, name: str, cells: list[Cell], panels: Grid, place: int) -> list[Spec]:
    look = looks[findings.study.sweeps[name].of]
    mark = MARKS[_varied(findings).index(name) % len(MARKS)]
    best = front(cells, "measured")
    shared: Spec = {"type": "scatter", "legendgroup": name, "name": findings.title(name), **panels.axes(place)}
    return [
        {
            **shared,
            "mode": "lines",
            "x": numbers((cell.mean("cost_mean_cores") for cell in best), 4),
            "y": numbers((cell.mean("pas_mean") for cell in best), 4),
            "line": {"color": faded(look.colour, 0.55), "width": 1.4, "dash": look.dash},
            "showlegend": False,
            "hoverinfo": "skip",
        },
        {
            **shared,
            "mode": "markers",
            "x": numbers((cell.mean("cost_mean_cores") for cell in cells), 4),
            "y": numbers((cell.mean("pas_mean") for cell in cells), 4),
            "text": [cell.point for cell in cells],
            "customdata": numbers((cell.mean("sla_violation_rate", 100.0) for cell in cells), 2),
            "marker": {"symbol": mark, "size": 6, "color": look.colour, "line": {"color": look.colour, "width": 1.4}},
            "showlegend": place == 0,
            "hovertemplate": "%{text}<br>%{x:.2f} cores, PAS %{y:.2f}, %{customdata} % violations<extra></extra>",
        },
    ]


def _point(cell: Cell, look: Look, panels: Grid, place: int) -> Spec:
    violations = cell.mean("sla_violation_rate", 100.0)
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers([cell.mean("cost_mean_cores")], 4),
        "y": numbers([cell.mean("pas_mean")], 4),
        "name": look.title,
        "legendgroup": look.name,
        "showlegend": place == 0,
        "marker": {
            "symbol": look.symbol,
            "size": 13,
            "color": faded(look.colour, 0.8),
            "line": {"color": BACKGROUND, "width": 1},
        },
        "hovertemplate": (
            f"<b>{look.title}</b><br>%{{x:.2f}} cores, PAS %{{y:.2f}}<br>{violations:.2f} % violations<extra></extra>"
        ),
        **panels.axes(place),
    }


def _published_points(
    found: Found, findings: Findings, looks: Looks, setting: str, workload: str, panels: Grid, place: int
) -> list[Spec]:
    cells = [
        each
        for each in found.compared
        if (each.pipeline, each.setting, each.workload) == (findings.pipeline, setting, workload)
    ]
    traces: list[Spec] = []
    for number, each in enumerate(cells):
        look = looks[each.system]
        for name, symbol, size, figures in (
            (PUBLISHED, "diamond-open", 12, each.published),
            (PLANNED, "circle-open", 9, each.ours),
        ):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "x": numbers([figures.cores], 4),
                    "y": numbers([figures.pas], 4),
                    "name": name,
                    "legendgroup": name,
                    "showlegend": place == 0 and number == 0,
                    "marker": {"symbol": symbol, "size": size, "color": look.colour, "line": {"width": 2}},
                    "hovertemplate": f"{look.title}, {name}: %{{x:.2f}} cores, PAS %{{y:.2f}}<extra></extra>",
                    **panels.axes(place),
                }
            )
    return traces
