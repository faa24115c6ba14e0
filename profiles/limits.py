"""What a real cluster allows of a pipeline, whatever a policy wants; and whether replicas fit its nodes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Limits:
    """The limits of a cluster.

    `node_cores`: the cores of each node, as many nodes as there are entries; or one number: nodes of that size, as many
    as are needed; None: unknown. `min_replicas`, `max_replicas`: stage -> number; a missing stage: no bound.
    `ruled_out`: stage -> variants that may not be used. `utilisation`: the highest share of a replica's profiled
    throughput that may be planned with, above 0 to 1. `price_per_core`: the price of a core, such as per hour.
    `excluded`: stage -> variant -> why a pipeline is without it; filled in by `Pipeline.within`.
    """

    node_cores: int | tuple[int, ...] | None = None
    min_replicas: Mapping[str, int] = field(default_factory=dict, hash=False)
    max_replicas: Mapping[str, int] = field(default_factory=dict, hash=False)
    ruled_out: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    utilisation: float = 1.0
    price_per_core: float = 1.0
    excluded: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)

    @property
    def nodes(self) -> tuple[int, ...]:
        """The cores of each node; empty where their number is not limited."""
        return self.node_cores if isinstance(self.node_cores, tuple) else ()

    @cached_property
    def largest_node(self) -> float:
        """The most cores that one replica can have."""
        if isinstance(self.node_cores, int):
            return self.node_cores
        return max(self.node_cores or (math.inf,))

    def least(self, stage: str) -> int:
        """The fewest replicas of a stage."""
        return self.min_replicas.get(stage, 1)

    def most(self, stage: str, otherwise: int) -> int:
        """The most replicas of a stage, and never more than `otherwise`."""
        return min(self.max_replicas.get(stage, otherwise), otherwise)

    def why_not(self, stage: str, variant: str, cores: int) -> str:
        """Why a variant with replicas of so many cores cannot be used; empty where it can."""
        if variant in self.ruled_out.get(stage, ()):
            return f"{variant} is ruled out"
        if cores > self.largest_node:
            return f"a replica of {variant} takes {cores} cores, and the largest node has {self.largest_node:g}"
        return ""


def fits_nodes(replicas: Iterable[tuple[int, int]], nodes: Sequence[int]) -> bool:
    """Whether all replicas find a node, by first fit: the largest first, each on the first node with room for it.

    `replicas`: (cores of each, how many). `nodes`: the cores of each. If they fit so, there is such a placement; where
    sizes do not divide each other, there may be one although first fit finds none.
    """
    free = list(nodes)
    for cores, count in sorted(replicas, reverse=True):
        left = count
        for place, room in enumerate(free):
            taken = min(left, room // cores)
            free[place] -= taken * cores
            left -= taken
            if not left:
                break
        if left:
            return False
    return True
