"""From a problem to an answer: the optimum, or the first fallback with an answer on a ladder of rungs.

1. `optimal`: the best configuration that keeps the SLA, sustains the load, and stays within cores and replicas.
2. `no-accuracy`: the required accuracy is dropped. Feasibility does not depend on the weight of accuracy, so this rung
   is only for problems that want certain `variants`, and is skipped otherwise. The restriction is lifted (with
   `keep_variants=False`; in any case at a stage whose wanted variants have all failed), and the answer is the cheapest
   configuration (alpha = 0) that keeps the SLA and sustains the load; for a goal whose accuracy is out of reach, the
   most accurate one.
3. `sla-excess`: the least planned latency that sustains the load; among equals, the best objective.
4. `most-throughput`: the greatest load that cores and replicas sustain; among equals, the least planned latency, then
   the best objective. If not even one replica for each stage fits the cores: the fewest cores, and a note says so.

On the last two, a note gives the `reason`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ipa.policies.optimiser import graphs
from ipa.policies.optimiser.flows import StageFlow
from ipa.policies.optimiser.problem import Knapsack, Pick, Problem, Solver, StageOptions, options
from ipa.policies.optimiser.scales import NS
from ipa.policies.optimiser.solvers import placed
from ipa.policies.optimiser.throughput import fewest_cores, most_sustained_rps

OPTIMAL, NO_ACCURACY, SLA_EXCESS, MOST_THROUGHPUT = RUNGS = (
    "optimal",
    "no-accuracy",
    "sla-excess",
    "most-throughput",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A pick, the knapsack of its rung, and the candidate variants of each stage."""

    rung: str
    pick: Pick
    knapsack: Knapsack
    candidates: tuple[Collection[str], ...]
    notes: tuple[str, ...]


def climb(problem: Problem, solver: Solver) -> Answer:
    """The answer of the first rung that has one."""
    best = placed(solver, problem.room)
    table, limit = problem.programme.table, problem.most_cores
    sla_ns, reward = table.sla_ns, table.scales.reward
    candidates, lifted, notes = wanted_variants(problem)
    stages = options(problem, candidates)
    if not lifted:
        accurate = _accurate_enough(problem, candidates)
        if all(accurate):
            offered = stages if accurate == candidates else options(problem, accurate)
            knapsack = Knapsack(offered, table.flow, sla_ns, limit, reward, problem.programme.least_accuracy)
            pick = best(knapsack)
            if pick is not None:
                if problem.programme.wanted.aim == "accuracy":
                    pick = _fewest_cores_of_equals(knapsack, pick, best)
                return Answer(OPTIMAL, pick, knapsack, accurate, notes)
        if problem.programme.wanted.wants_accuracy:
            fewest = _fewest_cores(knapsack.without("cores"), best) if all(accurate) else None
            answer = _most_accurate(problem, candidates, notes, best, fewest)
            if answer is not None:
                return answer
        if problem.variants is not None and not problem.keep_variants:
            candidates, _, notes = wanted_variants(replace(problem, variants=None))
            lifted, stages = True, options(problem, candidates)
    if lifted:
        bare = options(problem, candidates, accuracy_matters=False)
        notes = (*notes, "the wish for certain variants is dropped")
        knapsack = Knapsack(bare, table.flow, sla_ns, limit)
        pick = best(knapsack)
        if pick is not None:
            return Answer(NO_ACCURACY, pick, knapsack, candidates, notes)
    notes = (*notes, reason(problem, stages, solver))
    quickest = _fastest_for_goal(problem, Knapsack(stages, table.flow, None, limit, reward), best)
    if quickest is not None:
        pick, knapsack = quickest
        assert knapsack.sla_ns is not None
        excess = f"the SLA of {sla_ns / NS:.4g} s is exceeded by {(knapsack.sla_ns - sla_ns) / NS:.3g} s"
        return Answer(SLA_EXCESS, pick, knapsack, candidates, (*notes, excess))
    return _most_throughput(problem, candidates, notes, solver)


def _accurate_enough(problem: Problem, candidates: tuple[Collection[str], ...]) -> tuple[Collection[str], ...]:
    """For each stage, the variants with at least the accuracy that a goal requires of it."""
    programme = problem.programme
    if not programme.wanted.stage_accuracy_at_least:
        return candidates
    stages = zip(programme.table.names, candidates, strict=True)
    return tuple([name for name in names if programme.accurate_enough(stage, name)] for stage, names in stages)


