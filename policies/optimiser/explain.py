"""Why a configuration was chosen: every option of every stage, what binds, and what came second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ipa.policies.interface import StageConfiguration, without_mix
from ipa.policies.optimiser.binding import CONSTRAINTS, binding, relaxation_gains
from ipa.policies.optimiser.exact import Pick
from ipa.policies.optimiser.fronts import Matters, front
from ipa.policies.optimiser.ladder import NO_ACCURACY, OPTIMAL, Answer, climb, fastest
from ipa.policies.optimiser.options import StageOptions, replicas_for, waits_ns
from ipa.policies.optimiser.pairs import with_pairs
from ipa.policies.optimiser.placed import placed
from ipa.policies.optimiser.prices import Price, price_of_core, price_of_sla
from ipa.policies.optimiser.problem import Problem
from ipa.policies.optimiser.scales import NS
from ipa.policies.optimiser.solution import configured, solve
from ipa.policies.optimiser.solvers import Solver, solver_named


@dataclass(frozen=True, slots=True)
class ExplainedOption:
    """One variant and batch size of a stage.

    `latency_s` includes `queue_wait_s`; `accuracy` is the raw one. `value` is the objective with this option here and
    the other stages as chosen. `sustains`: within the allowed replicas. `dominated`: another option of the stage is as
    good in everything that matters (value at equal accuracy, latency, and cores if they are limited); with accuracies
    of pairs, another one of the same variant, as others may be worth more beside another variant at the other stage.
    """

    variant: str
    batch: int
    replicas: int
    cores: int
    latency_s: float
    queue_wait_s: float
    accuracy: float
    value: float
    sustains: bool
    dominated: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The best configuration with other variants or batch sizes, and the `difference` of the objectives."""

    configuration: Mapping[str, StageConfiguration]
    objective: Mapping[str, float]
    difference: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything there is to say about one decision of the optimiser.

    `gains`: by how much the objective would rise without each constraint (empty unless the answer is optimal).
    `slack_s` is the SLA less the planned latency. The runner-up is the second best in the order of the rung; None if
    there is none. `one_more_core` (None where cores are not limited) and `ten_ms_of_sla` are what a little more would
    bring; None where prices were not asked for.
    """

    load_rps: float
    configuration: Mapping[str, StageConfiguration]
    rung: str
    feasible: bool
    binding: str
    gains: Mapping[str, float]
    objective: Mapping[str, float]
    latency_s: float
    sla_s: float
    slack_s: float
    options: Mapping[str, tuple[ExplainedOption, ...]]
    runner_up: RunnerUp | None
    notes: tuple[str, ...]
    one_more_core: Price | None = None
    ten_ms_of_sla: Price | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as dicts, tuples, numbers and strings, ready for JSON."""
        return asdict(self, dict_factory=without_mix)


def explain_problem(problem: Problem, *, solver: str = "exact", prices: bool = False) -> Explanation:
    """The solution of a problem with its reasons; with `prices`, for which the problem is solved twice more, those too.

    PolicyError: an unknown solver.
    """
    best = with_pairs(solver_named(solver), problem.programme.table.scales.pairs)
    solution = solve(problem, solver=solver) if prices else None
    programme = problem.programme
    answer = climb(problem, best)
    configuration = configured(problem, answer, answer.pick)
    chosen = zip(answer.stages, answer.pick.indices, strict=True)
    latency_s = sum(stage.latency_ns[i] for stage, i in chosen) / NS
    optimal = answer.rung == OPTIMAL
    unit = programme.table.scales.unit * programme.table.scales.weight_unit
    gains = relaxation_gains(problem, answer, best) if optimal else {}
    return Explanation(
        load_rps=problem.load_rps,
        configuration=configuration,
        rung=answer.rung,
        feasible=optimal,
        binding=binding(problem, answer, best),
        gains={name: gains[name] / unit for name in CONSTRAINTS if name in gains},
        objective=programme.score(configuration),
        latency_s=latency_s,
        sla_s=programme.target_s,
        slack_s=programme.target_s - latency_s,
        options={
            name: _stage_options(problem, answer, k, configuration) for k, name in enumerate(programme.table.names)
        },
        runner_up=_runner_up(problem, answer, configuration, placed(best, problem.nodes)),
        notes=answer.notes,
        one_more_core=None if solution is None else price_of_core(problem, solution, solver),
        ten_ms_of_sla=None if solution is None else price_of_sla(problem, solution, solver),
    )


