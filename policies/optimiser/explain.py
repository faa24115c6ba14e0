"""Why a configuration was chosen: every option of every stage, the binding constraint, and the runner-up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ipa.policies.goals import most_accurate
from ipa.policies.interface import StageConfiguration
from ipa.policies.optimiser.flows import Combinations
from ipa.policies.optimiser.fronts import Matters, front
from ipa.policies.optimiser.ladder import MOST_THROUGHPUT, NO_ACCURACY, OPTIMAL, Answer, climb, fastest
from ipa.policies.optimiser.problem import Knapsack, Pick, Problem, Solver, StageOptions, replicas_for, waits_ns
from ipa.policies.optimiser.scales import NS
from ipa.policies.optimiser.solution import CONSTRAINTS, Solution, binding, configured, relaxation_gains, solve
from ipa.policies.optimiser.solvers import placed, solver_for


@dataclass(frozen=True, slots=True)
class ExplainedOption:
    """One variant and batch size of a stage.

    `latency_s` includes `queue_wait_s`; `accuracy` is the raw one. `value` is the objective with this option and the
    other stages as chosen. `sustains`: it needs no more than the allowed replicas. `dominated`: another option of the
    stage is as good in all criteria (value at equal accuracy, latency, and cores if limited). With accuracies of pairs,
    only options of the same variant count, as another variant's accuracy depends on the other stage.
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
    """The best configuration with other variants or batch sizes, and the `difference` in objective."""

    configuration: Mapping[str, StageConfiguration]
    objective: Mapping[str, float]
    difference: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision of the optimiser with its reasons.

    `gains`: the rise of the objective without each constraint (empty unless the answer is optimal). `slack_s` is the
    SLA minus the planned latency. `runner_up` is the second best in the order of the rung; None if there is none.
    `one_more_core` (None if cores are not limited) and `ten_ms_of_sla` are shadow prices; None if not requested.
    `trade_offs` are those of a goal, in its own terms. `slowest_way`: in a graph, the stages of the path whose planned
    latency is `latency_s`. `sustained_rps`: the load that the replicas of all options are for, which is less than
    `load_rps` on the last rung.
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
    trade_offs: Mapping[str, TradeOff] = field(default_factory=dict)
    slowest_way: tuple[str, ...] = ()
    sustained_rps: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The explanation as a JSON-able dict."""
        return {key: value for key, value in asdict(self).items() if value or key not in ("trade_offs", "slowest_way")}


def explain_problem(problem: Problem, *, solver: str = "exact", prices: bool = False) -> Explanation:
    """The solution of a problem with its reasons; `prices`: also shadow prices, for which it is solved twice more.

    Raises PolicyError if the solver is unknown.
    """
    best = solver_for(solver, problem.programme)
    by_weights = prices and problem.programme.wanted.aim is None
    solution = solve(problem, solver=solver) if by_weights else None
    programme = problem.programme
    answer = climb(problem, best)
    configuration = configured(problem, answer.pick)
    latency_s = answer.knapsack.latency_ns(answer.pick) / NS
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
        runner_up=_runner_up(problem, answer, configuration, placed(best, problem.room)),
        notes=answer.notes,
        one_more_core=None if solution is None else price_of_core(problem, solution, solver),
        ten_ms_of_sla=None if solution is None else price_of_sla(problem, solution, solver),
        trade_offs=trade_offs_of(problem, solver) if prices else {},
        slowest_way=_slowest_way(problem, answer),
        sustained_rps=_sustained_rps(problem, answer),
    )


def _sustained_rps(problem: Problem, answer: Answer) -> float:
    """The load for which replicas are counted: the whole one, or what the last rung sustains of it."""
    return min(problem.load_rps, answer.pick.sustained_rps) if answer.rung == MOST_THROUGHPUT else problem.load_rps


def _slowest_way(problem: Problem, answer: Answer) -> tuple[str, ...]:
    if problem.programme.pipeline.graph is None:
        return ()
    return answer.knapsack.flow.longest_way([stage.latency_ns[i] for stage, i in answer.pick.chosen])[1]


def _runner_up(
    problem: Problem,
    answer: Answer,
    configuration: Mapping[str, StageConfiguration],
    best: Solver,
) -> RunnerUp | None:
    """The best pick with another option at some stage, found by removing one chosen option at a time."""
    others: list[tuple[int, int, Pick]] = []
    for k, (chosen_stage, chosen) in enumerate(answer.pick.chosen):
        stages = list(answer.knapsack.stages)
        stages[k] = stages[k].without(chosen_stage.rows[chosen])
        second = _next_best(
            replace(answer.knapsack, stages=stages), answer.rung, best, is_placed=problem.room.is_limited
        )
        if second is not None:
            pick, rank = second
            others.append((rank, pick.loss, pick))
    if not others:
        return None
    _, _, pick = min(others, key=lambda ranked: ranked[:2])
    second_configuration = configured(problem, pick)
    objective = problem.programme.score(second_configuration)
    difference = problem.programme.score(configuration)["total"] - objective["total"]
    return RunnerUp(second_configuration, objective, difference)


def _next_best(knapsack: Knapsack, rung: str, best: Solver, *, is_placed: bool) -> tuple[Pick, int] | None:
    """The best pick in the order of a rung, and the value that this order ranks before the loss."""
    if rung in (OPTIMAL, NO_ACCURACY):
        pick = best(knapsack)
        return None if pick is None else (pick, 0)
    quickest = fastest(knapsack, best, is_placed=is_placed)
    return None if quickest is None else (quickest[0], quickest[1].sla_ns or 0)


def _unbeaten(stage: StageOptions, matters: Matters, of_each_variant: bool) -> Iterator[int]:
    """The options that are not dominated by another one; `of_each_variant`: by one of the same variant."""
    every = range(len(stage.rows))
    groups: list[Sequence[int]] = [every]
    if of_each_variant:
        names = dict.fromkeys(row.variant for row in stage.rows)
        groups = [[i for i in every if stage.rows[i].variant == name] for name in names]
    for group in groups:
        for *_, (i,) in front(stage, matters, group):
            yield i


def _stage_options(
    problem: Problem, answer: Answer, k: int, configuration: Mapping[str, StageConfiguration]
) -> tuple[ExplainedOption, ...]:
    programme, flow, picked = problem.programme, answer.knapsack.flow, answer.pick.stages[k]
    table, picked_i = programme.table.stages[k], answer.pick.indices[k]
    stage = answer.knapsack.stages[k].at(picked.inflows)
    pairs = list(zip(stage.rows, stage.replicas, strict=True))
    chosen = pairs.index((picked.rows[picked_i], picked.replicas[picked_i]))
    offered = {(row.variant, row.batch): i for i, (row, _) in reversed(list(enumerate(pairs)))}
    offered[stage.rows[chosen].variant, stage.rows[chosen].batch] = chosen
    tells_variants = isinstance(flow.joint, Combinations)
    unbeaten = set(_unbeaten(stage, Matters.of(answer.knapsack), tells_variants or k in flow.deciding))
    load_rps = problem.load_rps * stage.inflows.least.factor
    sustained_rps = _sustained_rps(problem, answer) * stage.inflows.least.factor
    waits = waits_ns(problem, k, table.batches, load_rps)
    is_chain = programme.pipeline.graph is None
    explained = []
    for row in table.select(answer.candidates[k], load_rps <= 0).rows:
        i = offered.get((row.variant, row.batch))
        fixed = problem.replicas[table.name] if problem.replicas else None
        replicas = fixed or max(replicas_for(sustained_rps, row.throughput_rps), problem.bounds(table.name)[0])
        replicas = replicas if i is None else stage.replicas[i]
        at_hand = StageConfiguration(row.variant, row.batch, replicas, 0.0, row.cores)
        wait_s = waits[row.batch] / NS
        explained.append(
            ExplainedOption(
                variant=row.variant,
                batch=row.batch,
                replicas=replicas,
                cores=replicas * row.cores,
                latency_s=row.latency_s + wait_s if is_chain or i is None else stage.latency_ns[i] / NS,
                queue_wait_s=wait_s,
                accuracy=programme.table.scales.raw[k][row.variant],
                value=programme.score({**configuration, table.name: at_hand})["total"],
                sustains=i is not None,
                dominated=i is not None and i not in unbeaten,
                chosen=i == chosen,
            )
        )
    return tuple(explained)


MORE_SLA_S = 0.01


@dataclass(frozen=True, slots=True)
class Price:
    """The answer with a little more of a resource.

    `gain`: the rise of the objective; None if the answer with or without it is infeasible. `rung`, `latency_s` and
    `sustained_rps` as in `Solution`.
    """

    gain: float | None
    rung: str
    latency_s: float
    sustained_rps: float
    configuration: Mapping[str, StageConfiguration]


@dataclass(frozen=True, slots=True)
class TradeOff:
    """The plan with one bound moved a little: its accuracy (PAS), its cores, and its rung."""

    pas: float
    cores: int
    rung: str
    configuration: Mapping[str, StageConfiguration]


def price_of_core(problem: Problem, solution: Solution, solver: str = "exact") -> Price | None:
    """The price of one more core; None if cores are not limited."""
    limit = problem.core_limit
    return None if limit is None else _price(solution, solve(problem.with_core_limit(limit + 1), solver=solver))


def price_of_sla(problem: Problem, solution: Solution, solver: str = "exact") -> Price:
    """The price of `MORE_SLA_S` more SLA."""
    return _price(solution, solve(_with_more_sla(problem), solver=solver))


def _with_more_sla(problem: Problem) -> Problem:
    programme = problem.programme
    longer = replace(programme, sla_s=programme.target_s + MORE_SLA_S, drop_limits_s=programme.drop_limits)
    return replace(problem, programme=longer)


def trade_offs_of(problem: Problem, solver: str = "exact") -> dict[str, TradeOff]:
    """The plans with one bound each (cores, accuracy, SLA) moved a little, solved exactly; empty without a goal."""
    programme, limit = problem.programme, problem.core_limit
    goal = programme.wanted
    if goal.aim is None:
        return {}
    changed_problems: dict[str, Problem] = {}
    if limit is not None:
        changed_problems["one core more"] = problem.with_core_limit(limit + 1)
        if limit > 1:
            changed_problems["one core less"] = problem.with_core_limit(limit - 1)
    if goal.accuracy_at_least is not None:
        for name, points in (("one point of accuracy more", 1), ("one point of accuracy less", -1)):
            least = goal.accuracy_at_least + points
            if 0 < least <= 100 * most_accurate(programme.pipeline):
                changed = replace(programme, goal=replace(goal, accuracy_at_least=least))
                changed_problems[name] = replace(problem, programme=changed)
    for stage, least in goal.stage_accuracy_at_least.items():
        for name, points in (("more", 1), ("less", -1)):
            best = max(variant.accuracy for variant in programme.pipeline.stage(stage).variants)
            if 0 < least + points <= 100 * best:
                floors = {**goal.stage_accuracy_at_least, stage: least + points}
                changed = replace(programme, goal=replace(goal, stage_accuracy_at_least=floors))
                changed_problems[f"one point of accuracy {name} at {stage}"] = replace(problem, programme=changed)
    changed_problems["10 ms more of SLA"] = _with_more_sla(problem)
    plans = {name: solve(changed, solver=solver) for name, changed in changed_problems.items()}
    return {
        name: TradeOff(100 * plan.objective["pas"], round(plan.objective["cost_cores"]), plan.rung, plan.configuration)
        for name, plan in plans.items()
    }


def _price(before: Solution, after: Solution) -> Price:
    are_feasible = before.feasible and after.feasible
    gain = after.objective["total"] - before.objective["total"] if are_feasible else None
    return Price(gain, after.rung, after.latency_s, after.sustained_rps, after.configuration)


def pareto_plans(problem: Problem, *, solver: str = "exact") -> list[Solution]:
    """The Pareto-optimal plans that keep SLA, load and limits, by rising cores; empty if there are none.

    The criteria are cores and the accuracy as the programme combines it. Of plans equal in both, only the one that the
    rule for ties prefers (smallest batches, ...) is given. Their objective is that of the problem's programme. Raises
    as `solve`.
    """
    return list(reversed(list(_by_falling_accuracy(problem, solver))))


def _by_falling_accuracy(problem: Problem, solver: str) -> Iterator[Solution]:
    """The most accurate plan, with the fewest cores among equals; then repeatedly the same with fewer cores."""
    programme = problem.programme
    accurate = replace(problem, programme=programme.most_accurate)
    while True:
        solution = solve(accurate, solver=solver)
        if not solution.feasible:
            return
        score = programme.score(solution.configuration)
        yield replace(solution, objective=score)
        if score["cost_cores"] <= 1:
            return
        accurate = replace(accurate, limit_cores=round(score["cost_cores"]) - 1)
