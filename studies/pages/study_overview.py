"""The figures of a whole study: accuracy against cost, the loads, the systems' plans over time, and how long decisions
take."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from statistics import fmean, median

import numpy as np

from ipa.sim import FloatArray
from ipa.studies.many import TIMELINE
from ipa.studies.many.study import BATCHES, PROBLEMS, Findings, StudyCell, StudyFindings
from ipa.studies.pages.clock import ORIGIN_MS, TIME, Clock
from ipa.studies.pages.colours import ARRIVALS, MUTED, SHADES, SLA_COLOUR
from ipa.studies.pages.panels import framed, grid, placed
from ipa.studies.pages.plots import Plot, Spec, axis, layout, numbers, points
from ipa.studies.pages.plots import line as line_of
from ipa.studies.pages.study_bars import Looks, SystemLook
from ipa.studies.scenario import whole_trace


def planes(study: StudyFindings, looks: Looks, setting: str) -> Plot:
    """Accuracy against cost: a panel for each pipeline, a marker for each system, at its means."""
    shown = [findings for findings in study.findings if setting in findings.study.settings]
    panels, spec = grid(
        [findings.pipeline for findings in shown],
        [{"title": "cost (cores)" if place >= len(shown) - 2 else ""} for place in range(len(shown))],
        [{"title": "PAS (x 100)"} for _ in shown],
    )
    traces: list[Spec] = []
    titled: set[str] = set()
    for panel, findings in zip(panels, shown, strict=True):
        for system in findings.systems:
            workloads = findings.study.workloads
            cells = [cell for workload in workloads if (cell := findings.cell(setting, workload, system)) is not None]
            if not cells:
                continue
            cores, pas = (fmean(cell.mean(key) for cell in cells) for key in ("cost_mean_cores", "pas_mean"))
            look = looks[system]
            late = fmean(cell.mean("sla_violation_rate", 100.0) for cell in cells)
            marker: Spec = {"symbol": look.symbol, "color": look.colour, "size": 11}
            traces.append(
                points(
                    numbers([cores], 3),
                    numbers([pas], 3),
                    look.title,
                    marker,
                    legendgroup=look.legend,
                    showlegend=system not in titled,
                    hovertemplate=f"<b>{look.title}</b><br>%{{x:.2f}} cores, PAS %{{y:.2f}}<br>"
                    f"{late:.2f} % violations<extra></extra>",
                    **panel.axes,
                )
            )
            titled.add(system)
    return Plot(
        f"plane-{setting}",
        "Accuracy against cost",
        "Up and to the left is better. A mark is a system, its mean over the loads and seeds.",
        traces,
        spec,
    )


def loads(study: StudyFindings, looks: Looks) -> Plot:
    """The requests of every second, and the first system's forecasts."""
    findings = study.findings[0]
    setting, first = study.settings[0], findings.systems[0]
    cells = [cell for workload in findings.study.workloads if (cell := findings.cell(setting, workload, first))]
    seed = findings.seeds[0]
    counted = [whole_trace(cell.scenario, seed).per_second() for cell in cells]
    titles = [TIME if place >= len(cells) - 2 else "" for place in range(len(cells))]
    panels, spec = grid(
        [cell.workload for cell in cells],
        [Clock(float(len(counts))).axis(title) for counts, title in zip(counted, titles, strict=True)],
        [{"title": "requests per second", "rangemode": "tozero"} for _ in cells],
        panel=200,
    )
    look, traces = looks[first], []
    for panel, cell, counts in zip(panels, cells, counted, strict=True):
        timeline = cell.outcomes[seed].timeline
        step_ms = 1e3 * float(timeline[0, 1] - timeline[0, 0]) if timeline.shape[1] > 1 else 1000
        shared: Spec = {"type": "scatter", "mode": "lines", "x0": ORIGIN_MS, "showlegend": not panel.reference}
        requests = {
            "dx": 1000,
            "y": counts.tolist(),
            "name": "requests",
            "legendgroup": "requests",
            "line": {"color": ARRIVALS, "width": 1},
            "hovertemplate": "%{y} rps<extra></extra>",
        }
        forecast = {
            "dx": step_ms,
            "y": numbers(timeline[2], 2),
            "name": f"forecast of {look.title}",
            "legendgroup": "forecast",
            "line": {"color": look.colour, "width": 1.6, "shape": "hv"},
            "hovertemplate": "forecast %{y:.1f} rps<extra></extra>",
        }
        traces += [shared | panel.axes | drawn for drawn in (requests, forecast)]
    return Plot(
        "loads",
        "Load patterns",
        f"The requests of every second, and the busiest second that {findings.title(first)} expected. "
        f"Seed 1, on {study.plan.loads}.",
        traces,
        spec,
    )


