"""The draws of a run, made from the text of docs/model.md and docs/decisions/keyed-draws.md alone.

`with_draws` puts them into a scenario of the oracles: an engine with the same seed has to draw the same numbers.
"""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
from scipy.special import ndtri

PURPOSES = {"service": 1, "items": 8}
SIGMA = 0.4
"""The sigma of the lognormal factors of random scenarios."""


def normals(seed: int, purpose: str, number: int, count: int) -> list[float]:
    """The first draws of the stream of a purpose and a stage or an edge, as normal quantiles."""
    sequence = np.random.SeedSequence(seed, spawn_key=(PURPOSES[purpose], number))
    uniform = np.random.Generator(np.random.PCG64(sequence)).random(count)
    found: list[float] = ndtri(np.maximum(uniform, 2.0**-54)).tolist()
    return found


def run_key(seed: int) -> int:
    """The key of a run, from which the keys of all its items are made."""
    sequence = np.random.SeedSequence(seed, spawn_key=(PURPOSES["items"],))
    return int(sequence.generate_state(1, np.uint64)[0])


def with_draws(made: dict[str, Any], seed: int, most: int) -> dict[str, Any]:
    """The scenario with its factors, where it has any, and for a graph with the z of its edges and the key of its run.

    `most`: more batches and more replicas than there are at a stage.
    """
    drawn, stages = dict(made), range(len(made["stages"]))
    if made.get("factors"):
        drawn["factors"] = [
            [exp(SIGMA * z - 0.5 * SIGMA * SIGMA) for z in normals(seed, "service", stage, most)] for stage in stages
        ]
    if "edges" in made:
        drawn["item_key"] = run_key(seed)
        drawn["edge_normals"] = [normals(seed, "items", e, len(made["arrivals"])) for e in range(len(made["edges"]))]
    return drawn
