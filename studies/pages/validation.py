"""The page of a validation: the verdicts and the curves of both worlds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ipa.studies.formatting import number
from ipa.studies.pages.clock import Clock
from ipa.studies.pages.colours import BAD, DOUBTFUL, GOOD, PALETTE, TEXT, faded
from ipa.studies.pages.document import Cell, Items, Page, Paragraph, Part, Section, Strong, Table
from ipa.studies.pages.latencies import SHARE, quantile_line, share_line
from ipa.studies.pages.panels import panel_title, stacked
from ipa.studies.pages.plots import Plot, Spec, axis, key, layout, numbers, ruler, sla_key, sla_line, steps
from ipa.studies.series import bin_s, latency_curve, latency_quantiles_s, load_rps
from ipa.studies.validation import (
    GRID_S,
    JUDGED_UP_TO,
    FloatArray,
    JudgedFigure,
    Tables,
    Validation,
    busiest,
    ready_at,
    seconds,
    sentences,
)

_READING = (
    "Live: the repeats pooled. Spread: the standard deviation over the repeats. Error: simulated against live; beside "
    "it that of a simulation with the decisions made live, which tells queues from decisions. Allowed: the stated "
    "error, or twice the spread where that is larger."
)

_JUDGED, _NOT_JUDGED = (3, 5, 6, 0, 2, 4, 1), (3, 0, 2, 4, 1)
"""The indices of `sentences.cells` that the page shows, in its order. The judged error comes first, so that it is
visible on a telephone."""

_COLOURS = {"ok": GOOD, "in spread": DOUBTFUL, "OFF": BAD}


def page(validation: Validation) -> Page:
    """The page; the same runs give the same page."""
    summary = validation.simulated.summary
    return Page(
        f"Live against simulated: {summary['pipeline']} on {summary['trace']}",
        [validation.title],
        [Section("Verdict", _headline(validation), css="long"), *plots(validation)],
        _facts(validation),
    )


def _headline(validation: Validation) -> list[Part]:
    verdict_text = validation.verdict
    colour = GOOD if validation.passed else DOUBTFUL if validation.not_judged else BAD
    verdict = Strong(verdict_text[:1].upper() + verdict_text[1:], colour)
    doubts: list[Part] = [_muted("What makes it doubtful:"), Items(validation.flags)] if validation.flags else []
    measured = (*sentences.decisions(validation), *sentences.beyond(validation))
    return [
        Paragraph([verdict, "."]),
        *doubts,
        _muted(f"Of {sentences.judged(validation)}. {_READING}"),
        _judged(validation.rows),
        _muted(sentences.TIPS),
        Items([f"{name}: {value}" for name, value in measured]),
        Section("Stage by stage", [_by_stage(validation.rows)], is_folded=True),
    ]


def _muted(text: str) -> Paragraph:
    return Paragraph(text, "muted")


def _judged(rows: Sequence[JudgedFigure]) -> Table:
    """The figures of the whole pipeline with their verdicts."""
    shown = [[_name(row), *_cells(row, _JUDGED)] for row in rows if row.metric.stage is None]
    columns = [*sentences.HEADINGS[:-1], "verdict"]
    return Table("Live against simulated", ["figure", *(columns[place] for place in _JUDGED)], shown)


def _by_stage(rows: Sequence[JudgedFigure]) -> Table:
    """The figures of each stage, which are not judged."""
    shown = [
        [Cell(row.metric.stage, is_heading=True), _name(row), *_cells(row, _NOT_JUDGED)]
        for row in rows
        if row.metric.stage is not None
    ]
    columns = ["stage", "figure", *(sentences.HEADINGS[place] for place in _NOT_JUDGED)]
    return Table("Live against simulated, by stage", columns, shown)


def _name(row: JudgedFigure) -> Cell:
    metric = row.metric
    return Cell(f"{metric.title} ({metric.unit})" if metric.unit else metric.title, is_heading=metric.stage is None)


def _cells(row: JudgedFigure, places: Sequence[int]) -> list[str | Cell]:
    texts = sentences.cells(row)
    return [
        Cell([Strong(texts[place], _COLOURS[texts[place]])]) if texts[place] in _COLOURS else texts[place]
        for place in places
    ]


def _facts(validation: Validation) -> dict[str, str]:
    overheads = validation.calibration.overheads
    measured = {
        f"Measured: {key}": f"{number(1e3 * overhead.value_s, 2)} ms (median {number(1e3 * overhead.median_s, 2)}, p99 "
        f"{number(1e3 * overhead.p99_s, 2)}, {overhead.count} seen)"
        for key in (*overheads.KEYS, "arrival_s")
        if (overhead := getattr(overheads, key)).count
    }
    live = {
        f"Live run {number}": f"{repeat.run.stored.summary['requests']} requests; {repeat.conditions.words()}"
        for number, repeat in enumerate(validation.repeats, start=1)
    }
    return {
        "Compared": f"seconds {seconds(validation.scenario.window)} of {validation.simulated.summary['trace']}",
        "Measured on": f"seconds {seconds(validation.experiment.calibration.window)}",
        **measured,
        **live,
    }


# ---- the plots: live and simulated overlaid ----


LIVE, SIMULATED, OPEN_LOOP = PALETTE[:3]


def plots(validation: Validation) -> list[Plot]:
    """All plots, in the order of the page."""
    drawn = (distribution, latency, replicas, utilisation, load)
    return [draw(validation) for draw in drawn]


def both_worlds(validation: Validation) -> list[tuple[str, Sequence[Tables], str]]:
    """The live repeats, pooled, and the simulation: name, tables, colour."""
    worlds = validation.worlds
    return [("live", worlds.live, LIVE), ("simulated", [worlds.simulated], SIMULATED)]


def quantiles_s(runs: Sequence[Tables], duration_s: float, quantiles: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """As `latency_quantiles_s`, of several runs pooled."""
    import pandas as pd

    return latency_quantiles_s({"requests": pd.concat([run["requests"] for run in runs])}, duration_s, quantiles)


def distribution(validation: Validation) -> Plot:
    """The distribution of the latency: each repeat, and the simulations."""
    sla_s, worlds = validation.prepared.sla_s, validation.worlds
    style: Spec = {"color": faded(LIVE, 0.6), "width": 1.2}
    curves = [
        *((f"live {number}", [run], style) for number, run in enumerate(worlds.live, start=1)),
        ("simulated with the live decisions", worlds.open_loop, {"color": OPEN_LOOP, "width": 1.5, "dash": "dot"}),
        ("simulated", [worlds.simulated], {"color": SIMULATED, "width": 2.0}),
    ]
    drawn = [(name, *latency_curve(runs, sla_s), style) for name, runs, style in curves]
    slowest_s = max((float(x[-1]) for _, x, *_ in drawn if len(x)), default=sla_s)
    shows_sla = slowest_s > 0.5 * sla_s
    return Plot(
        "distribution",
        "Distribution of the latency",
        "Share of all requests answered within a latency, of the whole run. The simulator is right where its line lies "
        "among those of the live repeats.",
        [*(share_line(x, y, name, style) for name, x, y, style in drawn), *([sla_key(sla_s)] if shows_sla else [])],
        layout(
            440,
            xaxis=axis("latency (s)", range=[0.0, 1.05 * (max(slowest_s, sla_s) if shows_sla else slowest_s)]),
            yaxis=axis(SHARE, range=[0.0, 101.0]),
            shapes=[sla_line(sla_s, vertical=True)] if shows_sla else [],
        ),
    )


def latency(validation: Validation) -> Plot:
    """The median and the 99 % quantile over time."""
    clock, sla_s = _clock(validation), validation.prepared.sla_s
    traces, highest = [], 0.0
    for name, runs, colour in both_worlds(validation):
        middle_s, (median_s, p99_s) = quantiles_s(runs, clock.duration_s, (0.5, 0.99))
        highest = max(highest, float(np.nanmax(p99_s, initial=0.0)))
        for quantile, values, width, dash in (("p50", median_s, 2.2, "solid"), ("p99", p99_s, 1.4, "dash")):
            style = {"color": colour, "width": width, "dash": dash}
            traces.append(quantile_line(clock.moments(middle_s), values, f"{name}, {quantile}", style))
    shows_sla = highest > 0.5 * sla_s
    top = 1.08 * max(highest, sla_s if shows_sla else highest, 1e-3)
    return Plot(
        "latency",
        "Latency over time",
        f"Median and 99 % quantile of the requests that arrived in each {bin_s(clock.duration_s):g} s and completed; "
        "live: the repeats together.",
        [*traces, *([sla_key(sla_s)] if shows_sla else [])],
        _over_time(clock, 400, axis("latency (s)", range=[0.0, top]), [sla_line(sla_s)] if shows_sla else []),
    )


def replicas(validation: Validation) -> Plot:
    """The replicas ready at each stage over time."""
    clock, worlds = _clock(validation), validation.worlds
    moments_s = np.arange(0.0, clock.duration_s + GRID_S / 2, GRID_S)
    live: Spec = {"color": faded(LIVE, 0.6), "width": 1.5}
    runs = [
        *((f"live {number}", run, live) for number, run in enumerate(worlds.live, start=1)),
        ("simulated", worlds.simulated, {"color": SIMULATED, "width": 1.8}),
    ]
    ready = {stage: [ready_at(run["replicas"], stage, moments_s) for _, run, _ in runs] for stage in validation.stages}
    highest = max(int(counts.max()) for of_stage in ready.values() for counts in of_stage)
    shares = validation.replicas_alike_percent
    titles = [panel_title(stage, TEXT, f"as many in both {shares[stage]:.1f} % of the time") for stage in ready]
    panels, spec = stacked(titles, clock.axis(), "replicas ready", 1.15 * max(highest, 1), hovermode="x unified")
    traces: list[Spec] = [
        key("live, each repeat", "live", {"color": LIVE, "width": 2}),
        key("simulated", "simulated", {"color": SIMULATED, "width": 2}),
    ]
    for panel, of_stage in zip(panels, ready.values(), strict=True):
        for (name, _, style), count in zip(runs, of_stage, strict=True):
            changes = np.flatnonzero(np.diff(count, prepend=-1))  # only where the number changes
            x, y = clock.moments([*moments_s[changes], clock.duration_s]), numbers([*count[changes], count[-1]], 0)
            traces.append(steps(x, y, name, style, hovertemplate="%{y}", showlegend=False, **panel.axes))
    return Plot(
        "replicas",
        "Replicas over time",
        "Replicas that are ready, stage by stage. A shift to the right is a start-up that takes longer than measured.",
        traces,
        spec,
    )


def utilisation(validation: Validation) -> Plot:
    """The utilisation of the busiest stage in each window."""
    edges_s = validation.windows.edges_s
    clock = Clock(float(edges_s[-1]))
    busy = [(name, 100.0 * busiest(runs, validation.windows), tint) for name, runs, tint in both_worlds(validation)]
    limit = ruler(100.0 * JUDGED_UP_TO, {"color": TEXT, "width": 1, "dash": "dot"})
    x, hover = clock.moments(edges_s), "%{y:.0f} %"
    return Plot(
        "utilisation",
        "Utilisation",
        "Of the time of a stage's ready replicas the share in which they served, in the busiest stage; live: the mean "
        f"over the repeats. Windows above the dotted line ({100 * JUDGED_UP_TO:g} %) have no verdict: nearer to "
        "saturation a small difference grows without bound.",
        [
            steps(x, numbers([*share, *share[-1:]], 1), name, {"color": tint, "width": 2}, hovertemplate=hover)
            for name, share, tint in busy
        ],
        _over_time(clock, 300, axis("busiest stage (%)", range=[0.0, 105.0]), [limit]),
    )


def load(validation: Validation) -> Plot:
    """The arrivals at the pipeline, as received by the gateway and as in the trace."""
    clock, worlds = _clock(validation), validation.worlds
    drawn = (("live 1", worlds.live[0], LIVE, 1.6), ("simulated", worlds.simulated, SIMULATED, 1.0))
    return Plot(
        "load",
        "Load",
        "Requests that arrived each second: the live ones as the gateway received them.",
        list(_loads(clock, drawn)),
        _over_time(clock, 300, axis("load (requests per second)", rangemode="tozero")),
    )


def _loads(clock: Clock, drawn: Sequence[tuple[str, Tables, str, float]]) -> Iterator[Spec]:
    for name, run, tint, width in drawn:
        x, y = load_rps(run, clock.duration_s).line
        style = {"color": tint, "width": width}
        yield steps(clock.moments(x), numbers(y), name, style, hovertemplate="%{y:.0f} rps")


def _over_time(clock: Clock, height: int, y: Spec, shapes: Sequence[Spec] = ()) -> Spec:
    return layout(height, xaxis=clock.axis(), yaxis=y, shapes=list(shapes), hovermode="x unified")


def _clock(validation: Validation) -> Clock:
    return Clock(validation.prepared.trace.duration_s)
