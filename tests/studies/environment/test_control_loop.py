"""The control loop as a Gymnasium environment: by Gymnasium's own rules, and with the figures of a simulation."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa import profiles, studies
from ipa.policies import Configuration, Decision, Memory, Observation
from ipa.studies import Scenario

gymnasium = pytest.importorskip("gymnasium")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from ipa.studies.many.environment import ControlLoop, make, make_vec  # noqa: E402


def scenario(engine: Any = "simpy", **keys: Any) -> Scenario:
    return Scenario(**{"pipeline": "video", "trace": "constant:8:60", "engine": engine} | keys)


def test_it_keeps_to_the_rules_of_gymnasium() -> None:
    check_env(make(scenario()).unwrapped)


def test_an_episode_has_a_step_for_each_control_interval_and_ends_with_the_load() -> None:
    loop = ControlLoop(scenario())
    _, info = loop.reset(seed=1)
    times = [info["time_s"]]
    ended = False
    while not ended:
        _, _, ended, truncated, info = loop.step(loop.action_space.sample())
        assert not truncated
        times.append(info["time_s"])
    assert times[:5] == [10.0, 20.0, 30.0, 40.0, 50.0]
    assert times[5] >= 60.0
    assert len(times) == 6


def test_the_seed_decides_the_episode() -> None:
    def seen(seed: int) -> list[float]:
        loop = ControlLoop([scenario(), scenario(sla_s=1.0)])
        found = [loop.reset(seed=seed)[0]]
        found += [loop.step(np.array([0, 1, 0, 0, 1, 0]))[0] for _ in range(4)]
        return np.concatenate(found).tolist()

    assert seen(3) == seen(3)
    assert len({tuple(seen(seed)) for seed in range(4)}) == 4


class Given:
    """Decides what it was given, one configuration a step; the first is ready at the start."""

    reads = ()

    def __init__(self, configurations: Sequence[Configuration]) -> None:
        self.configurations = configurations

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        return Decision(self.configurations[observation.step], {})


SCARCE = (
    {"sla_s": 1.5},
    {"pipeline": "traffic", "trace": "constant:60:60"},  # a graph
)


@pytest.mark.parametrize("keys", SCARCE, ids=("chain", "graph"))
@pytest.mark.parametrize("engine", ["simpy", pytest.param("compiled", marks=pytest.mark.long)])
def test_its_figures_are_those_of_a_simulation_with_the_same_decisions(
    engine: str, keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few replicas for the load, so that requests are late and dropped: none of them is forgotten."""
    if engine == "compiled":
        pytest.importorskip("numba")
    loop = ControlLoop(scenario(engine, **keys))
    loop.reset(seed=5)
    first = loop._configuration
    violations, arrivals, decided, ended = 0, 0, [first], False
    _, info = loop.reset(seed=5)
    rng = np.random.default_rng(2)
    while True:
        violations, arrivals = violations + info["violations"], arrivals + info["arrivals"]
        if ended:
            break
        action = rng.integers([2, 4, 2] * len(loop.encoding.pipeline.stages))
        decided.append(loop.encoding.configuration(action, loop._load_rps()))
        _, _, ended, _, info = loop.step(action)
    monkeypatch.setattr("ipa.studies.scenario.inputs.create", lambda *_: Given(decided))
    drawn = np.random.Generator(np.random.PCG64(np.random.SeedSequence(5)))
    drawn.integers(1)
    run = studies.simulate(scenario(engine, **keys, seed=int(drawn.integers(2**31))), shared=studies.Shared())
    assert arrivals == run.summary["requests"] > 400
    assert violations == round(run.summary["sla_violation_rate"] * run.summary["requests"]) > 0


def test_the_reward_is_the_objective_less_the_share_of_violations() -> None:
    """Video's weights: 2 x accuracy - cores - 1e-6 x batches; yolov5n and resnet18 at 3 replicas of 1 core."""
    loop = ControlLoop(scenario())
    loop.reset(seed=1)
    _, reward, _, _, info = loop.step(np.array([0, 0, 2, 0, 0, 2]))
    pas = np.prod([stage.variants[0].accuracy for stage in profiles.load("video").stages])
    assert (info["cores"], info["pas"]) == (6.0, pytest.approx(pas))
    assert reward == pytest.approx(2 * pas - 6 - 2e-6 - 10 * info["violations"] / info["arrivals"])


def test_an_action_is_a_variant_a_batch_and_replicas_for_each_stage() -> None:
    loop = ControlLoop(scenario(), batches=(1, 4), most_replicas=5)
    space: Any = loop.action_space
    assert space.nvec.tolist() == [5, 2, 5, 5, 2, 5]
    found = loop.encoding.configuration([1, 1, 2, 0, 0, 4], load_rps=10.0)
    detection = found["object-detection"]
    assert (detection.variant, detection.batch, detection.replicas, detection.batch_timeout_s) == ("yolov5s", 4, 3, 0.3)
    assert (found["image-classification"].replicas, found["image-classification"].batch_timeout_s) == (5, 0.0)


def test_several_run_at_once() -> None:
    loops = make_vec(scenario(), 3)
    observations, _ = loops.reset(seed=1)
    assert observations.shape == (3, *(loops.single_observation_space.shape or ()))
    assert not np.array_equal(observations[0], observations[1])
    _, rewards, *_ = loops.step(loops.action_space.sample())
    assert rewards.shape == (3,)
    loops.close()


def test_the_example_learns_and_judges(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In a few short episodes, which teach it little."""
    path = Path(__file__).parents[3] / "studies" / "examples" / "learn.py"
    few = ["--trace", "constant:8:40", "--generations", "2", "--drawn", "4", "--episodes", "3"]
    monkeypatch.setattr("sys.argv", ["learn.py", *few])
    runpy.run_path(str(path), run_name="__main__")
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["generation", "generation", "policy", "learned", "ipa"]
