"""From the mean latency down to the slowest requests: at which stage each second went, and what happened beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from ipa.studies.many import Group
from ipa.studies.pages.clock import clock
from ipa.studies.pages.colours import HUES, MUTED, TEXT, between, colour
from ipa.studies.pages.panels import TOOLS, panel_title
from ipa.studies.pages.plots import Plot, Spec, axis, layout, note, numbers, sla_line

_NAMES = {"hop": "on the way", "batch": "batch fills", "queue": "queue", "service": "service"}
_DEPTHS = {"batch": 0.12, "queue": 0.5, "service": 0.95}
_ON_THE_WAY = "#9aa4ab"

_LEAST_S = 1e-6
"""Less time than this is not drawn."""

_ROW, _HEAD, _TOP, _BOTTOM = 17, 30, 62 + TOOLS, 52


@dataclass(frozen=True)
class Passed:
    """How the requests of a policy's first seed passed through the stages."""

    group: Group

    @cached_property
    def rows(self) -> pd.DataFrame:
        """As `passages`."""
        return passages(self.group.tables["requests"], self.group.tables["stages"])

    @property
    def mean_s(self) -> dict[tuple[str, str], float]:
        """As `mean_spent_s`."""
        tables = self.group.tables
        return counted_spent_s(tables["spent"]) if "spent" in tables else mean_spent_s(tables["requests"], self.rows)

    def slowest(self, completed: int, dropped: int) -> pd.DataFrame:
        """The requests that took longest until they were answered, then those until they were dropped or failed."""
        requests = self.group.tables["requests"]
        requests = requests[requests["request"].isin(self.rows["request"])]
        requests = requests.assign(taken_s=requests["end_s"] - requests["arrival_s"])
        requests = requests.sort_values(["taken_s", "request"], ascending=[False, True])
        answered = requests["outcome"] == "completed"
        rank = requests.groupby(answered).cumcount()
        shown = requests[rank < answered.map({True: completed, False: dropped})]
        return shown.sort_values("outcome", key=lambda outcome: outcome != "completed", kind="stable")


def mean_latency(passed: Sequence[Passed], first: str) -> Plot:
    """Where the mean second of latency went, a bar for each policy."""
    means = [each.mean_s for each in passed]
    styles = _styles(passed)
    traces = [
        _bar(
            style,
            [mean.get(style.key, 0.0) for mean in means],
            list(range(len(passed))),
            [f"<b>{each.group.label}</b>" for each in passed],
        )
        for style in styles
        if any(mean.get(style.key, 0.0) > _LEAST_S for mean in means)
    ]
    totals = [sum(mean.values()) for mean in means]
    return Plot(
        "mean-latency",
        "Where the latency went",
        "The mean latency of completed requests, by stage and kind of time: until the last request of the batch came "
        "(batch fills), until a replica was free to take the batch (queue), in service, and on the way between "
        f"stages.{first}",
        traces,
        layout(
            _TOP + _BOTTOM + 34 * len(passed),
            barmode="stack",
            bargap=0.25,
            margin={"l": 64, "r": 24, "t": _TOP, "b": _BOTTOM},
            legend=_legend(_TOP + _BOTTOM + 34 * len(passed)),
            xaxis=axis("mean latency (s)", range=[0.0, 1.15 * max([*totals, _LEAST_S])]),
            yaxis=axis(
                range=[len(passed) - 0.5, -0.5],
                tickvals=list(range(len(passed))),
                ticktext=[panel_title(each.group.label, colour(each.group.place)) for each in passed],
                ticks="",
                showgrid=False,
                fixedrange=True,
            ),
            annotations=[
                note(
                    f"{total:.3f} s" if mean else "nothing completed",
                    x=total,
                    y=place,
                    xref="x",
                    yref="y",
                    xanchor="left",
                    xshift=4,
                )
                for place, (total, mean) in enumerate(zip(totals, means, strict=True))
            ],
        ),
    )


