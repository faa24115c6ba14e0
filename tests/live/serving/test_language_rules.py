"""The gateway gives texts to language models as the simulator does: at the same moments, to the same replicas."""

from __future__ import annotations

from typing import Any

import pytest

from tests.live.serving.language_world import LanguageGraphWorld, LanguageWorld, with_room
from tests.sim import token_oracle, token_runs
from tests.sim.blocks import blocks

BLOCK = 10


@pytest.mark.parametrize("block", blocks(20))
@pytest.mark.parametrize("drop", ["request", "batch", "deadline"])
@pytest.mark.parametrize("shape", ["chain", "graph"])
def test_the_gateway_equals_the_oracle(shape: str, drop: str, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        if shape == "chain":
            made = with_room(token_runs.drawn_for("plain", "central", drop, seed))
            answer: dict[str, Any] = LanguageWorld(made).run()
        else:
            made = with_room(token_runs.graph_for("plain", "central", drop, seed))
            answer = LanguageGraphWorld(made, seed).run()
        expected = token_oracle.simulate(made)
        keys = ("end_s", "replicas", "requests", "tokens", *(("items",) if shape == "graph" else ()))
        for key in keys:
            assert answer[key] == expected[key], f"seed {seed}: {key}"
