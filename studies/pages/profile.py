"""A pipeline's profiles as a page: tables, plots, and where each number comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10

from ipa.profiles import Figure, Pipeline, Stage, Variant
from ipa.studies.pages.colours import MUTED, SLA_COLOUR, TEXT, colour
from ipa.studies.pages.document import Cell, Facts, Items, Page, Pair, Part, Section, Strong, Swatch, Table, Text
from ipa.studies.pages.graph import plots as graph_plots
from ipa.studies.pages.panels import placed
from ipa.studies.pages.plots import Plot, Spec, axis, layout, line, numbers, points, safe, sla_line
from ipa.studies.profile import MARKS, QUANTITIES, Quantity, besides, counts, graph_facts, pins, sla_sum, sources


def page(pipeline: Pipeline, stages: Sequence[Stage]) -> Page:
    """The page for some stages of a pipeline; the same pipeline gives the same page."""
    subtitle = [pipeline.description, f"SLA, end to end: {sla_sum(pipeline)}"]
    facts = graph_facts(pipeline)
    note = "Items per second, how busy the fewest replicas are, and how many items one item gives."
    graph = [Section("The graph", [*graph_plots(pipeline), Facts(facts)], note)] if facts else []
    sections = [*graph, *(_section(pipeline, stage) for stage in stages), _sources(pipeline, stages)]
    return Page(f"Pipeline {pipeline.name}: profiles", subtitle, sections)


def _section(pipeline: Pipeline, stage: Stage) -> Section:
    pinned = f"pinned; the rule gives {stage.sla_rule_s:.4g} s" if stage.sla_why else "by the rule"
    note = (
        f"{stage.task[:1].upper()}{stage.task[1:]}. Accuracy is {stage.accuracy_metric}. SLA of the stage: "
        f"{stage.sla_s:.4g} s ({pinned}). Base cores carry {stage.threshold_rps:g} rps."
    )
    facts = {**pins([stage]), **besides([stage])}
    pair = Pair([plot(pipeline, stage, view) for view in VIEWS])
    parts: list[Part] = [_table(stage), _key(stage), pair, *([Facts(facts)] if facts else [])]
    return Section(stage.name, parts, note, css="long")


def _key(stage: Stage) -> Items:
    """What the colours, markers and lines of the plots stand for."""
    named: list[Text] = [
        [Swatch(tint), variant.name] for variant, tint in zip(stage.variants, colours(stage), strict=True)
    ]
    marks = [f"{mark.sign} {kind}" for kind, mark in MARKS.items()]
    return Items([*named, *marks, [Strong("- - -", SLA_COLOUR), " SLA of the stage"]], "key")


def _table(stage: Stage) -> Table:
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
    return Table(f"Variants of {stage.name} at their base cores", [*columns, f"rps, batch {large}"], rows)


def _base_cores(stage: Stage, variant: Variant) -> Cell:
    rule = stage.base_cores_rule(variant.name) or "none"
    return Cell(f"{variant.base_cores}", f"pinned; rule: {rule}" if variant.base_cores_why else "")


def _sources(pipeline: Pipeline, stages: Sequence[Stage]) -> Section:
    total = counts(pipeline, stages)
    shares = ", ".join(f"{count} {kind}" for kind, count in total.items() if count)
    origins = {key: pipeline.provenance[key] for key in sources(pipeline, stages)}
    listed = {f"{MARKS[origin.kind].sign} {key}": f"{origin.kind}: {origin.text}" for key, origin in origins.items()}
    note = f"Of the {sum(total.values())} latencies and throughputs of these profiles: {shares}."
    return Section("Where the numbers come from", [Facts(listed)], note, css="long")


# ---- the plots of a stage's profiles ----


_PANEL, _GAP, _TOP, _BOTTOM = 165, 34, 30, 50
_DIGITS = ((1.0,), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0))
"""Leading digits of an axis's ticks, from few to many."""


@dataclass(frozen=True)
class ProfileView:
    """The x axis of the panels, and the figures of a variant that they show."""

    key: str
    title: str
    place: Callable[[Figure], int]
    figures: Callable[[Variant], Sequence[Figure]]


VIEWS = (
    ProfileView(
        "batch",
        "batch size (at base cores)",
        lambda figure: figure.batch,
        lambda variant: [figure for figure in variant.figures if figure.cores == variant.base_cores],
    ),
    ProfileView(
        "cores",
        "cores of a replica (at batch 1; ringed: base cores)",
        lambda figure: figure.cores,
        lambda variant: [figure for figure in variant.figures if figure.batch == 1],
    ),
)


