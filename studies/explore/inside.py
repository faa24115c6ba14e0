"""A run over time: what waits and is served and the replicas at each stage, what flows on each edge, and why each
decision was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ipa.policies import Entry, StageConfiguration
from ipa.profiles import Edge, Graph
from ipa.sim import FloatArray
from ipa.studies.formatting import plus
from ipa.studies.pages import drawing
from ipa.studies.runs import ITEMS, Run
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    import pandas as pd

MOST_MOMENTS = 3600
"""The most moments of a run: every second of an hour."""

FLOW_S = 10.0
"""What flows on an edge is a mean over this long."""

SAME_S = 1e-9
"""Moments this close are one: a sum of times is rounded."""


def inside(run: Run) -> dict[str, Any]:
    """The moments of a run, evenly spaced, with counts for each stage and flows for each edge; where to draw both; and
    the decisions. JSON-able.

    Raises ScenarioError if the run lacks the records of all requests.
    """
    if run.scenario.records != "all":
        raise ScenarioError(f"records: should be all to look inside a run; given {run.scenario.records}")
    duration_s = float(run.summary["duration_s"])
    moments_s = np.arange(0.0, duration_s, max(1.0, duration_s / MOST_MOMENTS))
    names = [stage.name for stage in run.pipeline.stages]
    chain = Graph(tuple(Edge(*ends) for ends in pairwise(names)), run.pipeline.sla_s)
    graph = run.pipeline.graph or chain
    visits = run.tables[ITEMS if ITEMS in run.tables else "stages"]
    drawn = drawing(graph, [None] * len(graph.edges), dict.fromkeys(names, ()))
    joins = dict(drawn.joins)
    return {
        "moments_s": [round(moment, 3) for moment in moments_s.tolist()],
        "columns": drawn.columns,
        "rows": drawn.rows,
        "stages": {
            name: {"place": place, "join": joins.get(place, ""), **_stage(run, visits, name, moments_s)}
            for name, (place, _) in drawn.boxes.items()
        },
        "edges": [
            {
                "name": f"{edge.parent} to {edge.child}",
                "way": way,
                "flow_rps": _flow_rps(*_came(visits, graph, edge, run.scenario.hop_s), moments_s),
            }
            for edge, way in zip(graph.edges, drawn.ways, strict=True)
        ],
        "decisions": [_decision(entry) for entry in run.entries],
    }


def _stage(run: Run, visits: pd.DataFrame, name: str, moments_s: FloatArray) -> dict[str, list[int]]:
    """Requests, batches and replicas at each moment, after all events of that moment."""
    tables = run.tables
    requests, replicas = visits[visits["stage"] == name], tables["replicas"]
    replicas = replicas[replicas["stage"] == name]
    created_s, ready_s, removed_s, gone_s = (_times(replicas, f"{key}_s") for key in _LIFE)
    ended_s = (
        _times(requests, "dropped_s")
        if "dropped_s" in requests
        else tables["requests"].set_index("request")["end_s"].reindex(requests["request"]).to_numpy(dtype=np.float64)
    )
    entered_s, started_s, finished_s = (_times(requests, f"{key}_s") for key in ("enqueue", "start", "finish"))
    batches = requests.drop_duplicates(["replica", "batch"])
    # A request dropped here left the queue without a start.
    left_s = np.where(np.isfinite(started_s), started_s, np.where(np.isfinite(ended_s), ended_s, np.inf))
    removed_s = np.minimum(removed_s, gone_s)
    return {
        "waiting": _between(entered_s, left_s, moments_s),
        "served": _between(started_s, finished_s, moments_s),
        "batches": _between(_times(batches, "start_s"), _times(batches, "finish_s"), moments_s),
        "starting": _between(created_s, np.minimum(ready_s, removed_s), moments_s),
        "ready": _between(np.minimum(ready_s, removed_s), removed_s, moments_s),
        "draining": _between(removed_s, gone_s, moments_s),
    }


def _came(visits: pd.DataFrame, graph: Graph, edge: Edge, hop_s: float) -> tuple[FloatArray, FloatArray]:
    """When items came by an edge, and how many each counts for.

    Records do not name an item's edge, so where several lead to a stage, it is that on which its request was served
    just before, in equal parts if there are several. An item that joins counts whole for each edge from a stage that
    had served its request.
    """
    items, into = visits[visits["stage"] == edge.child].reset_index(), graph.into(edge.child)
    joins = edge.child in graph.joins
    if len(into) == 1 and not joins:
        return _times(items, "enqueue_s"), np.ones(len(items))
    served = visits.loc[visits["stage"].isin([each.parent for each in into]), ["request", "stage", "finish_s"]]
    pairs = items.merge(served, on="request", suffixes=("", "_before"))
    gap_s = pairs["enqueue_s"] - pairs["finish_s_before"] - hop_s
    pairs = pairs[(gap_s > -SAME_S) & (joins | (gap_s < SAME_S))].drop_duplicates(["index", "stage_before"])
    parts = 1.0 if joins else 1.0 / pairs.groupby("index")["index"].transform("size")
    mine = pairs.assign(part=parts)[pairs["stage_before"] == edge.parent]
    return _times(mine, "enqueue_s"), mine["part"].to_numpy(dtype=np.float64)


def _flow_rps(came_s: FloatArray, parts: FloatArray, moments_s: FloatArray) -> list[float]:
    """Items per second up to each moment, over `FLOW_S` or since the start."""
    order = np.argsort(came_s)
    total = np.concatenate(([0.0], np.cumsum(parts[order])))
    now, before = (
        total[np.searchsorted(came_s[order], each_s, side="right")] for each_s in (moments_s, moments_s - FLOW_S)
    )
    return [round(flow, 2) for flow in ((now - before) / np.clip(moments_s, 1.0, FLOW_S)).tolist()]


_LIFE = ("created", "ready", "removed", "gone")


def _times(table: pd.DataFrame, column: str) -> FloatArray:
    """A column of times; infinite where the event did not happen."""
    times_s = table[column].to_numpy(dtype=np.float64)
    return np.where(np.isnan(times_s), np.inf, times_s)


def _between(since_s: FloatArray, until_s: FloatArray, moments_s: FloatArray) -> list[int]:
    """How many have begun by each moment and not yet ended."""
    begun, ended = (np.searchsorted(np.sort(times_s), moments_s, side="right") for times_s in (since_s, until_s))
    return [int(count) for count in begun - ended]


def _decision(entry: Entry) -> dict[str, Any]:
    decision = entry.decision
    return {
        "time_s": entry.observation.time_s,
        "stages": {name: _in_words(each) for name, each in decision.configuration.items()},
        "words": list(_reasons(entry)),
    }


def _in_words(stage: StageConfiguration) -> str:
    cores = "1 core" if stage.cores == 1 else f"{stage.cores} cores"
    return f"{stage.replicas} × {stage.variant}, {cores}, batch {stage.batch}"


def _reasons(entry: Entry) -> Iterator[str]:
    """The reasons of the decision, in lines."""
    decision = entry.decision
    if decision.forecast_rps is not None:
        yield f"forecast {decision.forecast_rps:.1f} rps, planned for {decision.planned_load_rps:.1f} rps"
    if decision.rung:
        bound = decision.binding
        yield f"{decision.rung}" + (f", bound by {bound}" if bound and bound != "none" else ", bound by nothing")
    why: Mapping[str, Any] = decision.why or {}
    if "slack_s" in why:
        side = "below" if why["slack_s"] >= 0 else "above"
        yield f"planned latency {why['latency_s']:.2f} s, {abs(why['slack_s']):.2f} s {side} the SLA"
    if second := why.get("runner_up"):
        yield f"runner-up: worse by {second['difference']:.3g}: {_other(second['configuration'])}"
    for key, what in (("one_more_core", "one more core"), ("ten_ms_of_sla", "10 ms more of SLA")):
        if price := why.get(key):
            gain = price["gain"]
            yield f"{what}: " + ("no plan to compare" if gain is None else f"{plus(gain, 3)} of the objective")
    yield from decision.notes


def _other(configuration: Mapping[str, Mapping[str, Any]] | None) -> str:
    if configuration is None:
        return "the same plan"
    return "; ".join(
        f"{each['replicas']} × {each['variant']}, batch {each['batch']}" for each in configuration.values()
    )
