"""A pipeline's graph, drawn from left to right: its stages with lines of text, its edges with their factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ipa.profiles import Graph, Pipeline, default_rules
from ipa.studies.pages.colours import BACKGROUND, LINE, MUTED, TEXT
from ipa.studies.pages.plots import Plot, Spec, layout, line, note, points, safe

_ROW, _COLUMN = 92, 190
"""The height and the minimum width of a stage [pixels]."""

_SIDE = 88
"""The distance from the middle of a stage to the word of its join [pixels]."""

Place = tuple[float, float]
"""x from the left and y from below, from 0 to 1."""

Said = Mapping[str, Sequence[str]]
"""Stage -> lines about it; all stages, in the pipeline's order."""


@dataclass(frozen=True)
class GraphDrawing:
    """The positions of a graph's parts.

    `ways`: for each edge the places that its line joins; `factors`: their texts. `boxes`: the stages with their lines
    of text. `joins`: the places of stages that join, and how.
    """

    columns: int
    rows: int
    ways: Sequence[Sequence[Place]]
    factors: Sequence[str]
    boxes: Mapping[str, tuple[Place, Sequence[str]]]
    joins: Sequence[tuple[Place, str]]

    def plot(self, name: str, title: str, reading: str = "") -> Plot:
        """As a plot of a page."""
        lines = [
            line([x for x, _ in way], [y for _, y in way], "", {"color": MUTED, "width": 1.2}, hoverinfo="skip")
            for way in self.ways
        ]
        notes = [
            *(_text(_half_way(way), text) for way, text in zip(self.ways, self.factors, strict=True)),
            *(_text(place, text) | {"xshift": -_SIDE} for place, text in self.joins),
            *(
                _box(place, [f"<b>{safe(stage)}</b>", *map(safe, texts)])
                for stage, (place, texts) in self.boxes.items()
            ),
        ]
        names = [points([], [], safe(stage), {"color": TEXT}) for stage in self.boxes]  # for those who cannot see it
        axes: Spec = {"visible": False, "fixedrange": True, "range": [0.0, 1.0]}
        looks: Spec = {"showlegend": False, "margin": {"l": 0, "r": 0, "t": 10, "b": 10}, "annotations": notes}
        spec = layout(_ROW * self.rows + 20, xaxis=axes, yaxis=axes, **looks)
        return Plot(name, title, reading, [*lines, *names], spec, least_width=_COLUMN * self.columns)


def drawing(graph: Graph, factors: Sequence[float | None], lines_by_stage: Said) -> GraphDrawing:
    """The drawing of a graph; `factors`: for each edge, None if unknown."""
    columns = _columns(list(lines_by_stage), graph)
    rows = max(map(len, columns))
    places = {
        way: ((k + 0.5) / len(columns), 0.5 + ((len(column) - 1) / 2 - row) / rows)
        for k, column in enumerate(columns)
        for row, way in enumerate(column)
    }
    ways = []
    for edge in graph.edges:
        bends = sorted(place for way, place in places.items() if way[:-1] == (edge.parent, edge.child))
        ways.append([places[edge.parent,], *bends, places[edge.child,]])
    return GraphDrawing(
        columns=len(columns),
        rows=rows,
        ways=ways,
        factors=["" if factor is None else f"× {factor:.3g}" for factor in factors],
        boxes={stage: (places[stage,], lines) for stage, lines in lines_by_stage.items()},
        joins=[
            (places[stage,], f"{join.wait_s:g} s" if join.kind == "wait" else join.kind)
            for stage, join in graph.joins.items()
        ],
    )


def plots(pipeline: Pipeline) -> list[Plot]:
    """The graph at its `load_rps`, for each of scale-only's choices of variants; empty for a chain."""
    graph, load_rps = pipeline.graph, pipeline.defaults.load_rps
    if graph is None:
        return []
    of_choices = []
    for end, chosen in pipeline.defaults.scale_only.items():
        if end in ("low", "high"):
            factors = [edge.factor(chosen[edge.parent]) for edge in graph.edges]
            drawn = drawing(graph, factors, _loads(pipeline, chosen))
            of_choices.append(drawn.plot(f"graph-{end}", f"scale-only:{end} at {load_rps:g} requests/s"))
    return of_choices


def _loads(pipeline: Pipeline, chosen: Mapping[str, str]) -> dict[str, list[str]]:
    """Stage -> its fewest replicas, its arrival rate [items/s] and its utilisation as text; in the pipeline's order."""
    defaults = pipeline.defaults
    loads_rps = default_rules.stage_loads_rps(pipeline, chosen, defaults.load_rps)
    lines_by_stage = {}
    for stage in pipeline.stages:
        variant, load_rps = stage.variant(chosen[stage.name]), loads_rps[stage.name]
        replicas = default_rules.replicas(defaults, stage, variant, load_rps)
        busy = load_rps / (replicas * default_rules.replica_rps(defaults, stage, variant))
        lines_by_stage[stage.name] = lines_of(f"{replicas} x {variant.name}", load_rps, busy)
    return lines_by_stage


def lines_of(served_by: str, load_rps: float, busy: float) -> list[str]:
    """The text of a stage: what serves it, its arrival rate [items/s], and the utilisation (`busy`, 0 to 1)."""
    return [served_by, f"{load_rps:.3g} items/s, {100 * busy:.0f} % busy"]


def _columns(stages: Sequence[str], graph: Graph) -> list[list[tuple[str, ...]]]:
    """The columns from left to right, each from above: stages as (name,), after all that lead to them; and placeholders
    for edges that pass the column, as (from, to, which)."""
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


def _half_way(way: Sequence[Place]) -> Place:
    """The middle of a line's first segment."""
    (x, y), (next_x, next_y) = way[:2]
    return (x + next_x) / 2, (y + next_y) / 2


def _box(place: Place, lines: Sequence[str]) -> Spec:
    frame: Spec = {"bordercolor": LINE, "borderwidth": 1, "borderpad": 5}
    return _text(place, "<br>".join(lines)) | frame | {"font": {"size": 12, "color": TEXT}}


def _text(place: Place, text: str) -> Spec:
    return note(text, x=place[0], y=place[1], xanchor="center", yanchor="middle", bgcolor=BACKGROUND)
