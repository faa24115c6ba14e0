"""The graph of a run, with the measured arrival rate, variants and utilisation of each stage."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ipa.profiles import Graph
from ipa.studies.pages.graph import GraphDrawing, drawing, lines_of
from ipa.studies.runs import ITEMS, RunData
from ipa.studies.scenario import pipeline_of

if TYPE_CHECKING:
    import pandas as pd

READING = (
    "Means over the run: replicas of the variant that served most of a stage's items (and their share, where others "
    "served too), items per second, and the part of the replicas' time in which they served. ×: items that one item "
    "gives, as the profile says of the variants that served."
)


def drawing_of(run: RunData) -> GraphDrawing | None:
    """The drawing of a run's graph; None for a chain, or if the pipeline's file is gone or has other stages by now."""
    if ITEMS not in run.tables:
        return None
    try:
        graph = pipeline_of(run.scenario).graph
        return None if graph is None else _drawing(graph, run)
    except (KeyError, ValueError):
        return None


def _drawing(graph: Graph, run: RunData) -> GraphDrawing:
    duration_s = float(run.summary["duration_s"])
    items, replicas, queues = run.tables[ITEMS], run.tables["replicas"], run.tables.get("queues")
    within = partial(np.clip, a_min=0.0, a_max=duration_s)
    share = 1.0
    if queues is not None:  # of a sample, the requests drawn at random stand for all
        requests = run.tables["requests"]
        items = items[items["request"].isin(requests.loc[requests["sampled"], "request"])]
        share = max(int(requests["sampled"].sum()), 1) / max(run.summary["requests"], 1)
    started = items[items["start_s"].notna()]
    of_variant = replicas.astype({"stage": str}).set_index(["stage", "replica"])["variant"].astype(str)
    serving = started.astype({"stage": str}).join(of_variant, on=["stage", "replica"])
    shares: dict[str, Mapping[str, float]] = {}
    lines_by_stage = {}
    for stage in items["stage"].cat.categories:
        mine = serving[serving["stage"] == stage]
        existing = replicas[replicas["stage"] == stage]
        batches = mine if queues is not None else mine.drop_duplicates(["replica", "batch"])
        served_s = within(_ended(batches["finish_s"])) - within(batches["start_s"])
        busy_s = float(served_s.sum() if queues is None else (served_s / batches["batch_size"]).sum() / share)
        there_s = float((within(_ended(existing["gone_s"])) - within(_ended(existing["ready_s"]))).sum())
        if queues is None:
            came = int((items.loc[items["stage"] == stage, "enqueue_s"] < duration_s).sum())
        else:
            came = int(queues.loc[queues["stage"] == stage, "enqueued"].sum())
        shares[stage] = mine["variant"].value_counts(normalize=True).to_dict()
        lines_by_stage[stage] = lines_of(
            _served_by(shares[stage], there_s / duration_s), came / duration_s, busy_s / there_s if there_s else 0.0
        )
    factors = [
        sum(share * edge.factor(name) for name, share in shares[edge.parent].items()) if shares[edge.parent] else None
        for edge in graph.edges
    ]
    return drawing(graph, factors, lines_by_stage)


def _ended(moments_s: pd.Series) -> pd.Series:
    """Moments, infinite where the event did not happen in the run."""
    return moments_s.fillna(np.inf)


def _served_by(shares: Mapping[str, float], replicas: float) -> str:
    if not shares:
        return f"{replicas:.3g} replicas"
    most = max(shares, key=shares.__getitem__)
    return f"{replicas:.3g} x {most}" + (f" ({100 * shares[most]:.0f} %)" if len(shares) > 1 else "")
