"""Accuracies of pairs of variants, for any solver.

Once the first stage's variant is chosen, the accuracy of a pair is one of the second stage alone. So the best pick is
the best of those with each variant of the first stage in turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ipa.policies.optimiser.exact import Pick
from ipa.policies.optimiser.options import StageOptions
from ipa.policies.optimiser.solvers import Solver


def with_pairs(best: Solver, pairs: Mapping[str, Mapping[str, int]]) -> Solver:
    """The solver, for two stages whose variants have these accuracies together; as it is if there are none."""

    def best_pair(
        stages: Sequence[StageOptions], sla_ns: int | None, limit_cores: int | None, reward: int
    ) -> Pick | None:
        if not reward:
            return best(stages, sla_ns, limit_cores, 0)
        first, second = stages
        tried = [
            (indices, best(one_and_other, sla_ns, limit_cores, reward))
            for indices, one_and_other in _by_first(first, second, pairs)
        ]
        found = [
            replace(pick, indices=(indices[pick.indices[0]], pick.indices[1]))
            for indices, pick in tried
            if pick is not None
        ]
        if not found:
            return None
        limited = [name for name, limit in (("sla", sla_ns), ("cores", limit_cores)) if limit is not None]
        # A constraint that left a variant without any pick may have shaped the answer; so may one held by another pick.
        held = limited if len(found) < len(tried) else [each for each in limited if any(each in p.held for p in found)]
        chosen = min(found, key=lambda pick: pick.loss)
        free = [pick.free_loss for pick in found if pick.free_loss is not None]
        free_loss = min(free) if len(free) == len(tried) else None
        return replace(chosen, held=tuple(held), free_loss=free_loss)

    return best_pair if pairs else best


def _by_first(
    first: StageOptions, second: StageOptions, pairs: Mapping[str, Mapping[str, int]]
) -> Iterator[tuple[list[int], list[StageOptions]]]:
    """For each variant of the first stage, the places of its options, and both stages' options with it."""
    for variant in dict.fromkeys(row.variant for row in first.rows):
        indices = [i for i, row in enumerate(first.rows) if row.variant == variant]
        one = replace(first.only(indices), accuracy=[1] * len(indices))
        yield indices, [one, replace(second, accuracy=[pairs[variant][row.variant] for row in second.rows])]
