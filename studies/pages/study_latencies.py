"""The latency distributions of a pipeline's systems, and their accuracy over cost with that of sweeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log10
from typing import NamedTuple

import numpy as np

from ipa.sim import FloatArray
from ipa.studies.many import ARRIVED_SECONDS, latency_edges_s
from ipa.studies.many.study import Findings, StudyCell, StudyFindings, front
from ipa.studies.pages.colours import BACKGROUND, MUTED, faded
from ipa.studies.pages.panels import Panel, grid
from ipa.studies.pages.plots import LOG_TICKS, Plot, Spec, line, note, numbers, points, ruler, safe
from ipa.studies.pages.study_bars import Looks, SystemLook


class _Of(NamedTuple):
    """What a curve counts: the name of its histogram in an outcome, and that of the total in the summary."""

    name: str
    total: str
    title: str
    y: str
    note: str


_KINDS = (
    _Of(
        "latencies",
        "requests",
        "Latency",
        "% of all requests",
        "Share of all requests answered within a latency (logarithmic), all seeds together; the height at the line of "
        "the SLA is the share that kept the SLA. Requests that were dropped keep a curve below 100 %.",
    ),
    _Of(
        "seconds",
        ARRIVED_SECONDS,
        "Latency by the second",
        "% of all seconds",
        "As the publication plots it: for every second the p99 of the requests that arrived in it, and the share of "
        "the seconds whose p99 is within a latency (logarithmic), all seeds together. The height at the line of the "
        "SLA is the share of seconds that kept it. Seconds whose p99 is that of a dropped request keep a curve below "
        "100 %.",
    ),
)


def latencies(findings: Findings, looks: Looks, setting: str) -> list[Plot]:
    """The distributions, one panel per workload, one line per system, all seeds pooled."""
    return [_distribution(findings, looks, setting, kind) for kind in _KINDS]


def _distribution(findings: Findings, looks: Looks, setting: str, kind: _Of) -> Plot:
    workloads = findings.study.workloads
    sla_s = float(next(iter(findings.cells[0].outcomes.values())).summary["sla_s"])
    cells = {
        (workload, system): cell
        for workload in workloads
        for system in findings.systems
        if (cell := findings.cell(setting, workload, system)) is not None
    }
    curves = {key: _curve(cell, kind) for key, cell in cells.items()}
    seen_s = np.concatenate([x for x, _ in curves.values()] + [np.array([sla_s])])
    low_s, high_s = float(seen_s.min()), float(seen_s.max())
    ends = numbers(np.log10([0.9 * low_s, 1.1 * high_s]))
    x_axis = {"type": "log", "range": ends, **LOG_TICKS, "tickangle": 0}
    panels, spec = grid(
        workloads,
        [{**x_axis, "title": title} for title in _beneath("latency (s)", len(workloads))],
        [{"title": kind.y, "range": [0.0, 101.0]} for _ in workloads],
    )
    traces: list[Spec] = []
    for panel, workload in zip(panels, workloads, strict=True):
        # A colour and a dash that no system has.
        style: Spec = {"color": MUTED, "width": 1}
        spec["shapes"].append(ruler(sla_s, style, vertical=True, reference=panel.reference))
        spec["annotations"].append(_sla_note(sla_s, panel))
        shown = [system for system in findings.systems if (workload, system) in curves]
        traces += [_line(*curves[workload, system], looks[system], panel) for system in shown]
    return Plot(f"{findings.pipeline}-{kind.name}-{setting}", kind.title, kind.note, traces, spec)


def _beneath(title: str, count: int) -> list[str]:
    """The titles of the x axes; only the lowest have one."""
    return [title if place >= count - 2 else "" for place in range(count)]


def _line(x: FloatArray, y: FloatArray, look: SystemLook, panel: Panel) -> Spec:
    return line(
        numbers(x, 4),
        numbers(y, 2),
        look.title,
        {"color": look.colour, "dash": look.dash, "width": look.width},
        legendgroup=look.name,
        showlegend=not panel.reference,
        hovertemplate=f"{look.title}: %{{y:.1f}} % within %{{x:.2f}} s<extra></extra>",
        **panel.axes,
    )


def _sla_note(sla_s: float, panel: Panel) -> Spec:
    refs = {"xref": f"x{panel.reference}", "x": log10(sla_s), "yref": f"y{panel.reference} domain", "y": 0.02}
    font = {"size": 11, "color": MUTED}
    return note(f"SLA {sla_s:.4g} s", **refs, xanchor="right", xshift=-3, yanchor="bottom", font=font)


def _curve(cell: StudyCell, kind: _Of) -> tuple[FloatArray, FloatArray]:
    """Latencies [s], and the percentage of all requests or seconds that took no longer."""
    outcomes = cell.outcomes.values()
    counts = np.sum([getattr(outcome, kind.name) for outcome in outcomes], axis=0)
    total = sum(int(outcome.summary[kind.total]) for outcome in outcomes)
    place = np.flatnonzero(counts)
    return latency_edges_s()[place], 100.0 * np.cumsum(counts)[place] / max(total, 1)


# ---- the preference sweep ----


MARKS = ("x-thin", "cross-thin", "triangle-up-open", "square-open", "asterisk", "y-up")
"""The symbols of sweeps' points, by the sweep's place in the study."""

PUBLISHED, PLANNED = "published (planned)", "ours, planned"
_OF_PUBLISHED = (
    " What is published is planned: open diamonds, to compare not with the symbols but with the open circles of the "
    "same colour, which are ours as planned."
)


def trade_off(study: StudyFindings, findings: Findings, looks: Looks, setting: str) -> list[Plot]:
    """PAS over cost, one panel per workload: sweeps as curves, systems as points, published values as diamonds; empty
    without sweeps that vary values."""
    varied = [name for name, sweep in findings.study.sweeps.items() if not sweep.points]
    swept = {
        workload: cells
        for workload in findings.study.workloads
        if any(cells := [findings.of(setting, workload, name) for name in varied])
    }
    if not swept:
        return []
    systems = (*findings.systems, *varied)
    panels, spec = grid(
        list(swept),
        [
            {**_log_cores(findings, setting, workload, systems), "title": title}
            for workload, title in zip(swept, _beneath("mean of existing cores", len(swept)), strict=True)
        ],
        [{"title": "PAS (x 100)"} for _ in swept],
        top=112,
    )
    traces: list[Spec] = []
    for panel, (workload, sweeps) in zip(panels, swept.items(), strict=True):
        for mark, name, of_sweep in zip(MARKS * len(varied), varied, sweeps, strict=False):
            if of_sweep:
                look = looks[findings.study.sweeps[name].of]
                shared = {"legendgroup": name, "name": safe(findings.title(name)), **panel.axes}
                traces += [trace | shared for trace in _sweep(look, mark, of_sweep, not panel.reference)]
        of_systems = ((system, findings.cell(setting, workload, system)) for system in findings.systems)
        traces += [_point(cell, looks[system], panel) for system, cell in of_systems if cell is not None]
        traces += _published(study, (findings.pipeline, setting, workload), looks, panel)
    is_published = any(trace["name"] == PUBLISHED for trace in traces)
    return [
        Plot(
            f"{findings.pipeline}-plane-{setting}",
            "Preference sweep: accuracy against cost",
            "Every system a large symbol, every point of a sweep a small mark (its values under the pointer); the line "
            "joins those that no other of the sweep betters. Up is more accurate, left is cheaper; both are measured."
            + (_OF_PUBLISHED if is_published else ""),
            traces,
            spec,
        )
    ]


def _log_cores(findings: Findings, setting: str, workload: str, systems: Sequence[str]) -> Spec:
    """A logarithmic axis of cost for everything in a panel."""
    shown = [
        cell.mean("cost_mean_cores")
        for cell in findings.cells
        if (cell.setting, cell.workload) == (setting, workload) and cell.system in systems
    ]
    costs = [cost for cost in shown if cost > 0.0] or [1.0]
    low, high = min(costs), max(costs)
    return {"type": "log", "range": numbers(np.log10([0.85 * low, 1.15 * high])), **LOG_TICKS}


def _plane(cells: Sequence[StudyCell]) -> tuple[list[float | None], list[float | None]]:
    """Cost and accuracy."""
    x, y = (numbers((cell.mean(key) for cell in cells), 4) for key in ("cost_mean_cores", "pas_mean"))
    return x, y


def _sweep(look: SystemLook, mark: str, cells: list[StudyCell], is_first: bool) -> list[Spec]:
    """The best points as a line, and all points."""
    style = {"color": faded(look.colour, 0.55), "width": 1.4, "dash": look.dash}
    marker = {"symbol": mark, "size": 6, "color": look.colour, "line": {"color": look.colour, "width": 1.4}}
    best = line(*_plane(front(cells, "measured")), "", style, showlegend=False, hoverinfo="skip")
    every = points(
        *_plane(cells),
        "",
        marker,
        text=[safe(cell.point_title) for cell in cells],
        customdata=numbers((cell.mean("sla_violation_rate", 100.0) for cell in cells), 2),
        showlegend=is_first,
        hovertemplate="%{text}<br>%{x:.2f} cores, PAS %{y:.2f}, %{customdata} % violations<extra></extra>",
    )
    return [best, every]


def _point(cell: StudyCell, look: SystemLook, panel: Panel) -> Spec:
    violations = cell.mean("sla_violation_rate", 100.0)
    line = {"color": BACKGROUND, "width": 1}
    return points(
        *_plane([cell]),
        look.title,
        {"symbol": look.symbol, "size": 13, "color": faded(look.colour, 0.8), "line": line},
        legendgroup=look.name,
        showlegend=not panel.reference,
        hovertemplate=(
            f"<b>{look.title}</b><br>%{{x:.2f}} cores, PAS %{{y:.2f}}<br>{violations:.2f} % violations<extra></extra>"
        ),
        **panel.axes,
    )


def _published(study: StudyFindings, where: tuple[str, str, str], looks: Looks, panel: Panel) -> Iterator[Spec]:
    """The published points of a pipeline, setting and workload, and our planned ones."""
    cells = [cell for cell in study.compared if (cell.pipeline, cell.setting, cell.workload) == where]
    for number, cell in enumerate(cells):
        look = looks[cell.system]
        for name, symbol, size, figures in (
            (PUBLISHED, "diamond-open", 12, cell.published),
            (PLANNED, "circle-open", 9, cell.ours),
        ):
            yield points(
                numbers([figures.cores], 4),
                numbers([figures.pas], 4),
                name,
                {"symbol": symbol, "size": size, "color": look.colour, "line": {"width": 2}},
                legendgroup=name,
                showlegend=not panel.reference and number == 0,
                hovertemplate=f"{look.title}, {name}: %{{x:.2f}} cores, PAS %{{y:.2f}}<extra></extra>",
                **panel.axes,
            )