def decision_times(study: StudyFindings) -> Plot:
    """Time of a decision over the variants per stage, one line per number of stages, published values as diamonds."""
    regular = [timing for timing in study.timings if timing.is_regular]
    traces: list[Spec] = []
    for shade, stages in zip(SHADES, sorted({len(timing.shape) for timing in regular}), strict=False):
        timings = [timing for timing in regular if len(timing.shape) == stages]
        x, y = [timing.shape[0] for timing in timings], [timing.seconds for timing in timings]
        hover = f"{_stages(stages)} of %{{x}} variants: %{{y:.3~s}}s<extra></extra>"
        style = {"color": shade, "width": 2}
        traces.append(line_of(x, y, _stages(stages), style, hovertemplate=hover) | {"mode": "lines+markers"})
    published = [
        timing_of
        for timing_of in (study.plan.published.decision_times if study.plan.published else ())
        if len(set(timing_of.variants)) == 1 and not timing_of.batches
    ]
    if published:
        diamonds = points(
            [timing_of.variants[0] for timing_of in published],
            [timing_of.seconds for timing_of in published],
            "published",
            {"symbol": "diamond-open", "size": 11, "color": SLA_COLOUR, "line": {"width": 2}},
            text=[_stages(len(timing_of.variants)) for timing_of in published],
            textposition="bottom center",
            textfont={"color": MUTED},
            hovertemplate="published, %{text} of %{x} variants: %{y:.3~s}s<extra></extra>",
        )
        traces.append(diamonds | {"mode": "markers+text"})
    typical = median(timing.seconds for timing in regular)
    ticks = {"tickvals": list(_TIMES), "ticktext": list(_TIMES.values())}
    return Plot(
        "decision-times",
        "Time of one decision",
        f"The exact solver on random pipelines whose SLA binds, {BATCHES} batch sizes: medians of {PROBLEMS}, measured "
        f"on this machine when this report was made. Half of the points shown are below {1000 * typical:.2g} ms.",
        traces,
        layout(380, xaxis=axis("variants a stage", dtick=1), yaxis=axis("time of a decision", type="log", **ticks)),
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
"""For each panel: title, column of the timeline, height [pixels]."""

CLIPPED_AT = 0.99
"""The panel of costs over time shows up to this quantile; a single spike would flatten the rest."""

_LOAD = SystemLook("load", "load", "#8b949b", "solid", "", 1.4)


def timeline(findings: Findings, looks: Looks, setting: str, workload: str) -> Plot:
    """Load, planned cost, planned PAS and violations over time, one line per system."""
    seed = findings.seeds[0]
    cells = [cell for system in findings.systems if (cell := findings.cell(setting, workload, system)) is not None]
    outcomes = {cell.system: cell.outcomes[seed] for cell in cells}
    clock = Clock(max(float(outcome.summary["duration_s"]) for outcome in outcomes.values()))
    times_s = outcomes[findings.systems[0]].timeline[0] if findings.systems[0] in outcomes else np.zeros(0)
    shown_to = cost_shown_to(cells, seed)
    panels, inner = placed([height for *_, height in ROWS], 22)
    axes: Spec = {"xaxis": clock.axis(anchor=f"y{panels[-1].reference}")}
    traces: list[Spec] = []
    for panel, (title, column, _) in zip(panels, ROWS, strict=True):
        keys: Spec = {} if column == "planned_pas" else {"rangemode": "tozero"}
        if column == "planned_cost_cores" and shown_to is not None:
            keys = {"range": [0.0, shown_to]}
        axes |= panel.y_alone(axis(title, nticks=5, **keys))
        drawn = [(looks[system], outcome.timeline) for system, outcome in outcomes.items()]
        if panel is panels[0]:
            drawn = [(_LOAD, values) for _, values in drawn[:1]]  # all have the same load
        for look, values in drawn:
            shown = {"showlegend": panel is panels[1], "yaxis": f"y{panel.reference}"}
            traces.append(_line(clock, values, look, column) | shown)
    clipped = f" The axis of cost ends at {shown_to:.0f} cores, which a few steps exceed." if shown_to else ""
    return Plot(
        f"{findings.pipeline}-timeline-{setting}-{workload}",
        f"Cost, accuracy and violations over time: {workload}",
        f"What each system wanted, and the share of the requests arrived meanwhile that violated the SLA, in steps of "
        f"{times_s[1] if len(times_s) > 1 else 0:g} s. Seed {seed} only; click on a name to hide it, twice to see it "
        f"alone.{clipped}",
        traces,
        framed(inner, 44, 52, **axes),
    )


def cost_shown_to(cells: Sequence[StudyCell], seed: int) -> float | None:
    """The end of the cost axis: above nearly all costs if the highest is far above them, else None."""
    column = TIMELINE.index("planned_cost_cores")
    costs = np.concatenate([cell.outcomes[seed].timeline[column] for cell in cells])
    most = float(np.quantile(costs, CLIPPED_AT, method="higher"))
    return ceil(1.1 * most) if costs.max() > 1.5 * most else None


def _line(clock: Clock, timeline: FloatArray, look: SystemLook, column: str) -> Spec:
    values = numbers(shown_values(timeline, column), 2)
    style = {"color": look.colour, "dash": look.dash, "width": look.width, "shape": "hv"}
    group = "load" if look is _LOAD else look.legend
    hover = f"{look.title} %{{y:.2~f}}<extra></extra>"
    return line_of(clock.moments(timeline[0]), values, look.title, style, legendgroup=group, hovertemplate=hover)


def shown_values(timeline: FloatArray, column: str) -> FloatArray:
    """A column of the timeline; violations as a percentage of the requests, NaN where none arrived."""
    values: FloatArray = timeline[TIMELINE.index(column)]
    if column != "violations":
        return values
    requests = timeline[TIMELINE.index("requests")]
    shares: FloatArray = np.divide(values, requests, out=np.full_like(values, np.nan), where=requests > 0)
    return 100.0 * shares
