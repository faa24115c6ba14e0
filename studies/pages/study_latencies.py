"""The distribution of the latencies of a pipeline's systems: of the requests, and of the p99s of the seconds."""

from __future__ import annotations

from collections.abc import Iterator
from math import log10
from typing import NamedTuple

import numpy as np

from ipa.studies.many import ARRIVED_SECONDS, latency_edges_s
from ipa.studies.many.study import Cell, Findings
from ipa.studies.pages.colours import MUTED
from ipa.studies.pages.grid import grid
from ipa.studies.pages.plots import Spec, log_ticks, note, numbers, sla_line
from ipa.studies.pages.study_figure import Figure, Looks


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