def _most_accurate(
    problem: Problem,
    candidates: tuple[Collection[str], ...],
    notes: tuple[str, ...],
    best: Solver,
    needed_cores: int | None,
) -> Answer | None:
    """The most accurate plan that keeps all but the goal's accuracy; `needed_cores`: those that this accuracy needs."""
    programme, limit = problem.programme, problem.most_cores
    accurate = programme.most_accurate
    stages = options(replace(problem, programme=accurate), candidates)
    knapsack = Knapsack(stages, accurate.table.flow, programme.table.sla_ns, limit, accurate.table.scales.reward)
    pick = best(knapsack)
    if pick is None:
        return None
    pick = _fewest_cores_of_equals(knapsack, pick, best)
    chosen = [stage.rows[i].variant for stage, i in pick.chosen]
    within = "the SLA" if limit is None else f"the SLA and {_counted(limit, 'core')}"
    most = programme.table.scales.parts(chosen, 0, 0)["pas"]
    load = f"{problem.load_rps:.4g} rps"
    note = f"the goal's accuracy cannot be had for {load} within {within}: {100 * most:.4g} is the most"
    if needed_cores is not None and limit is not None and needed_cores > limit:
        note += f"; it takes {_counted(needed_cores, 'core')}"
    return Answer(NO_ACCURACY, pick, knapsack, candidates, (*notes, note))


def _fewest_cores_of_equals(knapsack: Knapsack, pick: Pick, best: Solver) -> Pick:
    """The pick with the fewest cores of those as accurate. Only general solvers ignore criteria without weight."""
    if pick.free_loss is not None:
        return pick
    accuracy = knapsack.accuracy(pick)
    if not accuracy:
        return pick
    fewest = best(replace(knapsack, reward=0, least_accuracy=accuracy))
    return (
        pick
        if fewest is None
        else replace(fewest, loss=fewest.loss - knapsack.reward * accuracy, binding=pick.binding, free_loss=None)
    )


def _fewest_cores(knapsack: Knapsack, best: Solver) -> int | None:
    """The fewest cores with which a knapsack's other limits can be kept; None: they cannot."""
    fewest = best(replace(knapsack, stages=[stage.by_cores() for stage in knapsack.stages], reward=0))
    return None if fewest is None else fewest.cores


def fastest(knapsack: Knapsack, best: Solver, *, is_placed: bool = False) -> tuple[Pick, Knapsack] | None:
    """The best pick of least planned latency, and the knapsack with this latency as its SLA.

    `is_placed`: the solver's picks have to find room, too.
    """
    least_ns = _least_latency_ns(knapsack, best, is_placed)
    if least_ns is None:
        return None
    # With the least possible latency as the SLA, the optimum is the best of the fastest.
    within = replace(knapsack, sla_ns=least_ns)
    pick = best(within)
    return None if pick is None else (pick, within)


def _least_latency_ns(knapsack: Knapsack, best: Solver, is_placed: bool) -> int | None:
    """The least planned latency [ns] of a pick within the cores; None if there is none."""
    if knapsack.limit_cores is None and not is_placed:
        return graphs.least_latency_ns(knapsack)
    within = Knapsack(knapsack.stages, knapsack.flow, limit_cores=knapsack.limit_cores)
    if knapsack.flow.is_chain:
        quickest = best(replace(within, stages=[replace(stage, loss=stage.latency_ns) for stage in knapsack.stages]))
        return None if quickest is None else quickest.loss
    # The latency of the slowest path is no sum, so the least SLA that can be kept is searched.
    any_pick = best(replace(knapsack, sla_ns=None, reward=0))
    if any_pick is None:
        return None
    tried = graphs.least_latency_ns(within)
    assert tried is not None, "there is a pick"
    too_little, enough = tried - 1, knapsack.latency_ns(any_pick)
    while enough - too_little > 1:
        quick_pick = best(replace(within, sla_ns=tried))
        if quick_pick is None:
            too_little = tried
        else:
            enough = within.latency_ns(quick_pick)
        tried = (too_little + enough) // 2
    return enough