def slowest(
    passed: Sequence[Passed], duration_s: float, sla_s: float, first: str, starts_at: datetime | None = None
) -> Plot:
    """The slowest requests of each policy, and those dropped after the longest wait: a bar each, second by second."""
    completed, dropped = (20, 8) if len(passed) == 1 else (8, 4) if len(passed) <= 4 else (4, 2)
    styles, chosen = _styles(passed), [each.slowest(completed, dropped) for each in passed]
    whose = "" if len(passed) == 1 else " of each policy"
    is_any = any((rows["outcome"] != "completed").any() for rows in chosen)
    given_up = f", then {dropped} that were given up after the longest time" if is_any else ""
    counts = [max(len(rows), 1) for rows in chosen]
    inner = sum(counts) * _ROW + (len(passed) - 1) * _HEAD
    longest_s = max([sla_s, *(float(rows["taken_s"].max()) for rows in chosen if len(rows))])
    axes: Spec = {}
    traces: list[Spec] = []
    annotations: list[Spec] = []
    upper = 1.0
    for place, (each, rows) in enumerate(zip(passed, chosen, strict=True)):
        reference, last = "" if place == 0 else str(place + 1), place == len(passed) - 1
        lower = max(upper - counts[place] * _ROW / inner, 0.0)
        axes[f"xaxis{reference}"] = axis(
            "time since the arrival (s)" if last else "",
            range=[0.0, 1.3 * longest_s],
            showticklabels=last,
            anchor=f"y{reference}",
            **({"matches": "x"} if reference else {}),
        )
        axes[f"yaxis{reference}"] = axis(
            domain=[lower, upper],
            range=[counts[place] - 0.5, -0.5],
            tickvals=list(range(len(rows))),
            ticktext=[f"#{request}" for request in rows["request"]],
            tickfont={"size": 10},
            ticks="",
            showgrid=False,
            fixedrange=True,
            anchor=f"x{reference}",
        )
        said = {row["request"]: _said(row, duration_s, starts_at) for row in rows.to_dict("records")}
        title = panel_title(each.group.label, colour(each.group.place), "" if len(rows) else "no request ended")
        annotations.append(note(title, x=0, xanchor="left", y=upper, yanchor="bottom", yshift=2))
        drawn = {trace["name"] for trace in traces}
        traces += _panel(each, rows, styles, said, reference, drawn)
        annotations += _ends(each, rows, reference)
        upper = lower - _HEAD / inner
    return Plot(
        "slowest",
        "Slowest requests",
        f"The {completed} requests{whose} that waited longest for their answer{given_up}, from their arrival on; "
        "dashed: the SLA. The pointer shows when, and which replicas were starting or leaving meanwhile."
        f"{first}",
        traces,
        layout(
            inner + _TOP + 14 + _BOTTOM,
            barmode="overlay",
            bargap=0,
            margin={"l": 64, "r": 24, "t": _TOP + 14, "b": _BOTTOM},
            legend=_legend(inner + _TOP + 14 + _BOTTOM),
            annotations=annotations,
            shapes=[
                sla_line(sla_s, vertical=True, reference="" if place == 0 else str(place + 1))
                for place in range(len(passed))
            ],
            **axes,
        ),
    )


def _legend(height: int) -> Spec:
    """The legend beneath plotly's buttons."""
    upper = 1 - TOOLS / height
    return {"orientation": "h", "x": 0, "y": upper, "yref": "container", "yanchor": "top", "traceorder": "normal"}


@dataclass(frozen=True)
class _Style:
    """A kind of time at a stage as it is drawn."""

    key: tuple[str, str]
    name: str
    colour: str


def _styles(passed: Sequence[Passed]) -> list[_Style]:
    """The kinds of time in the order of a request; all ways in one colour."""
    stages = list(dict.fromkeys(stage for each in passed for stage in each.rows["stage"].unique() if stage != BACK))
    found = []
    for place, stage in enumerate(stages):
        name = escape(stage, quote=False)
        found.append(_Style((stage, "hop"), _NAMES["hop"], _ON_THE_WAY))
        for kind, depth in _DEPTHS.items():
            colour = between(*HUES[place % len(HUES)], depth)
            found.append(_Style((stage, kind), f"{name}: {_NAMES[kind]}", colour))
    return [*found, _Style((BACK, "hop"), _NAMES["hop"], _ON_THE_WAY)]


def _bar(style: _Style, x: Sequence[float], y: Sequence[int], about: Sequence[str], **more: object) -> Spec:
    return {
        "type": "bar",
        "orientation": "h",
        "x": numbers(x, 5),
        "y": list(y),
        "name": style.name,
        "legendgroup": style.name,
        "marker": {"color": style.colour, "line": {"width": 0}},
        "customdata": list(about),
        "hovertemplate": f"%{{customdata}}<br>{style.name}: %{{x:.3f}} s<extra></extra>",
        **more,
    }


