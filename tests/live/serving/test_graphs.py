"""The gateway passes items through a graph as the simulator does: at the same moments, in the same batches."""

from __future__ import annotations

import pytest

from tests.live.serving.graph_world import GraphWorld
from tests.sim import graph_oracle, graph_runs
from tests.sim.blocks import blocks

BLOCK = 25


@pytest.mark.parametrize("block", blocks(16))
@pytest.mark.parametrize("drop", ["request", "batch", "deadline"])
def test_the_gateway_equals_the_oracle(drop: str, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        made = graph_runs.scenario(seed, drop=drop)
        expected = graph_oracle.simulate(made)
        found = GraphWorld(made, seed).run()
        for key in ("end_s", "replicas", "requests", "items"):
            assert found[key] == expected[key], f"seed {seed}: {key}"
