"""One decision's question to the optimiser."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ipa.policies import checks
from ipa.policies.interface import Configuration, PolicyError
from ipa.policies.optimiser.programme import Programme

HIGHEST_LOAD_RPS = 1e12


@dataclass(frozen=True)
class Problem:
    """One decision's question.

    `variants` (stage -> the variants wanted; a missing stage: all) is the wish of a policy that fixes variants;
    `keep_variants` says whether it still holds when nothing feasible meets it. `replicas` (stage -> number) fixes the
    replicas. `failed` variants are left out as long as there are others. `current` is the present configuration, which
    is preferred among equals.

    PolicyError: a load that is NaN, infinite or negative, an unknown stage or variant, or a number out of range.
    """

    programme: Programme
    load_rps: float
    limit_cores: int | None = None
    variants: Mapping[str, Collection[str]] | None = None
    keep_variants: bool = True
    replicas: Mapping[str, int] | None = None
    failed: Mapping[str, Collection[str]] = field(default_factory=dict)
    current: Configuration | None = None

    @property
    def nodes(self) -> tuple[int, ...]:
        """The cores of each node that replicas have to fit; empty where their number is not limited."""
        return self.programme.pipeline.limits.nodes

    @property
    def most_cores(self) -> int | None:
        """The cores that there are at most: the limit and those of all nodes; None: any number."""
        limits = [each for each in (self.limit_cores, sum(self.nodes) or None) if each is not None]
        return min(limits, default=None)

    def bounds(self, stage: str) -> tuple[int, int]:
        """The fewest and the most replicas that a stage may have; the most come first where they contradict."""
        limits = self.programme.pipeline.limits
        most = limits.most(stage, self.programme.max_replicas)
        return min(limits.least(stage), most), most

    def __post_init__(self) -> None:
        checks.number("load_rps", self.load_rps, at_least=0, at_most=HIGHEST_LOAD_RPS)
        if self.limit_cores is not None:
            checks.number("limit_cores", self.limit_cores, at_least=0)
        table = self.programme.table
        for key, wanted in (("variants", self.variants), ("replicas", self.replicas)):
            if wanted is not None:
                checks.known("stage", wanted, table.names, of=f" in {key}")
        for stage, names in (self.variants or {}).items():
            checks.known("variant", names, table.stages[table.names.index(stage)].variants, of=f" of {stage}")
            if not names:
                raise PolicyError(f"variants.{stage} is empty; allowed: any of its variants")
        if self.replicas is not None:
            checks.mapping("replicas", self.replicas, table.names)
            for stage, count in self.replicas.items():
                checks.integer(f"replicas.{stage}", count)
