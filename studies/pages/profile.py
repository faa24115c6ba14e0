"""A pipeline's profiles as one HTML page: tables, plots, and where each number comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import log10
from pathlib import Path

from ipa.profiles import Figure, Pipeline, Stage, Variant
from ipa.studies.pages.colours import MUTED, SLA_COLOUR, TEXT, colour, in_css
from ipa.studies.pages.document import Cell, facts, html_document, html_table
from ipa.studies.pages.plots import Plot, Spec, axis, layout, note, numbers, sla_line
from ipa.studies.profile import MARKS, QUANTITIES, Quantity, besides, counts, pins, sla_sum, sources
from ipa.studies.runs.results import write_text


def render(pipeline: Pipeline, stages: Sequence[Stage]) -> str:
    """The page for some stages of a pipeline; the same pipeline gives the same page, byte for byte.

    Raises ScenarioError where plotly is not installed.
    """
    subtitle = f"{escape(pipeline.description)}<br>SLA, end to end: {sla_sum(pipeline)}"
    sections = "".join(_section(pipeline, stage) for stage in stages)
    return html_document(f"Pipeline {pipeline.name}: profiles", subtitle, sections + _sources(pipeline, stages))


def write(pipeline: Pipeline, stages: Sequence[Stage], path: Path) -> None:
    """Write the page to a file, whole or not at all. Raises as `render`, and for an unusable path."""
    write_text(render(pipeline, stages), path)


def _section(pipeline: Pipeline, stage: Stage) -> str:
    pinned = f"pinned; the rule gives {stage.sla_rule_s:.4g} s" if stage.sla_why else "by the rule"
    task = stage.task[:1].upper() + stage.task[1:]
    reading = (
        f"{escape(task)}. Accuracy is {escape(stage.accuracy_metric)}. SLA of the stage: "
        f"{stage.sla_s:.4g} s ({pinned}). Base cores carry {stage.threshold_rps:g} rps."
    )
    said = facts({**pins([stage]), **besides([stage])})
    plots = "".join(f"<div>{plot(pipeline, stage, view).html()}</div>\n" for view in VIEWS)
    return (
        f'<section class="long">\n<h2>{escape(stage.name)}</h2>\n<p class="muted">{reading}</p>\n{_table(stage)}'
        f'<p class="key">{_key(stage)}</p>\n<div class="pair">\n{plots}</div>\n{said}</section>\n'
    )


def _key(stage: Stage) -> str:
    """What the colours, markers and lines of the plots stand for."""
    named = zip(stage.variants, colours(stage), strict=True)
    return "".join(
        [
            *(
                f'<span><i style="background:{in_css(colour)}"></i>{escape(variant.name)}</span>'
                for variant, colour in named
            ),
            *(f"<span>{mark.sign} {kind}</span>" for kind, mark in MARKS.items()),
            f'<span><b style="color:{in_css(SLA_COLOUR)}">- - -</b> SLA of the stage</span>',
        ]
    )


def _table(stage: Stage) -> str:
    """The variants at their base cores."""
    large = min(variant.max_batch() for variant in stage.variants)
    columns = ("variant", "accuracy", "base cores", "start-up", "mean, batch 1", "p99, batch 1", "rps, batch 1")
    rows = [
        (
            variant.name,
            f"{100 * variant.accuracy:.2f}",
            _base_cores(stage, variant),
            f"{variant.start_up_s:g} s",
            f"{variant.mean_s(1):.3f} s",
            f"{variant.p99_s(1):.3f} s",
            f"{variant.throughput_rps(1):.2f}",
            f"{variant.throughput_rps(large):.2f}",
        )
        for variant in stage.variants
    ]
    return html_table((*columns, f"rps, batch {large}"), rows, name=f"Variants of {stage.name} at their base cores")


def _base_cores(stage: Stage, variant: Variant) -> Cell:
    rule = stage.base_cores_rule(variant.name) or "none"
    return Cell(f"{variant.base_cores}", f"pinned; rule: {rule}" if variant.base_cores_why else "")


def _sources(pipeline: Pipeline, stages: Sequence[Stage]) -> str:
    total = counts(pipeline, stages)
    shares = ", ".join(f"{count} {kind}" for kind, count in total.items() if count)
    origins = {key: pipeline.provenance[key] for key in sources(pipeline, stages)}
    listed = {f"{MARKS[origin.kind].sign} {key}": f"{origin.kind}: {origin.text}" for key, origin in origins.items()}
    return (
        '<section class="long">\n<h2>Where the numbers come from</h2>\n'
        f'<p class="muted">Of the {sum(total.values())} latencies and throughputs of these profiles: {shares}.</p>\n'
        f"{facts(listed)}</section>\n"
    )


# ---- the plots of a stage's profiles ----


_PANEL, _GAP, _TOP, _BOTTOM = 165, 34, 30, 50
_DIGITS = ((1.0,), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0))
"""First digits of an axis's ticks, from few to many."""


@dataclass(frozen=True)
class View:
    """What the panels are drawn against, and which figures of a variant they show."""

    key: str
    title: str
    place: Callable[[Figure], int]
    figures: Callable[[Variant], Sequence[Figure]]


