"""The figures that stand above those of the pipelines: the loads, and the time that a decision takes."""

from __future__ import annotations

from statistics import median

from ipa.studies.many.study import BATCHES, PROBLEMS, Found
from ipa.studies.pages.clock import ORIGIN_MS, TIME, time_axis
from ipa.studies.pages.colours import ARRIVALS, MUTED, SHADES, SLA_COLOUR
from ipa.studies.pages.grid import grid
from ipa.studies.pages.plots import Spec, axis, layout, numbers
from ipa.studies.pages.study_figure import Figure, Looks
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
