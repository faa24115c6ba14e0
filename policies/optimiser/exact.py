"""The optimum of a multiple-choice knapsack by merging Pareto fronts, for any number of stages.

Every stage picks one option. Options are merged stage by stage. Of the partial picks, only those are kept that no other
one beats in all of loss, latency, cores and accuracy, as far as these matter, and, where there are many, only those
that can still become the best (see `bounded`). A constraint is left out until an answer breaks it: an optimum that
keeps it anyway is the optimum, and its fronts are far smaller. Losses are whole numbers of which no two sums are equal
(see `scales`), so the answer is the one that enumeration would find, ties included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, prod

from ipa.policies.optimiser.bounded import best_of_many
from ipa.policies.optimiser.fronts import Matters, Point, front, unbeaten
from ipa.policies.optimiser.options import StageOptions

# Up to this many combinations of options, bounds cost more than they save.
FEW = 2000


@dataclass(frozen=True, slots=True)
class Pick:
    """One option for each stage by index, its loss (less the reward), and the constraints that shaped it.

    A constraint that is not in `held` made no difference: without it the answer is the same. `free_loss` is the loss of
    the best pick without any constraint, if the solver knows it.
    """

    indices: tuple[int, ...]
    loss: int
    held: tuple[str, ...] = ()
    free_loss: int | None = None


def exact(stages: Sequence[StageOptions], sla_ns: int | None, limit_cores: int | None, reward: int) -> Pick | None:
    """The pick with the least loss - reward x product of accuracies within SLA and cores; None if there is none."""
    if not all(stage.rows for stage in stages):
        return None
    if sla_ns is not None and sum(min(stage.latency_ns) for stage in stages) > sla_ns:
        return None
    if limit_cores is not None and sum(min(stage.cores) for stage in stages) > limit_cores:
        return None
    held: tuple[str, ...] = ()
    free_loss: int | None = None
    while True:
        sla = sla_ns if "sla" in held else None
        limit = limit_cores if "cores" in held else None
        found = _search(stages, sla, limit, reward)
        if found is None:
            return None
        loss, indices = found
        free_loss = loss if free_loss is None else free_loss
        broken = _broken(stages, indices, sla_ns, limit_cores)
        if not broken:
            return Pick(indices, loss, held, free_loss)
        held = tuple(name for name in ("sla", "cores") if name in held or name in broken)


def _search(
    stages: Sequence[StageOptions], sla_ns: int | None, limit_cores: int | None, reward: int
) -> tuple[int, tuple[int, ...]] | None:
    matters = Matters(sla_ns is not None, limit_cores is not None, reward > 0)
    most_ns = inf if sla_ns is None else sla_ns
    most_cores = inf if limit_cores is None else limit_cores
    fronts = [front(stage, matters) for stage in stages]
    if prod(map(len, fronts)) > FEW:
        return best_of_many(fronts, most_ns, most_cores, reward, matters)
    return _best_of_few(fronts, most_ns, most_cores, reward, matters)


def _best_of_few(
    fronts: Sequence[list[Point]], most_ns: float, most_cores: float, reward: int, matters: Matters
) -> tuple[int, tuple[int, ...]] | None:
    """As `best_of_many`, without bounds."""
    merged: list[Point] = [(0, 0, 0, 1, ())]
    least_ns = [min([point[1] for point in points]) for points in fronts]
    least_cores = [min([point[2] for point in points]) for points in fronts]
    left_ns, left_cores = most_ns - sum(least_ns), most_cores - sum(least_cores)
    for k, following in enumerate(fronts[:-1]):
        left_ns += least_ns[k]
        left_cores += least_cores[k]
        crossed = [
            (loss + more, spent_ns, spent_cores, accuracy * factor, picks + pick)
            for loss, latency, used, accuracy, picks in merged
            for more, wait, extra, factor, pick in following
            if (spent_ns := latency + wait) <= left_ns and (spent_cores := used + extra) <= left_cores
        ]
        merged = unbeaten(crossed, matters) if k else sorted(crossed)
    return _completed(merged, fronts[-1], most_ns, most_cores, reward)


def _completed(
    merged: list[Point], last: list[Point], most_ns: float, most_cores: float, reward: int
) -> tuple[int, tuple[int, ...]] | None:
    """The best completion of `merged` by one of `last`; losses rise, so the search ends early."""
    best: tuple[int, tuple[int, ...]] | None = None
    highest = reward * max((point[3] for point in last), default=0)
    for loss, latency, used, accuracy, picks in merged:
        for more, wait, extra, factor, pick in last:
            total = loss + more
            if best is not None and total - highest * accuracy >= best[0]:
                break
            if latency + wait > most_ns or used + extra > most_cores:
                continue
            total -= reward * accuracy * factor
            if best is None or total < best[0]:
                best = (total, picks + pick)
            if not reward:
                break
    return best


def _broken(stages: Sequence[StageOptions], indices: Sequence[int], sla_ns: int | None, limit: int | None) -> list[str]:
    """The constraints that a pick does not keep."""
    chosen = list(zip(stages, indices, strict=True))
    late = sla_ns is not None and sum(stage.latency_ns[i] for stage, i in chosen) > sla_ns
    large = limit is not None and sum(stage.cores[i] for stage, i in chosen) > limit
    return ["sla"] * late + ["cores"] * large
