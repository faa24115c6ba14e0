"""The plots of a stage's profiles: mean, p99 and throughput, against batch and against cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import log10

from ipa.profiles import Figure, Pipeline, Stage, Variant
from ipa.studies.pages.colours import MUTED, TEXT, colour
from ipa.studies.pages.plots import Plot, Spec, axis, layout, note, numbers, sla_line
from ipa.studies.profile import MARKS, QUANTITIES, Quantity

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