def colours(stage: Stage) -> list[str]:
    """The colour of each variant."""
    return [colour(place) for place in range(len(stage.variants))]


def plot(pipeline: Pipeline, stage: Stage, view: ProfileView) -> Plot:
    """One panel per quantity, one above the other, with logarithmic axes."""
    panels, inner = placed([_PANEL] * len(QUANTITIES), _GAP)
    axes: Spec = {}
    annotations, shapes, traces = [], [], []
    for panel, quantity in zip(panels, QUANTITIES, strict=True):
        axes |= panel.y(_upward(stage, view, quantity)) | panel.x(_across(stage, view, panel.is_last))
        annotations.append(panel.note(f"<b>{quantity.title}</b>", 3, font={"size": 12, "color": TEXT}))
        if quantity.is_latency:
            shapes.append(sla_line(stage.sla_s, reference=panel.reference))
        drawn = [
            _line(pipeline, variant, tint, view, quantity)
            for variant, tint in zip(stage.variants, colours(stage), strict=True)
        ]
        rings = [_rings(stage, view, quantity)] if view.key == "cores" else []
        traces += [trace | panel.axes for trace in (*drawn, *rings)]
    margin = {"l": 54, "r": 10, "t": _TOP, "b": _BOTTOM}
    looks: Spec = {"margin": margin, "showlegend": False, "annotations": annotations, "shapes": shapes}
    spec = layout(inner + _TOP + _BOTTOM, **looks, **axes)
    return Plot(f"{stage.name}-{view.key}", view.title, "", traces, spec)


def _upward(stage: Stage, view: ProfileView, quantity: Quantity) -> Spec:
    values = [quantity.value(figure) for variant in stage.variants for figure in view.figures(variant)]
    least, most = min(values), max([*values, stage.sla_s] if quantity.is_latency else values)
    ticks = _ticks(least, most)
    ends = [log10(least) - 0.13, log10(most) + 0.13]
    return axis(type="log", range=ends, tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks], automargin=False)


def _ticks(least: float, most: float) -> list[float]:
    """Round numbers along a logarithmic axis, at least three where possible."""
    for digits in _DIGITS:
        every = [digit * 10.0**power for power in range(-6, 7) for digit in digits]
        ticks = [tick for tick in every if least <= 1.2 * tick and tick <= 1.2 * most]
        if len(ticks) >= 3:
            break
    return ticks


def _across(stage: Stage, view: ProfileView, is_last: bool) -> Spec:
    places = sorted({view.place(figure) for variant in stage.variants for figure in view.figures(variant)})
    ends = [log10(places[0]) - 0.07, log10(places[-1]) + 0.07]
    ticks = {"tickvals": places, "ticktext": [str(place) for place in places], "showticklabels": is_last}
    return axis(view.title if is_last else "", type="log", range=ends, **ticks)


def _line(pipeline: Pipeline, variant: Variant, tint: str, view: ProfileView, quantity: Quantity) -> Spec:
    """One variant: a thin line, and for each number a marker whose shape shows its source."""
    figures = sorted(view.figures(variant), key=view.place)
    origins = [(quantity.source(figure), pipeline.provenance[quantity.source(figure)].kind) for figure in figures]
    thin = line(
        [view.place(figure) for figure in figures],
        numbers((quantity.value(figure) for figure in figures), 6),
        safe(variant.name),
        {"color": tint, "width": 1.2},
        text=[
            f"{figure.cores} core{'s' * (figure.cores != 1)}, batch {figure.batch}<br>{kind}: {safe(key)}"
            for figure, (key, kind) in zip(figures, origins, strict=True)
        ],
        hovertemplate="%{y:.4~g}, %{text}",
        marker={
            "symbol": [MARKS[kind].symbol for _, kind in origins],
            "size": [12 if kind == "calibrated" else 8 for _, kind in origins],
            "color": tint,
            "line": {"color": tint, "width": 1.5},
        },
    )
    return thin | {"mode": "lines+markers"}


def _rings(stage: Stage, view: ProfileView, quantity: Quantity) -> Spec:
    """A ring around every variant's figure at its base cores."""
    based = [f for variant in stage.variants for f in view.figures(variant) if f.cores == variant.base_cores]
    x, y = [view.place(figure) for figure in based], numbers((quantity.value(figure) for figure in based), 6)
    ring = {"symbol": "circle-open", "size": 17, "color": MUTED, "line": {"width": 1.2}}
    return points(x, y, "", ring, hoverinfo="skip")
