"""Fleets that share GPUs: the same rules and laws, counted in GPUs."""

from __future__ import annotations

import json
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa import profiles
from ipa.policies import Ipa
from ipa.policies.optimiser import solve
from ipa.policies.sharing import SHARING, UNMET, Curves, Member, split, weights_of
from ipa.sim.laws import most_at_once
from ipa.studies import Run, ScenarioError, simulate
from ipa.studies.fleets import Fleet, load_fleet, simulate_fleet
from tests.command import ipa, refusal
from tests.studies.fleets.fleets import PROD, same_tables
from tests.studies.test_language_models import CHAT

ENGINES = ("simpy", "compiled")
MOST_GPUS = 7


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Retrieval, then a model that is quick on one GPU or good on two."""
    path = tmp_path_factory.mktemp("chat") / "chat.yaml"
    quick, good = CHAT.split("      - name: good\n")
    path.write_text(f"{quick}      - name: good\n{good.replace('gpus: 1', 'gpus: 2')}", encoding="utf-8")
    return str(path)


def member(chat: str, name: str, **keys: Any) -> dict[str, Any]:
    made = {"name": name, "pipeline": chat, "trace": "bursty", "policy": "ipa", "window": "0:200", "sla_s": 20.0}
    return {**made, "scale": 0.5, **keys}


def fleet(limit_gpus: int, *pipelines: dict[str, Any], **values: Any) -> Fleet:
    return Fleet.model_validate({"limit_gpus": limit_gpus, "pipelines": list(pipelines), **values})


def gpus_at_once(runs: list[Run]) -> int:
    """The most GPUs that exist at any moment, of all runs."""
    gpus = {"quick": 1, "good": 2}
    tables = [run.tables["replicas"] for run in runs]
    return most_at_once(
        [table["created_s"].to_numpy() for table in tables],
        [table["gone_s"].fillna(np.inf).to_numpy() for table in tables],
        [np.array([gpus.get(variant, 0) for variant in table["variant"]]) for table in tables],
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("policy", ["ipa", "foresight", "hpa"])
def test_a_fleet_of_one_is_that_pipeline(chat: str, policy: str, engine: str) -> None:
    slow = {"decision_delay_s": 2.0, "stop_s": 3.0, "scale": 1.2}
    alone = fleet(3, member(chat, "a", policy=policy, engine=engine, **slow))
    run = simulate_fleet(alone)
    assert same_tables(run.runs["a"], simulate(alone.scenario_of(alone.pipelines[0])))


@pytest.mark.parametrize("rule", SHARING)
def test_under_a_budget_that_nobody_needs_whole_every_pipeline_runs_as_alone(chat: str, rule: str) -> None:
    ample = fleet(60, member(chat, "a"), member(chat, "b", trace="fluctuating", policy="hpa"), sharing=rule)
    run = simulate_fleet(ample)
    for each in ample.pipelines:
        assert same_tables(run.runs[each.name], simulate(ample.scenario_of(each))), each.name
    assert all(step.got == step.wanted > 0 for step in run.steps)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 8))])
def test_the_gpus_that_exist_of_all_never_exceed_the_budget_in_either_engine(chat: str, seed: int) -> None:
    draw = np.random.default_rng(seed)

    def drawn(name: str) -> dict[str, Any]:
        return member(
            chat,
            name,
            policy=str(draw.choice(["ipa", "foresight", "hpa", "scale-only:high", "rate"])),
            trace=str(draw.choice(["bursty", "fluctuating"])),
            scale=float(draw.choice([0.3, 0.6, 1.2])),
            seed=int(draw.integers(100)),
            priority=float(draw.integers(1, 4)),
            interval_s=float(draw.choice([5.0, 7.0, 10.0])),
            decision_delay_s=float(draw.choice([0.0, 3.0, 12.0])),
            stop_s=float(draw.choice([0.0, 4.0, 15.0])),
            max_surge=int(draw.integers(0, 4)),
            max_unavailable=int(draw.integers(1, 3)),
            when_full=str(draw.choice(["replace", "wait"])),
            removal=str(draw.choice(["drain", "lose"])),
        )

    budget, rule = int(draw.integers(3, 7)), str(draw.choice(SHARING))
    made = fleet(budget, drawn("a"), drawn("b"), drawn("c"), sharing=rule)
    runs = [simulate_fleet(made.with_values({"engine": engine})) for engine in ENGINES]
    assert runs[0].steps == runs[1].steps
    assert all(same_tables(runs[0].runs[name], runs[1].runs[name]) for name in "abc")
    assert any(step.got < step.wanted for step in runs[0].steps), "the GPUs do not suffice"
    assert gpus_at_once(list(runs[0].runs.values())) <= budget


@pytest.mark.parametrize("load_rps", [0.0, 2.0, 5.0, 9.0])
def test_a_curve_is_what_the_programme_gives_within_each_number_of_gpus(chat: str, load_rps: float) -> None:
    policy = Ipa(profiles.load(chat), sla_s=20.0)
    curve = Curves(profiles.load(chat), policy, MOST_GPUS, counts_gpus=True).curve(load_rps)
    carrying: tuple[float, float] | None = None
    for gpus in reversed(range(1, MOST_GPUS + 1)):
        plan = solve(policy.problem_for(load_rps, limit_gpus=gpus))
        if carrying is None or plan.rung != "most-throughput":
            carrying = plan.objective["total"], min(1.0, plan.sla_s / plan.latency_s)
        share = min(1.0, plan.sustained_rps / load_rps) if load_rps else 1.0
        assert curve[gpus] == pytest.approx(carrying[0] - UNMET * (1 - carrying[1] * share), abs=1e-6), gpus
    assert curve[0] == pytest.approx(curve[1] - UNMET), "the model takes a GPU at least"
    assert len(curve) == MOST_GPUS + 1


def test_objective_shares_gpus_as_the_best_of_all_splits(chat: str) -> None:
    policy = Ipa(profiles.load(chat), sla_s=20.0)
    curves = Curves(profiles.load(chat), policy, MOST_GPUS, counts_gpus=True)
    for priorities, loads_rps in (
        ((1, 1, 1), (2.0, 5.0, 5.0)),
        ((3, 1, 1), (5.0, 2.0, 9.0)),
        ((1, 1, 2), (9.0, 9.0, 5.0)),
    ):
        weights = weights_of(priorities)
        members = [Member("abc"[k], weight, 1, MOST_GPUS) for k, weight in enumerate(weights)]
        values = [curves.curve(load_rps) for load_rps in loads_rps]

        def total(parts: tuple[int, ...], values: Any = values, weights: Any = weights) -> float:
            return sum(float(weight) * value[part] for weight, value, part in zip(weights, values, parts, strict=True))

        best = max(total(parts) for parts in product(range(1, MOST_GPUS + 1), repeat=3) if sum(parts) <= MOST_GPUS)
        parts = split("objective", MOST_GPUS, members, [MOST_GPUS] * 3, [partial(np.copy, value) for value in values])
        assert sum(parts) <= MOST_GPUS
        assert total(tuple(parts)) == pytest.approx(best)


def written(folder: Path, chat: str, keys: str = "limit_gpus: 3") -> Path:
    path = folder / "fleet.yaml"
    pipelines = "".join(f"  - {json.dumps(member(chat, name, scale=0.6))}\n" for name in "ab")
    path.write_text(f"schema_version: 1\nkind: fleet\n{keys}\npipelines:\n{pipelines}", encoding="utf-8")
    return path


def test_answers_are_in_gpus(tmp_path: Path, chat: str) -> None:
    page = tmp_path / "page.html"
    result = ipa("simulate", str(written(tmp_path, chat)), "--out", str(tmp_path / "out"), "--report", str(page))
    assert result.exit_code == 0, result.stderr
    assert "3 GPUs, shared by objective" in result.stdout
    assert "one GPU more" in result.stdout
    assert "3 GPUs do not suffice for" in result.stdout
    assert "core" not in result.stdout
    assert "3 GPUs for 2 pipelines" in page.read_text(encoding="utf-8")
    table = json.loads((tmp_path / "out" / "fleet.json").read_text(encoding="utf-8"))
    assert sum(row["got"] for row in table["pipelines"]) < sum(row["wanted"] for row in table["pipelines"]) > 3


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"limit_gpus": 1}, "limit_gpus: 1 is less than the floors; allowed: at least 2 (a 1 + b 1)"),
        ({"a.at_least_gpus": 4}, "pipelines[a]: at_least_gpus takes 4 GPUs; allowed: at most 3"),
        ({"a.at_least_cores": 4}, "a.at_least_cores: the fleet shares GPUs; allowed: at_least_gpus"),
        ({"limit_cores": 4}, "limit_cores: a fleet shares one budget; allowed: limit_cores or limit_gpus, not both"),
        ({"a.pipeline": "video"}, "pipelines[a]: no variant of video has GPUs to share"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, chat: str, values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ScenarioError) as error:
        simulate_fleet(load_fleet(written(tmp_path, chat), values))
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_a_pipeline_keeps_its_bounds(chat: str) -> None:
    bounds = {"at_least_gpus": 2, "at_most_gpus": 4}
    run = simulate_fleet(fleet(7, member(chat, "a", scale=2.0, **bounds), member(chat, "b", scale=2.0)))
    of_a = [step.got for step in run.steps if step.pipeline == "a"]
    assert 2 <= min(of_a) <= max(of_a) <= 4


def test_cores_are_shared_only_by_a_fleet_of_cores() -> None:
    with pytest.raises(ValueError, match="the fleet shares cores; allowed: at_most_cores"):
        Fleet.model_validate({"limit_cores": 9, "pipelines": [{**PROD, "at_most_gpus": 3}]})


def test_live_a_fleet_shares_cores(tmp_path: Path, chat: str) -> None:
    problem = refusal("live", "run", written(tmp_path, chat), "--duration", "5")
    assert problem == "limit_gpus 3: live, a fleet shares cores; allowed: limit_cores"
