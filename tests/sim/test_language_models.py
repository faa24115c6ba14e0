"""Stages of language models: both engines equal a slow literal step loop in every request, item, replica and token."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from ipa.sim import laws
from tests.sim import token_oracle, token_runs
from tests.sim.test_engines import MODES, differences, kinds_and_blocks

BLOCK = 10
KINDS = {"plain": 20, "beside": 10, "limited": 10}
"""How many blocks of scenarios in each mode; for the kinds see `test_engines.KINDS`."""

ENGINES = ["simpy", pytest.param("compiled", marks=pytest.mark.skipif(not find_spec("numba"), reason="needs numba"))]


@pytest.mark.parametrize(("kind", "block"), kinds_and_blocks(KINDS))
@pytest.mark.parametrize(("dispatch", "drop"), MODES)
@pytest.mark.parametrize("shape", ["chain", "graph"])
def test_both_engines_equal_the_oracle(shape: str, dispatch: str, drop: str, kind: str, block: int) -> None:
    draw = token_runs.graph_for if shape == "graph" else token_runs.drawn_for
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = draw(kind, dispatch, drop, seed)
        records, expected = token_runs.run(drawn, seed), token_oracle.simulate(drawn)
        assert token_runs.difference(records, expected) is None, f"seed {seed}"
        assert records.run_end_s == expected["end_s"]
        assert records.integral_s.tolist() == pytest.approx(expected["queue_integral"], rel=1e-9, abs=1e-9)
        oldest_s = laws.oldest_s(token_runs.parts(drawn, seed)[0])
        assert list(laws.violations(records, eager=dispatch == "eager", oldest_s=oldest_s)) == [], f"seed {seed}"
        if find_spec("numba"):
            compiled = token_runs.run(drawn, seed, "compiled")
            assert list(differences(records, compiled)) == [], f"seed {seed}"