def _panel(
    each: Passed,
    rows: pd.DataFrame,
    styles: Sequence[_Style],
    said: Mapping[int, str],
    reference: str,
    drawn: set[str],
) -> list[Spec]:
    """The bars of a policy's requests; `said`: what is said of each, `drawn`: what the legend has already."""
    place = {int(request): number for number, request in enumerate(rows["request"])}
    arrival_s = dict(zip(rows["request"], rows["arrival_s"], strict=True))
    found = each.rows[each.rows["request"].isin(list(place))]
    spent = spent_s(found)
    traces = []
    for style in styles:
        stage, kind = style.key
        here = found[(spent["stage"] == stage) & (spent[kind] > _LEAST_S)]
        if here.empty:
            continue
        begins = ("left_s", "enqueue_s", "filled_s", "start_s")[KINDS.index(kind)]
        requests = [int(request) for request in here["request"]]
        traces.append(
            _bar(
                style,
                spent.loc[here.index, kind].tolist(),
                [place[request] for request in requests],
                [_with_rollout(each, row, said[row["request"]]) for row in here.to_dict("records")],
                base=numbers(here[begins] - here["request"].map(arrival_s), 5),
                width=0.8,
                showlegend=style.name not in drawn,
                xaxis=f"x{reference}",
                yaxis=f"y{reference}",
            )
        )
        drawn.add(style.name)
    return traces


def _said(row: Mapping[Any, Any], duration_s: float, starts_at: datetime | None) -> str:
    """What the pointer shows of a request: which it is, when it came, and how it ended unless it was answered."""
    text = f"<b>request {row['request']}</b>, arrived at {clock(row['arrival_s'], duration_s, starts_at)}"
    if row["outcome"] == "completed":
        return text
    where = f" at {row['dropped_stage']}" if isinstance(row.get("dropped_stage"), str) else ""
    return f"{text}<br>{escape(row['outcome'] + where, quote=False)} after {row['taken_s']:.3f} s"


def _with_rollout(each: Passed, row: Mapping[Any, Any], text: str) -> str:
    rollout = beside(each.group.tables["replicas"], row["stage"], row["enqueue_s"], row["finish_s"])
    return f"{text}<br>meanwhile {escape(rollout, quote=False)}" if rollout else text


def _ends(each: Passed, rows: pd.DataFrame, reference: str) -> list[Spec]:
    """Beside each bar how the request ended, where it was not answered, and whether a stage was rolled out then."""
    found = []
    for place, row in enumerate(rows.to_dict("records")):
        mine = each.rows[each.rows["request"] == row["request"]]
        changing = [
            stage
            for stage, from_s, to_s in zip(mine["stage"], mine["enqueue_s"], mine["finish_s"], strict=True)
            if beside(each.group.tables["replicas"], stage, from_s, to_s)
        ]
        words = [] if row["outcome"] == "completed" else [str(row["outcome"])]
        words += ["rollout"] if changing else []
        if words:
            found.append(
                note(
                    ", ".join(words),
                    x=round(float(row["taken_s"]), 5),
                    y=place,
                    xref=f"x{reference}",
                    yref=f"y{reference}",
                    xanchor="left",
                    xshift=4,
                    font={"size": 10, "color": TEXT if row["outcome"] != "completed" else MUTED},
                )
            )
    return found


# ---- where each second of a request went ----


KINDS = ("hop", "batch", "queue", "service")
"""On the way to the stage; until the last of its batch came; until a replica took the batch; until it was served."""

MOMENTS = ("left_s", "enqueue_s", "filled_s", "start_s", "finish_s")
"""Where the kinds of time at a stage begin and end, in their order."""

BACK = "(back)"
"""The last row of a request: its way back from the last stage, where that takes time. No stage can be called so."""


