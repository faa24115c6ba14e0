"""The distribution of the latencies of a pipeline's systems."""

from __future__ import annotations

from math import log10

import numpy as np

from ipa.studies.drawing import MUTED, Spec, log_ticks, note, numbers, sla_line
from ipa.studies.study.findings import Cell, Findings
from ipa.studies.study.outcome import latency_edges_s
from ipa.studies.study.report.figure import Figure, Looks, grid


def latencies(findings: Findings, looks: Looks, setting: str) -> Figure:
    """The distribution of the latency: one panel per workload, one line per system, all seeds together."""
    workloads = findings.study.workloads
    sla_s = float(next(iter(findings.cells[0].outcomes.values())).summary["sla_s"])
    curves = {
        (workload, system): _curve(cell)
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
        [{"title": "% of all requests", "range": [0.0, 101.0]} for _ in workloads],
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
        f"{findings.pipeline}-latencies-{setting}",
        "Latency",
        "Share of all requests answered within a latency (logarithmic), all seeds together; the height at the line "
        "of the SLA is the share that kept the SLA. Requests that were dropped keep a curve below 100 %.",
        traces,
        panels.layout,
        setting=setting,
    )


def _curve(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Latencies, and the percentage of all requests that took no longer."""
    counts = np.sum([outcome.latencies for outcome in cell.outcomes.values()], axis=0)
    total = sum(int(outcome.summary["requests"]) for outcome in cell.outcomes.values())
    place = np.flatnonzero(counts)
    return latency_edges_s()[place], 100.0 * np.cumsum(counts)[place] / max(total, 1)
