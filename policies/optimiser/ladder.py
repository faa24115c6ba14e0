"""From a problem to an answer: the optimum, or else the answer of the first rung of a ladder that has one.

1. `optimal`: the best configuration that keeps the SLA, sustains the load, and stays within cores and replicas.
2. `no-accuracy`: the wish for accuracy is dropped. What is feasible does not depend on the weight of accuracy, so this
   rung is only for problems that want certain `variants`, and is skipped otherwise. The restriction is lifted (with
   `keep_variants=False`; in any case at a stage whose wanted variants have all failed) and, with alpha = 0, the
   cheapest configuration is taken that keeps the SLA and sustains the load.
3. `sla-excess`: the least planned latency that sustains the load; among equals, the best objective.
4. `most-throughput`: the greatest load that cores and replicas sustain; among equals, the least planned latency, then
   the best objective. If not even one replica for each stage fits the cores: the fewest cores, and a note says so.

On the last two a note says what is in the way (see `reason`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import inf

from ipa.policies.optimiser.exact import Pick
from ipa.policies.optimiser.options import StageOptions, options
from ipa.policies.optimiser.placed import placed
from ipa.policies.optimiser.problem import Problem
from ipa.policies.optimiser.reason import reason
from ipa.policies.optimiser.scales import NS
from ipa.policies.optimiser.solvers import Solver
from ipa.policies.optimiser.throughput import fewest_cores, most_sustained_rps

OPTIMAL, NO_ACCURACY, SLA_EXCESS, MOST_THROUGHPUT = RUNGS = (
    "optimal",
    "no-accuracy",
    "sla-excess",
    "most-throughput",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A pick, the options it was made from, and the constraints that its rung imposed."""

    rung: str
    pick: Pick
    stages: tuple[StageOptions, ...]
    wanted: tuple[Collection[str], ...]
    sla_ns: int
    limit_cores: int | None
    reward: int
    notes: tuple[str, ...]


def climb(problem: Problem, solver: Solver) -> Answer:
    """The answer of the first rung that has one."""
    best = placed(solver, problem.nodes)
    table, limit = problem.programme.table, problem.most_cores
    sla_ns, reward = table.sla_ns, table.scales.reward
    wanted, lifted, notes = wanted_variants(problem)
    stages = options(problem, wanted)
    if not lifted:
        pick = best(stages, sla_ns, limit, reward)
        if pick is not None:
            return Answer(OPTIMAL, pick, stages, wanted, sla_ns, limit, reward, notes)
        if problem.variants is not None and not problem.keep_variants:
            wanted, _, notes = wanted_variants(replace(problem, variants=None))
            lifted, stages = True, options(problem, wanted)
    if lifted:
        bare = options(problem, wanted, accuracy_matters=False)
        notes = (*notes, "the wish for certain variants is dropped")
        pick = best(bare, sla_ns, limit, 0)
        if pick is not None:
            return Answer(NO_ACCURACY, pick, bare, wanted, sla_ns, limit, 0, notes)
    notes = (*notes, reason(problem, stages, solver))
    found = fastest(stages, limit, reward, best)
    if found is not None:
        pick, least_ns = found
        excess = f"the SLA of {sla_ns / NS:.4g} s is exceeded by {(least_ns - sla_ns) / NS:.3g} s"
        return Answer(SLA_EXCESS, pick, stages, wanted, least_ns, limit, reward, (*notes, excess))
    return _most_throughput(problem, wanted, notes, solver)


def fastest(stages: Sequence[StageOptions], limit: int | None, reward: int, best: Solver) -> tuple[Pick, int] | None:
    """The best of the picks of least planned latency within the cores, and that latency [ns]."""
    if limit is None:
        if not all(stage.rows for stage in stages):
            return None
        least_ns = sum(min(stage.latency_ns) for stage in stages)
    else:
        quickest = best([replace(stage, loss=stage.latency_ns) for stage in stages], None, limit, 0)
        if quickest is None:
            return None
        chosen = zip(stages, quickest.indices, strict=True)
        least_ns = sum(stage.latency_ns[i] for stage, i in chosen)
    # With the least possible latency as the SLA, the optimum is the best of the fastest.
    pick = best(stages, least_ns, limit, reward)
    return None if pick is None else (pick, least_ns)


def wanted_variants(
    problem: Problem,
) -> tuple[tuple[Collection[str], ...], bool, tuple[str, ...]]:
    """For each stage the variants to choose from; whether failures end the wish at some stage; and notes.

    Failed variants are left out as long as there are others, wanted ones first. If all have failed, the choice is made
    as if none had.
    """
    stages = problem.programme.table.stages
    if not problem.variants and not problem.failed:
        return tuple(stage.variants for stage in stages), False, ()
    wanted: list[Collection[str]] = []
    lifted, notes = False, []
    for stage in stages:
        wish = (problem.variants or {}).get(stage.name, stage.variants)
        wish = [name for name in stage.variants if name in wish]
        working = [n for n in stage.variants if n not in problem.failed.get(stage.name, ())]
        both = [name for name in wish if name in working]
        if not both:
            lifted = lifted or bool(working)
            kind = "wanted variant" if working else "variant"
            notes.append(f"{stage.name}: every {kind} has failed to start")
        wanted.append(both or working or wish)
    return tuple(wanted), lifted, tuple(notes)


def _most_throughput(
    problem: Problem,
    wanted: tuple[Collection[str], ...],
    notes: tuple[str, ...],
    solver: Solver,
) -> Answer:
    programme, load, limit = problem.programme, problem.load_rps, problem.most_cores
    tables = programme.table.stages
    rows = [stage.select(names, load <= 0).rows for stage, names in zip(tables, wanted, strict=True)]
    fixed = [problem.replicas[stage.name] for stage in tables] if problem.replicas else None
    bounds = [problem.bounds(stage.name) for stage in tables]
    fewest = fixed or [least for least, _ in bounds]
    least = fewest_cores(rows, fewest)
    given = "the fixed replicas take" if fixed else "one replica per stage takes"
    if not fixed and max(fewest) > 1:
        given = "the fewest replicas allowed take"
    if limit is not None and least > limit:
        notes = (*notes, f"{given} {least} cores; limit: {limit}")
        limit = least
    best = placed(solver, problem.nodes)

    def is_placed(rate_rps: float) -> bool:
        return best(options(problem, wanted, sustain_rps=rate_rps), None, limit, 0) is not None

    if problem.nodes and not is_placed(0.0):
        nodes = ", ".join(map(str, problem.nodes))
        notes = (*notes, f"{given} {least} cores, for which the nodes ({nodes} cores) have no room")
        best = solver
    cores = inf if limit is None else limit
    checked = is_placed if best is not solver else lambda _: True
    rate = most_sustained_rps(rows, load, cores, bounds, fixed, checked)
    if rate < load:
        notes = (*notes, f"sustains {rate:.4g} of {load:.4g} rps")
    stages = options(problem, wanted, sustain_rps=rate)
    found = fastest(stages, limit, programme.table.scales.reward, best)
    assert found is not None, "the greatest sustained load is sustained by some configuration"
    pick, least_ns = found
    reward = programme.table.scales.reward
    return Answer(MOST_THROUGHPUT, pick, stages, wanted, least_ns, limit, reward, notes)
