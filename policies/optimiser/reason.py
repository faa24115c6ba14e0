"""Why nothing is feasible, in one line: the stage, the load, and what it would have to make do with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ipa.policies.optimiser.options import StageOptions
from ipa.policies.optimiser.problem import Problem
from ipa.policies.optimiser.scales import NS
from ipa.policies.optimiser.solvers import Solver


def reason(problem: Problem, stages: Sequence[StageOptions], solver: Solver) -> str:
    """Why no pick of these options, which sustain the load, keeps the SLA, the cores and the nodes. There must be none.

    A stage alone is named where there is one: with the others at their quickest and at their smallest, which may be two
    different options, none of its own options keeps to what is left. Otherwise the stages get into each other's way.
    """
    names = problem.programme.table.names
    load, limit = f"{problem.load_rps:.4g} rps", problem.most_cores
    for name, stage in zip(names, stages, strict=True):
        if not stage.rows:
            return f"stage {name}: no variant serves {load} with {_replicas(problem, name)}"
    sla_ns = problem.programme.table.sla_ns
    quickest, smallest = [min(stage.latency_ns) for stage in stages], [min(stage.cores) for stage in stages]
    spare_ns = sla_ns - sum(quickest)
    spare_cores = None if limit is None else limit - sum(smallest)
    allowed_ns = [spare_ns + each for each in quickest]
    allowed_cores = [None if spare_cores is None else spare_cores + each for each in smallest]
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
    fewest = solver([replace(stage, loss=stage.cores) for stage in stages], sla_ns, None, 0)
    assert fewest is not None, "the quickest options keep the SLA"
    cores = sum(stage.cores[i] for stage, i in zip(stages, fewest.indices, strict=True))
    takes = f"serving {load} within {_s(sla_ns)} takes at least {_cores(cores)}"
    if limit is not None and cores > limit:
        return f"{takes}; the limit is {limit}"
    return f"{takes}, in replicas that the nodes ({', '.join(map(str, problem.nodes))} cores) have no room for"


def _replicas(problem: Problem, name: str) -> str:
    if problem.replicas:
        return f"its fixed {_counted(problem.replicas[name], 'replica')}"
    return f"at most {_counted(problem.bounds(name)[1], 'replica')}"


def _cores(cores: int | None) -> str:
    return _counted(cores or 0, "core")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _s(ns: int) -> str:
    return f"{ns / NS:.4g} s"
