"""The engine equals the oracle in every request and every replica, and every law holds, on random hard scenarios."""

from __future__ import annotations

import importlib.util
import os
from types import ModuleType
from typing import Any

import pytest

from ipa.sim import laws
from tests.sim import engine_runs, oracle
from tests.sim.blocks import blocks
from tests.sim.random_scenarios import DEADLINE, scenario, ways

BLOCK = 25
BLOCKS = 40
MODES = [("central", "request"), ("central", "batch"), ("eager", "request"), ("eager", "batch"), *DEADLINE]


@pytest.mark.parametrize("block", blocks(BLOCKS))
@pytest.mark.parametrize(("dispatch", "drop"), MODES)
def test_engine_equals_the_oracle(dispatch: str, drop: str, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = engine_runs.with_engine_draws(scenario(seed, dispatch=dispatch, drop=drop, **ways(seed)), seed)
        records = engine_runs.run(drawn, seed)
        expected = oracle.simulate(drawn)
        assert engine_runs.difference(records, expected) is None, f"seed {seed}"
        assert records.run_end_s == expected["end_s"]
        assert records.integral_s.tolist() == pytest.approx(expected["queue_integral"], rel=1e-9, abs=1e-9)
        oldest_s = laws.oldest_s(*engine_runs.parts(drawn)[:2])
        assert list(laws.violations(records, eager=dispatch == "eager", oldest_s=oldest_s)) == [], f"seed {seed}"


@pytest.mark.parametrize("block", blocks(BLOCKS // 4))
@pytest.mark.parametrize(("dispatch", "drop"), MODES)
def test_batches_beside_others_take_as_long_as_on_the_oracle(dispatch: str, drop: str, block: int) -> None:
    slowed = 0
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = scenario(seed, dispatch=dispatch, drop=drop, **ways(seed), interference=True)
        drawn = engine_runs.with_engine_draws(drawn, seed)
        records = engine_runs.run(drawn, seed)
        assert engine_runs.difference(records, oracle.simulate(drawn)) is None, f"seed {seed}"
        assert list(laws.violations(records, eager=dispatch == "eager")) == [], f"seed {seed}"
        alone = engine_runs.run({**drawn, "interference": False}, seed)
        slowed += alone.finish_s.tobytes() != records.finish_s.tobytes()
    assert slowed > BLOCK / 4


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    path = os.environ.get("IPA_REFERENCE")
    if not path:
        pytest.skip("IPA_REFERENCE is not set: it names the file of a reference simulator")
    spec = importlib.util.spec_from_file_location("reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("block", blocks(BLOCKS))
def test_engine_equals_the_reference(reference: ModuleType, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = scenario(seed, core_sizes=1, dispatch="central", drop="request")
        if drawn["max_surge"] is None:
            drawn["max_surge"] = 1
        drawn = engine_runs.with_engine_draws(drawn, seed)
        expected = reference.simulate(_in_reference_format(drawn))
        assert engine_runs.difference(engine_runs.run(drawn, seed), expected) is None, f"seed {seed}"


def _in_reference_format(drawn: dict[str, Any]) -> dict[str, Any]:
    """The reference knows one allocation per variant, and looks at the variant alone."""
    stages = [
        {
            **stage,
            "variants": {
                name: {**profile, "latency_s": next(iter(profile["latency_s"].values()))}
                for name, profile in stage["variants"].items()
            },
        }
        for stage in drawn["stages"]
    ]
    return {**drawn, "stages": stages, "start_up_factors": drawn.get("start_up_factors")}