def _fastest_for_goal(problem: Problem, knapsack: Knapsack, best: Solver) -> tuple[Pick, Knapsack] | None:
    """As `fastest`; if a goal maximises accuracy, with the fewest cores among equals."""
    quickest = fastest(knapsack, best, is_placed=problem.room.is_limited)
    if quickest is None or problem.programme.wanted.aim != "accuracy":
        return quickest
    pick, within = quickest
    return _fewest_cores_of_equals(within, pick, best), within


def wanted_variants(
    problem: Problem,
) -> tuple[tuple[Collection[str], ...], bool, tuple[str, ...]]:
    """For each stage the candidate variants; whether failures override the wanted ones at some stage; and notes.

    Failed variants are left out as long as there are others, wanted ones first. If all have failed, none counts as
    failed.
    """
    stages = problem.programme.table.stages
    if not problem.variants and not problem.failed:
        return tuple(stage.variants for stage in stages), False, ()
    candidates: list[Collection[str]] = []
    lifted, notes = False, []
    for stage in stages:
        wish = (problem.variants or {}).get(stage.name, stage.variants)
        wish = [name for name in stage.variants if name in wish]
        working = [n for n in stage.variants if n not in problem.failed.get(stage.name, ())]
        working_wishes = [name for name in wish if name in working]
        if not working_wishes:
            lifted = lifted or bool(working)
            kind = "wanted variant" if working else "variant"
            notes.append(f"{stage.name}: every {kind} has failed to start")
        candidates.append(working_wishes or working or wish)
    return tuple(candidates), lifted, tuple(notes)


def _most_throughput(
    problem: Problem,
    candidates: tuple[Collection[str], ...],
    notes: tuple[str, ...],
    solver: Solver,
) -> Answer:
    programme, load, limit = problem.programme, problem.load_rps, problem.most_cores
    tables = programme.table.stages
    rows = [stage.select(names, load <= 0).rows for stage, names in zip(tables, candidates, strict=True)]
    fixed = [problem.replicas[stage.name] for stage in tables] if problem.replicas else None
    fewest = fixed or [problem.bounds(stage.name)[0] for stage in tables]
    least = fewest_cores(rows, fewest)
    subject = "the fixed replicas take" if fixed else "one replica per stage takes"
    if not fixed and max(fewest) > 1:
        subject = "the fewest replicas allowed take"
    if limit is not None and least > limit:
        notes = (*notes, f"{subject} {least} cores; limit: {limit}")
        limit = least
    best = placed(solver, problem.room)

    flow = programme.table.flow

    def is_placed(rate_rps: float, variants: Sequence[Collection[str]]) -> bool:
        stages = options(problem, variants, sustain_rps=rate_rps)
        return best(Knapsack(stages, flow, limit_cores=limit)) is not None

    if problem.room.is_limited and not is_placed(0.0, candidates):
        notes = (*notes, f"{subject} {least} cores, for which {_rooms(problem)} have no room")
        best = solver
    rate = most_sustained_rps(problem, candidates, limit, None if best is solver else is_placed)
    if rate < load:
        notes = (*notes, f"sustains {rate:.4g} of {load:.4g} rps")
    stages = options(problem, candidates, sustain_rps=rate)
    quickest = _fastest_for_goal(problem, Knapsack(stages, flow, None, limit, programme.table.scales.reward), best)
    assert quickest is not None, "the greatest sustained load is sustained by some configuration"
    return Answer(MOST_THROUGHPUT, *quickest, candidates, notes)