def _runner_up(
    problem: Problem,
    answer: Answer,
    configuration: Mapping[str, StageConfiguration],
    best: Solver,
) -> RunnerUp | None:
    """The best of all picks with another option at some stage, found by leaving out one chosen option at a time."""
    found: list[tuple[int, int, Answer, Pick]] = []
    for k, chosen in enumerate(answer.pick.indices):
        stage = answer.stages[k]
        others = stage.only([i for i in range(len(stage.rows)) if i != chosen])
        stages = (*answer.stages[:k], others, *answer.stages[k + 1 :])
        second = _next_best(stages, answer, best)
        if second is not None:
            pick, rank = second
            found.append((rank, pick.loss, replace(answer, stages=stages), pick))
    if not found:
        return None
    _, _, other, pick = min(found, key=lambda each: each[:2])
    second_configuration = configured(problem, other, pick)
    objective = problem.programme.score(second_configuration)
    difference = problem.programme.score(configuration)["total"] - objective["total"]
    return RunnerUp(second_configuration, objective, difference)


def _next_best(stages: tuple[StageOptions, ...], answer: Answer, best: Solver) -> tuple[Pick, int] | None:
    """The best pick in the order of the answer's rung, and what that order ranks before the loss."""
    if answer.rung in (OPTIMAL, NO_ACCURACY):
        pick = best(stages, answer.sla_ns, answer.limit_cores, answer.reward)
        return None if pick is None else (pick, 0)
    return fastest(stages, answer.limit_cores, answer.reward, best)


def _unbeaten(stage: StageOptions, matters: Matters, of_each_variant: bool) -> Iterator[int]:
    """The options that no other one beats, or none of the same variant."""
    every = range(len(stage.rows))
    groups: list[Sequence[int]] = [every]
    if of_each_variant:
        names = dict.fromkeys(row.variant for row in stage.rows)
        groups = [[i for i in every if stage.rows[i].variant == name] for name in names]
    for group in groups:
        for point in front(stage.only(group), matters):
            yield group[point[-1][0]]


def _stage_options(
    problem: Problem, answer: Answer, k: int, configuration: Mapping[str, StageConfiguration]
) -> tuple[ExplainedOption, ...]:
    programme, stage = problem.programme, answer.stages[k]
    table = programme.table.stages[k]
    offered = {(row.variant, row.batch): i for i, row in enumerate(stage.rows)}
    limited, reward = answer.limit_cores is not None, answer.reward > 0
    unbeaten = set(_unbeaten(stage, Matters(True, limited, reward), bool(programme.table.scales.pairs)))
    waits = waits_ns(problem, k, table.batches)
    explained = []
    for row in table.select(answer.wanted[k], problem.load_rps <= 0).rows:
        i = offered.get((row.variant, row.batch))
        fixed = problem.replicas[table.name] if problem.replicas else None
        replicas = fixed or max(replicas_for(problem.load_rps, row.throughput_rps), problem.bounds(table.name)[0])
        replicas = replicas if i is None else stage.replicas[i]
        here = StageConfiguration(row.variant, row.batch, replicas, 0.0, row.cores)
        wait_s = waits[row.batch] / NS
        explained.append(
            ExplainedOption(
                variant=row.variant,
                batch=row.batch,
                replicas=replicas,
                cores=replicas * row.cores,
                latency_s=row.latency_s + wait_s,
                queue_wait_s=wait_s,
                accuracy=programme.table.scales.raw[k][row.variant],
                value=programme.score({**configuration, table.name: here})["total"],
                sustains=i is not None,
                dominated=i is not None and i not in unbeaten,
                chosen=i == answer.pick.indices[k],
            )
        )
    return tuple(explained)