VIEWS = (
    View(
        "batch",
        "batch size (at base cores)",
        lambda figure: figure.batch,
        lambda variant: [figure for figure in variant.figures if figure.cores == variant.base_cores],
    ),
    View(
        "cores",
        "cores of a replica (at batch 1; ringed: base cores)",
        lambda figure: figure.cores,
        lambda variant: [figure for figure in variant.figures if figure.batch == 1],
    ),
)


def colours(stage: Stage) -> list[str]:
    """The colour of each variant."""
    return [colour(place) for place in range(len(stage.variants))]


def plot(pipeline: Pipeline, stage: Stage, view: View) -> Plot:
    """One panel per quantity, one above the other, with logarithmic axes."""
    inner = len(QUANTITIES) * _PANEL + (len(QUANTITIES) - 1) * _GAP
    axes: Spec = {}
    annotations, shapes, traces = [], [], []
    for row, quantity in enumerate(QUANTITIES):
        reference = "" if row == 0 else str(row + 1)
        upper = 1 - row * (_PANEL + _GAP) / inner
        axes[f"yaxis{reference}"] = _upward(stage, view, quantity) | {
            "domain": [max(upper - _PANEL / inner, 0.0), upper],
            "anchor": f"x{reference}",
        }
        axes[f"xaxis{reference}"] = _across(stage, view, last=quantity is QUANTITIES[-1]) | {"anchor": f"y{reference}"}
        annotations.append(_title(quantity, upper))
        if quantity.is_latency:
            shapes.append(sla_line(stage.sla_s, reference=reference))
        drawn = [
            _line(pipeline, variant, colour, view, quantity)
            for variant, colour in zip(stage.variants, colours(stage), strict=True)
        ]
        if view.key == "cores":
            drawn.append(_rings(stage, view, quantity))
        traces += [trace | {"xaxis": f"x{reference}", "yaxis": f"y{reference}"} for trace in drawn]
    return Plot(
        f"{stage.name}-{view.key}",
        view.title,
        "",
        traces,
        layout(
            inner + _TOP + _BOTTOM,
            margin={"l": 54, "r": 10, "t": _TOP, "b": _BOTTOM},
            showlegend=False,
            annotations=annotations,
            shapes=shapes,
            **axes,
        ),
    )


def _upward(stage: Stage, view: View, quantity: Quantity) -> Spec:
    values = [quantity.value(figure) for variant in stage.variants for figure in view.figures(variant)]
    least, most = min(values), max([*values, stage.sla_s] if quantity.is_latency else values)
    ticks = _ticks(least, most)
    return axis(
        type="log",
        range=[log10(least) - 0.13, log10(most) + 0.13],
        tickvals=ticks,
        ticktext=[f"{tick:g}" for tick in ticks],
        automargin=False,
    )


def _ticks(least: float, most: float) -> list[float]:
    """Round numbers along a logarithmic axis, at least three where possible."""
    for digits in _DIGITS:
        every = [digit * 10.0**power for power in range(-6, 7) for digit in digits]
        ticks = [tick for tick in every if least <= 1.2 * tick and tick <= 1.2 * most]
        if len(ticks) >= 3:
            break
    return ticks


def _across(stage: Stage, view: View, *, last: bool) -> Spec:
    places = sorted({view.place(figure) for variant in stage.variants for figure in view.figures(variant)})
    return axis(
        view.title if last else "",
        type="log",
        range=[log10(places[0]) - 0.07, log10(places[-1]) + 0.07],
        tickvals=places,
        ticktext=[str(place) for place in places],
        showticklabels=last,
    )


def _title(quantity: Quantity, upper: float) -> Spec:
    font = {"size": 12, "color": TEXT}
    return note(f"<b>{quantity.title}</b>", x=0, xanchor="left", y=upper, yanchor="bottom", yshift=3, font=font)


def _line(pipeline: Pipeline, variant: Variant, colour: str, view: View, quantity: Quantity) -> Spec:
    """One variant: a thin line, and for each number a marker whose shape says where it comes from."""
    figures = sorted(view.figures(variant), key=view.place)
    origins = [(quantity.source(figure), pipeline.provenance[quantity.source(figure)].kind) for figure in figures]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escape(variant.name, quote=False),
        "x": [view.place(figure) for figure in figures],
        "y": numbers((quantity.value(figure) for figure in figures), 6),
        "text": [
            f"{_counted(figure.cores)}, batch {figure.batch}<br>{kind}: {escape(key, quote=False)}"
            for figure, (key, kind) in zip(figures, origins, strict=True)
        ],
        "hovertemplate": "%{y:.4~g}, %{text}",
        "line": {"color": colour, "width": 1.2},
        "marker": {
            "symbol": [MARKS[kind].symbol for _, kind in origins],
            "size": [12 if kind == "calibrated" else 8 for _, kind in origins],
            "color": colour,
            "line": {"color": colour, "width": 1.5},
        },
    }


def _counted(cores: int) -> str:
    return f"{cores} core" if cores == 1 else f"{cores} cores"


def _rings(stage: Stage, view: View, quantity: Quantity) -> Spec:
    """A ring around every variant's figure at its base cores."""
    based = [f for variant in stage.variants for f in view.figures(variant) if f.cores == variant.base_cores]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [view.place(figure) for figure in based],
        "y": numbers((quantity.value(figure) for figure in based), 6),
        "hoverinfo": "skip",
        "marker": {"symbol": "circle-open", "size": 17, "color": MUTED, "line": {"width": 1.2}},
    }
