"""The engine on scenarios in the oracle's format, and the first difference between two results."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np

from ipa.policies import StageConfiguration
from ipa.profiles import Graph
from ipa.sim.engines import create_engine
from ipa.sim.interface import Engine
from ipa.sim.model import RunInput, ServiceTime, StageModel, World
from ipa.sim.records import OUTCOMES, Records, collect_records
from tests.sim.text_draws import SIGMA, with_draws

MOST_DRAWS = 600
"""More batches than any random chain starts at a stage, and more replicas."""


def with_engine_draws(scenario: dict[str, Any], seed: int) -> dict[str, Any]:
    """The scenario with the factors that the engine will draw in place of those listed."""
    return with_draws(scenario, seed, MOST_DRAWS)


def build(scenario: dict[str, Any], seed: int, engine: str = "simpy") -> Engine:
    """The engine of a name for a scenario."""
    return create_engine(engine, *parts(scenario, seed))


def parts(
    scenario: dict[str, Any], seed: int, graph: Graph | None = None
) -> tuple[RunInput, dict[str, StageConfiguration]]:
    """What an engine is built from, and what stands ready at the start."""
    models = [
        _model(str(number), stage, bool(scenario.get("factors"))) for number, stage in enumerate(scenario["stages"])
    ]
    world = World(
        duration_s=scenario["duration_s"],
        bound_s=scenario.get("bound_s", 10 * scenario["sla_s"]),
        hop_s=scenario["hop_s"],
        stop_s=scenario["stop_s"],
        decision_delay_s=scenario["decision_delay_s"],
        max_surge=scenario["max_surge"],
        max_unavailable=scenario["max_unavailable"],
        dispatch=scenario.get("dispatch", "central"),
        drop=scenario.get("drop", "request"),
        sla_s=scenario["sla_s"],
        removal=scenario.get("removal", "drain"),
        limit_cores=scenario.get("limit_cores"),
        when_full=scenario.get("when_full", "replace"),
    )
    arrivals_s = np.array(scenario["arrivals"], dtype=np.float64)
    return RunInput(models, world, arrivals_s, seed, graph), configuration(scenario["initial"])


def run(scenario: dict[str, Any], seed: int, engine: str = "simpy") -> Records:
    """What an engine makes of a scenario."""
    built = build(scenario, seed, engine)
    decisions = iter(scenario["decisions"])
    times_s = iter([time_s for time_s, _ in scenario["decisions"]])
    for _ in built.steps(times_s):
        built.apply(configuration(next(decisions)[1]))
    return collect_records(built)


def _model(name: str, stage: dict[str, Any], sampled: bool) -> StageModel:
    service = {}
    for variant, profile in stage["variants"].items():
        for cores, latency_s in profile["latency_s"].items():
            sizes = range(1, max(latency_s) + 1)
            sigma = (SIGMA,) * (len(sizes) + 1) if sampled else None
            times_s = (0.0, *(latency_s[size] for size in sizes))
            service[variant, cores] = ServiceTime(times_s, sigma)
    start_up_s = {variant: profile["start_up_s"] for variant, profile in stage["variants"].items()}
    return StageModel(name, service, start_up_s, stage["drop_limit_s"])


def configuration(stages: list[dict[str, Any]]) -> dict[str, StageConfiguration]:
    return {str(number): StageConfiguration(**stage) for number, stage in enumerate(stages)}


def difference(records: Records, oracle: dict[str, Any]) -> str | None:
    """The first thing in which the engine's records differ from a result of the oracle; None where all is equal."""
    for number, request in enumerate(oracle["requests"]):
        mine = _request(records, number, oracle_keys=request)
        if mine != request:
            return f"request {number}: engine {mine}, oracle {request}"
    return replica_difference(records, oracle)


def replica_difference(records: Records, oracle: dict[str, Any]) -> str | None:
    """The first replica that differs."""
    for position, replicas in enumerate(oracle["replicas"]):
        ours = records.replicas[position]
        if len(ours.variant) != len(replicas):
            return f"stage {position}: engine {len(ours.variant)} replicas, oracle {len(replicas)}"
        for replica in replicas:
            mine = _replica(records, position, replica["id"], replica)
            if mine != replica:
                return f"stage {position}: engine {mine}, oracle {replica}"
    return None


def _request(records: Records, number: int, oracle_keys: dict[str, Any]) -> dict[str, Any]:
    """One request in the oracle's format, with just the optional keys that the oracle's has."""
    outcome = OUTCOMES[records.outcome[number]]
    found: dict[str, Any] = {"outcome": outcome, "stages": []}
    if outcome in ("dropped", "failed"):
        found["dropped_at"] = int(records.dropped_stage[number])
        found["dropped_s"] = float(records.end_s[number])
    for position in range(len(records.stages)):
        if isnan(records.enqueue_s[position, number]):
            break
        visit: dict[str, Any] = {"enqueue": float(records.enqueue_s[position, number])}
        replica = int(records.replica[position, number])
        if replica >= 0:
            visit["start"] = float(records.start_s[position, number])
            visit["replica"] = replica
            visit["variant"] = records.replicas[position].variant[replica]
            visit["batch"] = int(records.batch_size[position, number])
            if not isnan(records.finish_s[position, number]):
                visit["finish"] = float(records.finish_s[position, number])
        if any("batch_id" in visit for visit in oracle_keys["stages"]):
            visit["batch_id"] = int(records.batch[position, number]) if replica >= 0 else None
        found["stages"].append(visit)
    return found


def _replica(records: Records, position: int, number: int, oracle_keys: dict[str, Any]) -> dict[str, Any]:
    replicas = records.replicas[position]
    moments = {
        "created": replicas.created_s,
        "ready": replicas.ready_s,
        "removed": replicas.removed_s,
        "gone": replicas.gone_s,
    }
    found: dict[str, Any] = {"id": number, "variant": replicas.variant[number]}
    for name, values in moments.items():
        found[name] = None if isnan(values[number]) else float(values[number])
    if "cores" in oracle_keys:
        found["cores"] = int(replicas.cores[number])
    return found
