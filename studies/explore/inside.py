"""A run over time: requests waiting and in service and replicas at each stage, and the reasons of each decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ipa.policies import Entry
from ipa.sim import FloatArray
from ipa.studies.formatting import plus
from ipa.studies.runs import Run
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    import pandas as pd

MOST_MOMENTS = 3600
"""The most moments of a run: every second of an hour."""


def inside(run: Run) -> dict[str, Any]:
    """The moments of a run, evenly spaced, with counts for each stage; and its decisions. JSON-able.

    Raises ScenarioError if the run lacks the records of all requests.
    """
    if run.scenario.records != "all":
        raise ScenarioError(f"records: should be all to look inside a run; given {run.scenario.records}")
    duration_s = float(run.summary["duration_s"])
    moments_s = np.arange(0.0, duration_s, max(1.0, duration_s / MOST_MOMENTS))
    names = [stage.name for stage in run.pipeline.stages]
    return {
        "moments_s": [round(moment, 3) for moment in moments_s.tolist()],
        "stages": {name: _stage(run, name, moments_s) for name in names},
        "decisions": [_decision(entry) for entry in run.entries],
    }


def _stage(run: Run, name: str, moments_s: FloatArray) -> dict[str, list[int]]:
    """Requests and replicas at each moment, after all events of that moment."""
    tables = run.tables
    requests, replicas = tables["items" if "items" in tables else "stages"], tables["replicas"]
    requests, replicas = requests[requests["stage"] == name], replicas[replicas["stage"] == name]
    created_s, ready_s, removed_s, gone_s = (_times(replicas, f"{key}_s") for key in _LIFE)
    ended_s = (
        _times(requests, "dropped_s")
        if "dropped_s" in requests
        else tables["requests"].set_index("request")["end_s"].reindex(requests["request"]).to_numpy(dtype=np.float64)
    )
    entered_s, started_s, finished_s = (_times(requests, f"{key}_s") for key in ("enqueue", "start", "finish"))
    # A request dropped here left the queue without a start.
    left_s = np.where(np.isfinite(started_s), started_s, np.where(np.isfinite(ended_s), ended_s, np.inf))
    removed_s = np.minimum(removed_s, gone_s)
    return {
        "waiting": _between(entered_s, left_s, moments_s),
        "served": _between(started_s, finished_s, moments_s),
        "starting": _between(created_s, np.minimum(ready_s, removed_s), moments_s),
        "ready": _between(np.minimum(ready_s, removed_s), removed_s, moments_s),
        "draining": _between(removed_s, gone_s, moments_s),
    }


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
        "stages": {name: _wanted(each.parts) for name, each in decision.configuration.items()},
        "words": list(_reasons(entry)),
    }


def _wanted(parts: Any) -> str:
    cores = ["1 core" if part.cores == 1 else f"{part.cores} cores" for part in parts]
    named = (f"{part.replicas} × {part.variant}" for part in parts)
    batches = (f"batch {part.batch}" for part in parts)
    return " + ".join(", ".join(each) for each in zip(named, cores, batches, strict=True))


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
