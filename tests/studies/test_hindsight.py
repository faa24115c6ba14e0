"""The oracle in a simulation: what it finds in hindsight, and that no other policy is ahead of it."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from ipa.policies import POLICIES
from ipa.policies.optimiser import Programme
from ipa.studies import Run, Scenario, simulate
from ipa.studies.runs.hindsight import OPEN

AS_RARELY = 0.001
"""Runs are late equally rarely if their shares of late requests differ by less."""

OTHERS = (
    *(name for name in POLICIES if name not in ("oracle", "scale-only", "switch-only")),
    *("scale-only:low", "scale-only:high", "switch-only", "rate:high", "inferline:high"),
)


def random_pipeline(folder: Path, seed: int, *, graph: bool) -> Path:
    """One to three stages of one to three variants; in a graph, stages follow on some, few or many items of others."""
    rng = Random(f"pipeline {seed}")
    stages: list[dict[str, Any]] = []
    longest_s = 0.0
    for number in range(rng.randint(2, 3) if graph else rng.randint(1, 3)):
        variants: list[dict[str, Any]] = []
        single_s, batches = rng.uniform(0.02, 0.15), (1, 2, 4, 8)[: rng.randint(1, 4)]
        for place in range(rng.randint(1, 3)):
            slower_s = single_s * (1 + place * rng.uniform(0.3, 0.9))
            means_s = {batch: round(slower_s * (0.4 + 0.6 * batch), 5) for batch in batches}
            figures = [
                {
                    "cores": 1 + place,
                    "batch": batch,
                    "mean_s": mean_s,
                    "p99_s": round(1.3 * mean_s, 5),
                    "throughput_rps": round(0.999 * batch / mean_s, 4),
                    "from": dict.fromkeys(FIGURES, "made"),
                }
                for batch, mean_s in means_s.items()
            ]
            accuracy = {"value": round(0.4 + 0.15 * (place + rng.random()), 3), "from": "made"}
            variants.append({"name": f"v{place}", "accuracy": accuracy, "figures": figures})
        longest_s += max(each["figures"][0]["p99_s"] for each in variants)
        stages.append({"name": f"s{number}", "task": "t", "accuracy_metric": "a", "variants": variants})
        if graph and number:
            edge = {"stage": f"s{rng.randrange(number)}"}
            few = {"share": round(rng.uniform(0.2, 0.9), 2)}
            many = {"items": round(rng.uniform(0.5, 3), 2), "spread": 0.5, "from": "made"}
            stages[-1]["after"] = [edge | rng.choice([{}, few, many])]
    about: dict[str, Any] = {"schema_version": 1, "kind": "pipeline", "name": "random", "description": "random"}
    made = {"provenance": {"made": {"kind": "assumed", "why": "a test"}}, "defaults": {"load_rps": 10}}
    combined = {"accuracy": {"combine": "product"}} if graph else {}
    path = folder / "random.yaml"
    path.write_text(
        yaml.safe_dump(
            {**about, **made, **combined, "stages": stages, "sla_s": round(longest_s * rng.uniform(2, 8), 3)}
        )
    )
    return path


FIGURES = ("mean", "p99", "throughput")


def finished(policy: str | dict[str, Any], **values: Any) -> Run:
    return simulate(Scenario.model_validate({**values, "policy": policy}))


def ahead(oracle: str, **values: Any) -> dict[str, float]:
    """The policies that are as rarely late as an oracle and have a better objective, even if starting and draining cost
    the oracle nothing; and by how much."""
    reference = finished(oracle, **values)
    programme = Programme.of(reference.pipeline)
    found = {}
    for name in OTHERS:
        if name == "faro" and reference.pipeline.graph is not None:
            continue  # it takes chains
        run = finished(name, **values)
        if run.summary["sla_violation_rate"] <= reference.summary["sla_violation_rate"] + AS_RARELY:
            found[name] = run.objective(programme) - reference.objective(programme, "planned_cost_mean_cores")
    return {name: by for name, by in found.items() if by > 1e-9}


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_no_policy_is_ahead_of_the_oracle(tmp_path: Path, seed: int, graph: bool) -> None:
    load = ("constant:10:180", "bursty", "fluctuating", "constant:4:180")[seed]
    window = {} if load.startswith("constant") else {"window": "60:240"}
    path = random_pipeline(tmp_path, seed + 10 * graph, graph=graph)
    assert not ahead("oracle", pipeline=str(path), trace=load, seed=seed, **window)


def test_an_oracle_with_all_its_choices_set_is_one_run() -> None:
    given = {"wait_share": 0.25, "load_margin": 0.1, "steady": False}
    values: dict[str, Any] = {"pipeline": "video", "trace": "constant:10:60"}
    alone = finished({"name": "oracle", **given}, **values)
    assert {key: alone.policy["parameters"][key] for key in given} == given


def test_a_run_in_hindsight_is_that_of_the_scenario_and_says_what_was_best() -> None:
    """Ten requests in each second, evenly: with any plan nothing is late, and nothing has to be to spare."""
    scenario = Scenario(pipeline="video", trace="constant:10:60", arrivals="even").with_values(
        {"policy": "oracle label=best"}
    )
    run = simulate(scenario)
    assert (run.scenario, run.summary["policy"], run.summary["sla_violation_rate"]) == (scenario, "best", 0.0)
    parameters = run.policy["parameters"]
    assert parameters["load_margin"] == 0.0
    again = simulate(scenario.with_values({"policy": {"name": "oracle", **{key: parameters[key] for key in OPEN}}}))
    assert again.summary["cost_mean_cores"] == run.summary["cost_mean_cores"]


def test_what_is_set_is_not_tried() -> None:
    values: dict[str, Any] = {"pipeline": "video", "trace": "constant:10:60"}
    steady = finished("oracle steady=true load_margin=0.5", **values)
    assert (steady.policy["parameters"]["steady"], steady.policy["parameters"]["load_margin"]) == (True, 0.5)
    assert steady.summary["changes"] == 0