def reason(problem: Problem, stages: Sequence[StageOptions], solver: Solver) -> str:
    """Why no pick of these options, which sustain the load, keeps the SLA, the cores and the nodes. No pick may do so.

    A single stage is named if none of its options fits what the others leave at their quickest and at their smallest
    (which may be different options). Otherwise the conflict is between stages.
    """
    names = problem.programme.table.names
    load, limit = f"{problem.load_rps:.4g} rps", problem.most_cores
    flow = problem.programme.table.flow
    if problem.programme.pipeline.graph is not None:
        return _reason_of_graph(problem, flow, stages, solver)
    for name, stage in zip(names, stages, strict=True):
        if not stage.rows:
            return f"stage {name}: no variant serves {load} with {_replicas(problem, name)}"
    sla_ns = problem.programme.table.sla_ns
    quickest, smallest = [min(stage.latency_ns) for stage in stages], [min(stage.cores) for stage in stages]
    spare_ns = sla_ns - sum(quickest)
    spare_cores = None if limit is None else limit - sum(smallest)
    allowed_ns = [spare_ns + least for least in quickest]
    allowed_cores = [None if spare_cores is None else spare_cores + least for least in smallest]
    rest = "; the other stages need the rest" if len(stages) > 1 else ""
    if spare_ns < 0:
        slowest = quickest.index(max(quickest))
        if allowed_ns[slowest] <= 0:
            return f"the stages take at least {_s(sum(quickest))} for {load}; the SLA is {_s(sla_ns)}"
        return f"stage {names[slowest]}: no variant serves {load} within {_s(allowed_ns[slowest])}{rest}"
    if spare_cores is not None and spare_cores < 0:
        largest = smallest.index(max(smallest))
        if (allowed_cores[largest] or 0) <= 0:
            return f"the stages take at least {_cores(sum(smallest))} for {load}; the limit is {limit}"
        return f"stage {names[largest]}: no variant serves {load} on at most {_cores(allowed_cores[largest])}{rest}"
    for name, stage, within_ns, on_cores in zip(names, stages, allowed_ns, allowed_cores, strict=True):
        if not any(
            latency_ns <= within_ns and (on_cores is None or cores <= on_cores)
            for latency_ns, cores in zip(stage.latency_ns, stage.cores, strict=True)
        ):
            return f"stage {name}: no variant serves {load} within {_s(within_ns)} on at most {_cores(on_cores)}{rest}"
    return _cores_in_the_way(problem, Knapsack(stages, flow, sla_ns), solver)


def _reason_of_graph(problem: Problem, flow: StageFlow, stages: Sequence[StageOptions], solver: Solver) -> str:
    """As `reason`, in a graph: a stage, a path or the cores, whichever is found first."""
    load, sla_ns = f"{problem.load_rps:.4g} rps", problem.programme.table.sla_ns
    for name, stage in zip(flow.names, stages, strict=True):
        if not stage.rows:
            return f"stage {name}: no variant serves its items of {load} with {_replicas(problem, name)}"
    quickest = fastest(Knapsack(stages, flow), solver)
    if quickest is None:
        return f"no variants serve the items of {load} at all stages with the replicas allowed"
    pick, knapsack = quickest
    least_ns, way = flow.longest_way([stage.latency_ns[i] for stage, i in pick.chosen])
    if least_ns > sla_ns:
        return f"the way {' -> '.join(way)} takes at least {_s(least_ns)} for {load}; the SLA is {_s(sla_ns)}"
    return _cores_in_the_way(problem, replace(knapsack, sla_ns=sla_ns), solver)


def _cores_in_the_way(problem: Problem, knapsack: Knapsack, solver: Solver) -> str:
    load, limit, sla_ns = f"{problem.load_rps:.4g} rps", problem.most_cores, problem.programme.table.sla_ns
    cores = _fewest_cores(knapsack, solver)
    assert cores is not None, "the quickest options keep the SLA"
    takes = f"serving {load} within {_s(sla_ns)} takes at least {_cores(cores)}"
    if limit is not None and cores > limit:
        return f"{takes}; the limit is {limit}"
    return f"{takes}, in replicas that {_rooms(problem)} have no room for"


def _rooms(problem: Problem) -> str:
    """The room that there is, in words."""
    nodes = f"the nodes ({', '.join(map(str, problem.room.nodes))} cores)" if problem.room.nodes else ""
    gpus = f"the GPUs ({problem.room.gpus})" if problem.room.gpus is not None else ""
    return " and ".join(filter(None, (nodes, gpus)))


def _replicas(problem: Problem, name: str) -> str:
    if problem.replicas:
        return f"its fixed {_counted(problem.replicas[name], 'replica')}"
    return f"at most {_counted(problem.bounds(name)[1], 'replica')}"


def _cores(cores: int | None) -> str:
    return _counted(cores or 0, "core")


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _s(ns: int) -> str:
    return f"{ns / NS:.4g} s"
