"""Plots of the mean latency and of the slowest requests, by stage and kind of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ipa.studies.pages.clock import Clock
from ipa.studies.pages.colours import HUES, MUTED, TEXT, between, colour
from ipa.studies.pages.panels import TOOLS, Panel, panel_title, placed, under_legend
from ipa.studies.pages.passages import BACK, KINDS, MOMENTS, Passed, beside, spent_s
from ipa.studies.pages.plots import Plot, Spec, axis, note, numbers, row_axis, rows, safe, sla_line
from ipa.studies.pages.scene import Scene

if TYPE_CHECKING:
    import pandas as pd

_NAMES = {"hop": "on the way", "batch": "batch fills", "queue": "queue", "service": "service"}
_DEPTHS = {"batch": 0.12, "queue": 0.5, "service": 0.95}
_ON_THE_WAY = "#9aa4ab"

_LEAST_S = 1e-6
"""Shorter times are not drawn."""

_ROW, _HEAD, _TOP = 17, 30, 62 + TOOLS


class _Style(NamedTuple):
    """How a kind of time at a stage is drawn."""

    key: tuple[str, str]
    name: str
    colour: str


def down_to_requests(scene: Scene) -> list[Plot]:
    """The plots; empty if a run was kept without the times of requests at the stages."""
    passed = [Passed(group) for group in scene.groups]
    return [] if any(policy.rows.empty for policy in passed) else [mean_latency(scene, passed), slowest(scene, passed)]


def mean_latency(scene: Scene, passed: Sequence[Passed]) -> Plot:
    """The mean latency by stage and kind of time, a bar for each policy."""
    means = [policy.mean_s for policy in passed]
    totals = [sum(mean.values()) for mean in means]
    places = list(range(len(passed)))
    traces = [
        _bar(style, [mean.get(style.key, 0.0) for mean in means], places, [f"<b>{label}</b>" for label in scene.labels])
        for style in _styles(passed)
        if any(mean.get(style.key, 0.0) > _LEAST_S for mean in means)
    ]
    labels = [f"{total:.3f} s" if mean else "nothing completed" for total, mean in zip(totals, means, strict=True)]
    beside = {"xref": "x", "yref": "y", "xanchor": "left", "xshift": 4}
    return Plot(
        "mean-latency",
        "Where the latency went",
        "The mean latency of completed requests, by stage and kind of time: until the last request of the batch came "
        "(batch fills), until a replica was free to take the batch (queue), in service, and on the way between "
        f"stages.{scene.first}",
        traces,
        _layout(
            34 * len(passed),
            _TOP,
            barmode="stack",
            bargap=0.25,
            xaxis=axis("mean latency (s)", range=[0.0, 1.15 * max([*totals, _LEAST_S])]),
            yaxis=row_axis([panel_title(group.label, colour(group.place)) for group in scene.groups]),
            annotations=[
                note(text, x=total, y=place, **beside)
                for place, (text, total) in enumerate(zip(labels, totals, strict=True))
            ],
        ),
    )


def slowest(scene: Scene, passed: Sequence[Passed]) -> Plot:
    """The slowest requests of each policy, and those dropped after the longest wait: a bar each over time."""
    completed, dropped = (20, 8) if len(passed) == 1 else (8, 4) if len(passed) <= 4 else (4, 2)
    styles, chosen = _styles(passed), [policy.slowest(completed, dropped) for policy in passed]
    whose = "" if len(passed) == 1 else " of each policy"
    is_any = any((requests["outcome"] != "completed").any() for requests in chosen)
    given_up = f", then {dropped} that were given up after the longest time" if is_any else ""
    longest_s = max([scene.sla_s, *(float(requests["taken_s"].max()) for requests in chosen if len(requests))])
    panels, inner = placed([_ROW * max(len(requests), 1) for requests in chosen], _HEAD)
    x = axis("time since the arrival (s)", range=[0.0, 1.3 * longest_s])
    axes: Spec = {}
    traces: list[Spec] = []
    notes: list[Spec] = []
    for panel, policy, requests in zip(panels, passed, chosen, strict=True):
        names = [f"#{request}" for request in requests["request"]]
        axes |= panel.y(row_axis(names, tickfont={"size": 10})) | panel.shared_x(x)
        title = panel_title(policy.group.label, colour(policy.group.place), "" if len(requests) else "no request ended")
        notes += [panel.note(title, 2), *_ends(policy, requests, panel)]
        traces += _panel(policy, requests, styles, panel, scene.clock)
    drawn = [trace["name"] for trace in traces]
    traces = [trace | {"showlegend": drawn.index(trace["name"]) == place} for place, trace in enumerate(traces)]
    shapes = [sla_line(scene.sla_s, vertical=True, reference=panel.reference) for panel in panels]
    return Plot(
        "slowest",
        "Slowest requests",
        f"The {completed} requests{whose} that waited longest for their answer{given_up}, from their arrival on; "
        "dashed: the SLA. The pointer shows when, and which replicas were starting or leaving meanwhile."
        f"{scene.first}",
        traces,
        _layout(inner, _TOP + 14, barmode="overlay", bargap=0, annotations=notes, shapes=shapes, **axes),
    )


def _layout(inner: float, top: float, **keys: Any) -> Spec:
    """The layout with its legend beneath plotly's buttons."""
    spec = under_legend(inner, top, **keys)
    spec["legend"] |= {"y": 1 - TOOLS / spec["height"], "traceorder": "normal"}
    return spec


