"""A pipeline's graph, drawn from left to right: its stages with what is said of each, its edges with their factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ipa.profiles import Graph, Pipeline, default_rules
from ipa.studies.pages.colours import BACKGROUND, LINE, MUTED, TEXT
from ipa.studies.pages.plots import Plot, Spec, layout, line, note, points, safe

_ROW, _COLUMN = 92, 190
"""The room of a stage: its height and its least width [pixels]."""

_SIDE = 88
"""From the middle of a stage to the word of its join [pixels]."""

Place = tuple[float, float]
"""From the left and from below, from 0 to 1."""


def plots(pipeline: Pipeline) -> list[Plot]:
    """A graph at its `load_rps`, for each of scale-only's choices of variants; of a chain none."""
    graph, load_rps = pipeline.graph, pipeline.defaults.load_rps
    if graph is None:
        return []
    return [
        plot(graph, f"graph-{end}", f"scale-only:{end} at {load_rps:g} requests/s", chosen, _loads(pipeline, chosen))
        for end, chosen in pipeline.defaults.scale_only.items()
        if end in ("low", "high")
    ]


def _loads(pipeline: Pipeline, chosen: Mapping[str, str]) -> dict[str, list[str]]:
    """Stage -> its fewest replicas, its items per second, and how busy they are; in the pipeline's order."""
    defaults = pipeline.defaults
    loads_rps = default_rules.stage_loads_rps(pipeline.stages, chosen, defaults.load_rps, pipeline.graph)
    found = {}
    for stage in pipeline.stages:
        variant, load_rps = stage.variant(chosen[stage.name]), loads_rps[stage.name]
        replicas = default_rules.replicas(defaults, stage, variant, load_rps)
        busy = load_rps / (replicas * default_rules.replica_rps(defaults, stage, variant))
        found[stage.name] = [f"{replicas} x {variant.name}", f"{load_rps:.3g} items/s, {100 * busy:.0f} % busy"]
    return found


def plot(graph: Graph, name: str, title: str, variants: Mapping[str, str], said: Mapping[str, Sequence[str]]) -> Plot:
    """A graph with the variants that serve it.

    `said`: stage -> lines about it, of all stages, in the pipeline's order.
    """
    columns = _columns(list(said), graph)
    rows = max(map(len, columns))
    places = {
        way: ((k + 0.5) / len(columns), 0.5 + ((len(column) - 1) / 2 - row) / rows)
        for k, column in enumerate(columns)
        for row, way in enumerate(column)
    }
    lines, factors = [], []
    for edge in graph.edges:
        between = sorted(place for way, place in places.items() if way[:-1] == (edge.parent, edge.child))
        way = [places[edge.parent,], *between, places[edge.child,]]
        across, up = [place[0] for place in way], [place[1] for place in way]
        lines.append(line(across, up, "", {"color": MUTED, "width": 1.2}, hoverinfo="skip"))
        factors.append(_factor(way[0], way[1], f"× {edge.factor(variants[edge.parent]):.3g}"))
    joins = [
        _word(places[stage,], f"{join.wait_s:g} s" if join.kind == "wait" else join.kind)
        for stage, join in graph.joins.items()
    ]
    boxes = [_box(places[stage,], [f"<b>{safe(stage)}</b>", *map(safe, of_stage)]) for stage, of_stage in said.items()]
    names = [points([], [], safe(stage), {"color": TEXT}) for stage in said]  # for those who cannot see it
    axes: Spec = {"visible": False, "fixedrange": True, "range": [0.0, 1.0]}
    margin = {"l": 0, "r": 0, "t": 10, "b": 10}
    looks: Spec = {"showlegend": False, "margin": margin, "annotations": [*factors, *joins, *boxes]}
    spec = layout(_ROW * rows + 20, xaxis=axes, yaxis=axes, **looks)
    return Plot(name, title, "", [*lines, *names], spec, least_width=_COLUMN * len(columns))


def _columns(stages: Sequence[str], graph: Graph) -> list[list[tuple[str, ...]]]:
    """From left to right what stands there, from above: stages as (name,), each after all that lead to it; and between
    them the room that longer edges take, as (from, to, which)."""
    depth: dict[str, int] = {}
    for stage in stages:
        depth[stage] = 1 + max((depth[edge.parent] for edge in graph.into(stage)), default=-1)
    columns: list[list[tuple[str, ...]]] = [[] for _ in range(1 + max(depth.values()))]
    for stage in stages:
        columns[depth[stage]].append((stage,))
    for edge in graph.edges:
        for k in range(depth[edge.parent] + 1, depth[edge.child]):
            columns[k].append((edge.parent, edge.child, str(k)))
    return columns


def _box(place: Place, lines: Sequence[str]) -> Spec:
    frame: Spec = {"bordercolor": LINE, "borderwidth": 1, "borderpad": 5}
    return _text(place, "<br>".join(lines)) | frame | {"font": {"size": 12, "color": TEXT}}


def _word(place: Place, text: str) -> Spec:
    """What a stage joins, where edges come in."""
    return _text(place, text) | {"xshift": -_SIDE}


def _factor(start: Place, end: Place, text: str) -> Spec:
    """Half way between two places."""
    return _text(((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), text)


def _text(place: Place, text: str) -> Spec:
    return note(text, x=place[0], y=place[1], xanchor="center", yanchor="middle", bgcolor=BACKGROUND)
