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

    def __post_init__(self) -> None:
        checks.number("load_rps", self.load_rps, at_least=0, at_most=HIGHEST_LOAD_RPS)
        if self.limit_cores is not None:
            checks.number("limit_cores", self.limit_cores, at_least=0)
        table = self.programme.table
        for key, wanted in (("variants", self.variants), ("replicas", self.replicas)):
            if wanted is not None:
                checks.known(f"stage in {key}", wanted, table.names)
        for stage, names in (self.variants or {}).items():
            checks.known(f"variant of {stage}", names, table.stages[table.names.index(stage)].variants)
            if not names:
                raise PolicyError(f"variants of {stage} are empty; allowed: any of its variants")
        if self.replicas is not None:
            checks.mapping("replicas", self.replicas, table.names)
            for stage, count in self.replicas.items():
                checks.integer(f"replicas of {stage}", count)