def _styles(passed: Sequence[Passed]) -> list[_Style]:
    """The kinds of time in the order of a request; all network delays in one colour."""
    stages = list(dict.fromkeys(stage for policy in passed for stage in policy.rows["stage"].unique() if stage != BACK))
    styles = []
    for place, stage in enumerate(stages):
        styles.append(_Style((stage, "hop"), _NAMES["hop"], _ON_THE_WAY))
        for kind, depth in _DEPTHS.items():
            of_kind = between(*HUES[place % len(HUES)], depth)
            styles.append(_Style((stage, kind), f"{safe(stage)}: {_NAMES[kind]}", of_kind))
    return [*styles, _Style((BACK, "hop"), _NAMES["hop"], _ON_THE_WAY)]


def _bar(style: _Style, x: Sequence[float], y: Sequence[int], hover_texts: Sequence[str], **keys: Any) -> Spec:
    hover = f"%{{customdata}}<br>{style.name}: %{{x:.3f}} s<extra></extra>"
    shown: Spec = {"legendgroup": style.name, "customdata": list(hover_texts), "hovertemplate": hover}
    return rows(numbers(x, 5), y, style.name, style.colour, **shown, **keys)


def _panel(policy: Passed, chosen: pd.DataFrame, styles: Sequence[_Style], panel: Panel, clock: Clock) -> list[Spec]:
    """The bars of a policy's requests."""
    place = {int(request): number for number, request in enumerate(chosen["request"])}
    arrival_s = dict(zip(chosen["request"], chosen["arrival_s"], strict=True))
    text_by_request = {row["request"]: _said(row, clock) for row in chosen.to_dict("records")}
    own_rows = policy.rows[policy.rows["request"].isin(list(place))]
    spent = spent_s(own_rows)
    traces = []
    for style in styles:
        stage, kind = style.key
        here = own_rows[(spent["stage"] == stage) & (spent[kind] > _LEAST_S)]
        if not here.empty:
            begins = MOMENTS[KINDS.index(kind)]
            traces.append(
                _bar(
                    style,
                    spent.loc[here.index, kind].tolist(),
                    [place[int(request)] for request in here["request"]],
                    [_with_rollout(policy, row, text_by_request[row["request"]]) for row in here.to_dict("records")],
                    base=numbers(here[begins] - here["request"].map(arrival_s), 5),
                    width=0.8,
                    **panel.axes,
                )
            )
    return traces


def _said(row: Mapping[Any, Any], clock: Clock) -> str:
    """The hover text of a request: its number, its arrival, and how it ended if not completed."""
    text = f"<b>request {row['request']}</b>, arrived at {clock.text(row['arrival_s'])}"
    if row["outcome"] == "completed":
        return text
    where = f" at {row['dropped_stage']}" if isinstance(row.get("dropped_stage"), str) else ""
    return f"{text}<br>{safe(row['outcome'] + where)} after {row['taken_s']:.3f} s"


def _with_rollout(policy: Passed, row: Mapping[Any, Any], text: str) -> str:
    rollout = beside(policy.group.tables["replicas"], row["stage"], row["enqueue_s"], row["finish_s"])
    return f"{text}<br>meanwhile {safe(rollout)}" if rollout else text


def _ends(policy: Passed, chosen: pd.DataFrame, panel: Panel) -> list[Spec]:
    """Beside each bar: how the request ended if not completed, and whether a rollout was in progress."""
    refs = {"xref": f"x{panel.reference}", "yref": f"y{panel.reference}", "xanchor": "left", "xshift": 4}
    notes = []
    for place, row in enumerate(chosen.to_dict("records")):
        mine = policy.rows[policy.rows["request"] == row["request"]]
        is_changing = any(
            beside(policy.group.tables["replicas"], *passage)
            for passage in zip(mine["stage"], mine["enqueue_s"], mine["finish_s"], strict=True)
        )
        is_answered = row["outcome"] == "completed"
        words = [*([] if is_answered else [str(row["outcome"])]), *(["rollout"] if is_changing else [])]
        if words:
            font = {"size": 10, "color": MUTED if is_answered else TEXT}
            notes.append(note(", ".join(words), x=round(float(row["taken_s"]), 5), y=place, font=font, **refs))
    return notes