def passages(requests: pd.DataFrame, stages: pd.DataFrame) -> pd.DataFrame:
    """One row for each ended request and stage that it reached, in order: request, stage, and `MOMENTS` (seconds).

    Each row begins where the one before ended, the first with the arrival, and the last ends with the request, so that
    the kinds of time add up to its latency. A request that was dropped waited in the queue to its end. Where it is not
    known when the last of a batch came, its wait counts as queue.
    """
    import pandas as pd

    ended = requests.loc[np.isfinite(requests["end_s"]), ["request", "arrival_s", "end_s"]]
    rows = stages.merge(ended, on="request").sort_values("request", kind="stable", ignore_index=True)
    known_s = rows["filled_s"].fillna(rows["enqueue_s"]) if "filled_s" in rows else _filled_s(rows, stages)
    rows["filled_s"] = known_s
    for moment in ("start_s", "finish_s"):
        rows[moment] = rows[moment].fillna(rows["end_s"])
    left_s = rows.groupby("request", sort=False)["finish_s"].shift()
    rows["left_s"] = left_s.fillna(rows["arrival_s"])
    rows["stage"] = rows["stage"].astype(str)
    last = rows[~rows["request"].duplicated(keep="last")]
    back = last.loc[last["finish_s"] < last["end_s"], ["request", "finish_s", "end_s"]]
    at_end = dict.fromkeys(MOMENTS[1:], back["end_s"])
    back = back.assign(stage=BACK, left_s=back["finish_s"], **at_end)
    columns = ["request", "stage", *MOMENTS]
    found = pd.concat([rows[columns], back[columns]]) if len(back) else rows[columns]
    return found.sort_values("request", kind="stable", ignore_index=True)


def _filled_s(rows: pd.DataFrame, stages: pd.DataFrame) -> pd.Series[float]:
    """When the last request of each row's batch was enqueued; the row's own enqueueing where that is not known."""
    batches = stages[stages["batch"] >= 0].groupby(["stage", "batch"], observed=True)["enqueue_s"].agg(["max", "size"])
    batches = batches.rename(columns={"max": "last_s", "size": "known"}).reset_index()
    found = rows[["stage", "batch", "batch_size", "enqueue_s", "start_s"]].merge(
        batches, on=["stage", "batch"], how="left"
    )
    is_whole = found["known"] == found["batch_size"]
    return found["enqueue_s"].where(~is_whole, found[["last_s", "start_s"]].min(axis=1))


def spent_s(found: pd.DataFrame) -> pd.DataFrame:
    """The seconds of each passage by kind: request, stage, and `KINDS`."""
    moments = found[list(MOMENTS)].to_numpy(dtype=np.float64)
    lasting_s = np.diff(moments, axis=1)
    return found[["request", "stage"]].assign(**{kind: lasting_s[:, place] for place, kind in enumerate(KINDS)})


def mean_spent_s(requests: pd.DataFrame, found: pd.DataFrame) -> dict[tuple[str, str], float]:
    """(stage, kind) -> its seconds of the mean latency of completed requests; empty if none completed."""
    completed = requests.loc[requests["outcome"] == "completed", "request"]
    known = completed[completed.isin(found["request"])]
    if known.empty:
        return {}
    sums = spent_s(found[found["request"].isin(known)]).groupby("stage", sort=False)[list(KINDS)].sum() / len(known)
    return {(str(stage), kind): float(sums.loc[stage, kind]) for stage in sums.index for kind in KINDS}


def counted_spent_s(spent: pd.DataFrame) -> dict[tuple[str, str], float]:
    """As `mean_spent_s`, from the table that a run has with records of a sample."""
    return {
        (str(row["stage"]), kind): float(row[f"{kind}_s"])
        for row in spent.dropna().to_dict("records")
        for kind in KINDS
    }


def beside(replicas: pd.DataFrame, stage: str, from_s: float, to_s: float) -> str:
    """The rollout at a stage in a time: which replicas were starting and which leaving; empty for none."""
    here = replicas[replicas["stage"] == stage]
    created_s, ready_s, removed_s, gone_s = (
        here[name].to_numpy(dtype=np.float64) for name in ("created_s", "ready_s", "removed_s", "gone_s")
    )
    starting = (created_s < to_s) & (np.nan_to_num(ready_s, nan=np.inf) > from_s)
    leaving = (removed_s < to_s) & (np.nan_to_num(gone_s, nan=np.inf) > from_s)
    variants = here["variant"].to_numpy(dtype=str)
    return ", ".join(
        f"{count} {variant} {what}"
        for what, chosen in (("starting", starting), ("leaving", leaving))
        for variant, count in zip(*np.unique(variants[chosen], return_counts=True), strict=True)
    )
