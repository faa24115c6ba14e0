"""The solvers against enumeration and against each other, their refusals, and answers given twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from math import inf, prod
from random import Random
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings

from ipa import profiles
from ipa.policies import Ipa, ScaleOnly, create
from ipa.policies.interface import Decision, Memory, PolicyError
from ipa.policies.optimiser import (
    Problem,
    Programme,
    SolutionCache,
    SolverError,
    exact,
    explain_problem,
    general,
    solve,
    solvers,
)
from ipa.policies.optimiser.problem import Knapsack, Pick, Solver, StageOptions
from ipa.policies.optimiser.programme import Row
from ipa.policies.optimiser.relaxation import Relaxed, ScaledOption
from tests.policies import brute_force
from tests.policies.random_problems import tight
from tests.policies.test_optimiser import chain_of, problem, problems
from tests.sim.blocks import blocks
from tests.tiny import chosen, configuration, observation, pipeline, two_by_two, variant

GENERAL = [
    pytest.param(name, marks=pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed"))
    for name, package in solvers.PACKAGES.items()
]
INSTALLED = [name for name, package in solvers.PACKAGES.items() if find_spec(package) is not None]
needs_gurobi = pytest.mark.skipif(find_spec("gurobipy") is None, reason="gurobipy is not installed")

thorough = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
few = settings(parent=thorough, max_examples=150)


# The exact solver's bounds


@pytest.fixture
def always_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds even for the smallest problem."""
    monkeypatch.setattr(exact, "FEW", 0)


@pytest.mark.usefixtures("always_bounded")
@thorough
@given(problems())
def test_bounds_never_lose_the_answer_of_enumeration(problem: Problem) -> None:
    expected = brute_force.optimum(problem)
    solution = solve(problem)
    assert (solution.rung == "optimal") == (expected is not None)
    expected = expected or brute_force.least_excess(problem)
    if expected is not None:
        assert list(chosen(solution.configuration).values()) == expected.choice


def bare_stages(random: Random) -> list[StageOptions]:
    """Three to five stages with few different figures, so that ties are common; no two sums of losses are equal."""
    count = random.randint(3, 5)
    most = random.choice([2, 9, 10**12])
    # Equal stages have the most ties of all: every permutation of a pick is as good.
    twins = random.random() < 0.3
    figures = [[random.choices(range(most + 1), k=3) for _ in range(random.randint(2, 7))] for _ in range(count)]
    return [
        StageOptions(
            rows=[cast("Row", None)] * len(each),
            replicas=[1] * len(each),
            latency_ns=[wait for wait, _, _ in each],
            cores=[1 + used % 9 for _, used, _ in each],
            loss=[(loss << 20) + (i << 3 * (count - 1 - k)) for i, (_, _, loss) in enumerate(each)],
            accuracy=[1 + sum(of) % 7 for of in each],
        )
        for k, each in enumerate(figures[:1] * count if twins else figures)
    ]


@pytest.mark.usefixtures("always_bounded")
@pytest.mark.parametrize("block", blocks(4))
@pytest.mark.parametrize("reward", [0, 1, 1 << 20, 1 << 60])
@pytest.mark.parametrize("limited", [(False, False), (True, False), (False, True), (True, True)])
def test_bounds_lose_nothing_with_many_ties_and_huge_or_no_differences(
    reward: int, limited: tuple[bool, bool], block: int
) -> None:
    found_any = 0
    for seed in range(10 * block, 10 * (block + 1)):
        random = Random(seed)
        stages = bare_stages(random)
        most: list[int | None] = []
        for spendings, is_limited in zip(
            ([s.latency_ns for s in stages], [s.cores for s in stages]), limited, strict=True
        ):
            least, largest = sum(map(min, spendings)), sum(map(max, spendings))
            most.append(random.randint(least, largest) if is_limited else None)
        sla_ns, limit = most
        possible = []
        for indices in product(*(range(len(stage.rows)) for stage in stages)):
            picked = list(zip(stages, indices, strict=True))
            late = sum(stage.latency_ns[i] for stage, i in picked)
            large = sum(stage.cores[i] for stage, i in picked)
            if late <= (inf if sla_ns is None else sla_ns) and large <= (inf if limit is None else limit):
                loss = sum(stage.loss[i] for stage, i in picked)
                possible.append((loss - reward * prod(stage.accuracy[i] for stage, i in picked), indices))
        found = exact.exact(Knapsack(stages, chain_of(stages), sla_ns, limit, reward))
        assert (found and (found.loss, found.indices)) == min(possible, default=None)
        found_any += found is not None
    assert found_any > 3


def test_bounds_lose_nothing_of_large_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against plain merging, which knows no bounds; every answer whole, with what binds and by how much."""
    large = [
        tight(seed, *size, accuracy, few_cores=few_cores)
        for size in ((3, 10, 7), (4, 6, 4), (6, 3, 3))
        for accuracy in ("product", "average")
        for few_cores in (False, True)
        for seed in range(4)
    ]
    answers = [solve(problem) for problem in large]
    monkeypatch.setattr(exact, "FEW", inf)
    assert answers == [solve(problem) for problem in large]
    assert {answer.binding for answer in answers} >= {"sla", "cores"}


def test_a_bound_is_below_every_pick_that_keeps_the_limit_and_close_to_the_best() -> None:
    """Two equal stages, cost 10, 8, 4, 0 for time 0, 1, 3, 5, and time 4 in all.

    Every unit of time saves 2, so at a price of 2 all options cost 10: the bound is 20 - 4 x 2 = 12,
    and 8 + 4 for times 1 + 3 attains it.
    """
    stage = [
        ScaledOption(10.0, (0, 0), 1.0),
        ScaledOption(8.0, (1, 0), 1.0),
        ScaledOption(4.0, (3, 0), 1.0),
        ScaledOption(0.0, (5, 0), 1.0),
    ]
    relaxed = Relaxed([stage, stage], 0.0, (4, 0), (True, False))
    within = [a.cost + b.cost for a in stage for b in stage if a.spent[0] + b.spent[0] <= 4]
    assert min(within) == 12.0
    assert relaxed.tried[0].prices == (2.0, 0.0)
    assert relaxed.tried[0].bound == pytest.approx(12.0)
    assert relaxed.cost >= 12.0
    assert all(each.bound <= 12.0 + each.margin for each in relaxed.tried)


def test_bounds_follow_the_product_of_accuracies() -> None:
    """One stage, accuracies 1 (cost 0.6) and 0.5 (cost 0.2), reward 1: F(y) = min(0.6 - y, 0.2 - y / 2).

    They cross at y = 0.8: before it the cheap option is better, after it the accurate one.
    """
    stage = [ScaledOption(0.6, (0, 0), 1.0), ScaledOption(0.2, (0, 0), 0.5)]
    (relaxation,) = Relaxed(
        [[ScaledOption(0.0, (0, 0), 1.0), ScaledOption(0.0, (0, 0), 0.1)], stage], 1.0, (0, 0), (False, False)
    ).tried
    lines, cuts = relaxation.envelopes[1]
    assert [(value, slope) for value, slope, _ in lines] == [(0.2, 0.5), (0.6, 1.0)]
    assert cuts == [pytest.approx(0.8)]
    assert relaxation.bound == pytest.approx(-0.4)
    assert relaxation.pick == (0, 0)


# Gurobi and HiGHS


@pytest.mark.skipif(not INSTALLED, reason="no general solver is installed")
@few
@given(problem=problems())
def test_general_solvers_agree_in_the_objective_the_rung_and_what_binds(problem: Problem) -> None:
    exact_solution = solve(problem)
    if problem.programme.accuracy == "pairs":
        with pytest.raises(SolverError, match="does not take accuracy='pairs'"):
            solve(problem, solver=INSTALLED[0])
        return
    for solver in INSTALLED:
        solution = solve(problem, solver=solver)
        assert (solution.rung, solution.binding) == (exact_solution.rung, exact_solution.binding), solver
        assert solution.objective["total"] == pytest.approx(exact_solution.objective["total"], abs=1e-9), solver


@pytest.mark.parametrize("solver", GENERAL)
@pytest.mark.parametrize(
    ("size", "accuracy", "few_cores"),
    [
        ((2, 5, 3), "product", True),
        ((5, 10, 7), "sum", True),
        ((10, 10, 7), "sum", False),
        ((10, 10, 7), "product", False),
    ],
)
def test_general_solvers_agree_on_large_problems(
    solver: str, size: tuple[int, int, int], accuracy: str, few_cores: bool
) -> None:
    for seed in range(2):
        large = tight(seed, *size, accuracy, few_cores=few_cores)
        exact_solution, solution = solve(large), solve(large, solver=solver)
        assert solution.objective["total"] == pytest.approx(exact_solution.objective["total"], abs=1e-9)
        assert (solution.rung, solution.binding) == (exact_solution.rung, exact_solution.binding)


LADDER: list[tuple[dict[str, Any], str]] = [
    ({"load_rps": 6.0, "sla_s": 0.7}, "optimal"),
    ({"load_rps": 4.0, "limit_cores": 3}, "optimal"),
    (
        {"load_rps": 4.0, "sla_s": 0.3, "variants": {"a": ["large"], "b": ["large"]}, "keep_variants": False},
        "no-accuracy",
    ),
    ({"load_rps": 25.0, "sla_s": 0.15}, "sla-excess"),
    ({"load_rps": 25.0, "sla_s": 0.25, "limit_cores": 5}, "sla-excess"),
    ({"load_rps": 50.0, "limit_cores": 5}, "most-throughput"),
    ({"load_rps": 50.0, "max_replicas": 2}, "most-throughput"),
    ({"load_rps": 4.0, "limit_cores": 1}, "most-throughput"),
    ({"load_rps": 0.0}, "optimal"),
]


@pytest.mark.parametrize("solver", GENERAL)
@pytest.mark.parametrize("accuracy", ["sum", "product"])
@pytest.mark.parametrize(("changes", "rung"), LADDER)
def test_a_general_solver_climbs_the_ladder_as_the_exact_one_does(
    solver: str, accuracy: str, changes: dict[str, Any], rung: str
) -> None:
    of_rung = problem(accuracy=accuracy, **changes)
    exact_solution, solution = solve(of_rung), solve(of_rung, solver=solver)
    assert solution.rung == exact_solution.rung == rung
    assert solution.notes == exact_solution.notes
    assert solution.objective["total"] == pytest.approx(exact_solution.objective["total"], abs=1e-9)
    assert explain_problem(of_rung, solver=solver).gains == pytest.approx(explain_problem(of_rung).gains, abs=1e-9)


@pytest.mark.parametrize("solver", GENERAL)
def test_a_pick_that_breaks_the_sla_by_a_nanosecond_is_no_answer(solver: str) -> None:
    """`slow` is worth more and 3 ns late in 10 s, which a solver's tolerance would let pass."""
    made = pipeline([variant("quick", 0.5, 1, {1: 0.01}), variant("slow", 0.9, 1, {1: 10.0})])
    late = Problem(Programme(made, sla_s=10.0 - 4e-9), 0.05)
    just = Problem(Programme(made, sla_s=10.0), 0.05)
    for asked, name in ((late, "quick"), (just, "slow")):
        found = solve(asked, solver=solver)
        assert (found.configuration["a"].variant, found.rung) == (name, "optimal")


@pytest.mark.parametrize("solver", GENERAL)
def test_general_solvers_print_nothing(
    solver: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does Gurobi as it starts, which it does once in a process: the environment is made anew."""
    monkeypatch.setattr(general, "_environments", {})
    solve(Problem(Programme.of(profiles.load("video")), 20.0), solver=solver)
    assert capfd.readouterr() == ("", "")


def test_the_exact_solver_needs_no_package_but_the_standard_library() -> None:
    code = (
        "import sys; from ipa import profiles; from ipa.policies.optimiser import Problem, Programme, solve;"
        "solve(Problem(Programme.of(profiles.load('video')), 20.0));"
        "print([name for name in ('numpy', 'numba', 'scipy', 'gurobipy', 'highspy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Solvers that cannot answer


@pytest.fixture
def failing_gurobi(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes Gurobi refuse with an error number of its own."""

    def fail(number: int) -> None:
        import gurobipy

        def refuse(*_: object) -> None:
            raise gurobipy.GurobiError(number, "as Gurobi says")

        monkeypatch.setattr("gurobipy.Model.optimize", refuse)

    return fail


@needs_gurobi
@pytest.mark.parametrize(
    ("number", "text"),
    [
        (10009, "no valid licence, or it has expired .error 10009: as Gurobi says.; .*GRB_LICENSE_FILE.*'exact' or"),
        (10010, "12 variables and 9 constraints are too many for the size-limited licence.*error 10010.*full licence"),
        (10001, "failed .error 10001: as Gurobi says.; use solver='exact'"),
    ],
)
def test_gurobis_refusals_say_what_to_do(failing_gurobi: Callable[[int], None], number: int, text: str) -> None:
    failing_gurobi(number)
    with pytest.raises(SolverError, match=text):
        solve(problem(6.0, accuracy="product", batch_cap=2, sla_s=1e3), solver="gurobi")


@needs_gurobi
def test_an_environment_without_licence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import gurobipy

    def no_environment(**_: object) -> None:
        raise gurobipy.GurobiError(10009, "expired")

    monkeypatch.setattr(general, "_environments", {})
    monkeypatch.setattr("gurobipy.Env", no_environment)
    with pytest.raises(SolverError, match="error 10009: expired"):
        solve(problem(6.0), solver="gurobi")
    with pytest.raises(SolverError, match="error 10009: expired"):
        general.gurobi_expiry()


@pytest.mark.parametrize(("solver", "package"), solvers.PACKAGES.items())
def test_a_missing_extra_is_named_before_anything_runs(
    solver: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solvers, "find_spec", lambda _: None)
    text = rf"solver='{solver}' needs {package}: pip install '.\[{solver}\]' in the checkout"
    with pytest.raises(PolicyError, match=text):
        create("ipa", two_by_two(), {"solver": solver})
    with pytest.raises(PolicyError, match=text):
        create("ipa", two_by_two(), {"solver_fallback": solver})
    with pytest.raises(PolicyError, match=text):
        solve(problem(6.0), solver=solver)
    assert create("ipa", two_by_two(), {"solver": solver, "solver_fallback": "exact"})


def test_an_unknown_fallback_is_refused() -> None:
    with pytest.raises(
        PolicyError, match=r"solver_fallback='high' is none of: exact, gurobi, highs \(did you mean 'highs'"
    ):
        create("ipa", two_by_two(), {"solver_fallback": "high"})


@pytest.mark.parametrize("fallback", ["exact", *[each for each in GENERAL if each.values[0] == "highs"]])
def test_the_fallback_answers_and_says_so_once_in_a_run(fallback: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise SolverError("solver='gurobi': no valid licence")

    monkeypatch.setitem(cast("dict[str, Solver]", solvers.SOLVERS), "gurobi", cast("Solver", refuse))
    policy = Ipa(two_by_two(), solver="gurobi", solver_fallback=fallback)
    first = policy.decide(observation([6.0] * 120), {})
    again = policy.decide(observation([9.0] * 120), first.memory)
    known = policy.decide(observation([6.0] * 120), again.memory)
    note = f"{fallback} answers instead: solver='gurobi': no valid licence"
    assert [each.notes for each in (first, again, known)] == [(note,), (), ()]
    assert policy.decide(observation([6.0] * 120), {}).notes == (note,)  # the next run
    plain = Ipa(two_by_two()).decide(observation([6.0] * 120), {})
    assert first.objective == pytest.approx(plain.objective)
    assert plain.memory == {}


def test_without_a_fallback_the_solvers_error_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise SolverError("no")

    policy = Ipa(two_by_two())
    monkeypatch.setitem(cast("dict[str, Solver]", solvers.SOLVERS), "exact", cast("Solver", refuse))
    with pytest.raises(SolverError, match="no"):
        policy.decide(observation([6.0] * 120), {})


# Answers given twice


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[Problem]:
    """The problems that were really solved."""
    from ipa.policies.optimiser import solution

    asked: list[Problem] = []

    def counting(problem: Problem, **how: Any) -> Any:
        asked.append(problem)
        return solve(problem, **how)

    monkeypatch.setattr(solution, "solve", counting)
    return asked


def run(policy: Ipa | ScaleOnly, loads: list[float]) -> Iterator[Decision]:
    """Decisions for one load after another, each made with the configuration that the one before asked for."""
    at_hand, memory = configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1)), cast("Memory", {})
    for load_rps in loads:
        made = policy.decide(observation([load_rps] * 120, at_hand=at_hand), memory)
        at_hand, memory = dict(made.configuration), made.memory
        yield made


def test_a_question_is_answered_once_in_a_run(solved: list[Problem]) -> None:
    """4 rps: large at both. 4, 4, 4: the second time large is at hand, which ties could hang on; the third is known."""
    policy = Ipa(two_by_two(), alpha=10.0, accuracy="sum")
    made = list(run(policy, [4.0] * 5))
    assert (policy.answers.hits, policy.answers.misses, len(solved)) == (3, 2, 2)
    assert policy.answers.hit_rate() == 0.6
    assert len({str(each.configuration) for each in made}) == 1


def test_loads_that_round_to_the_same_are_the_same_question(solved: list[Problem]) -> None:
    policy = Ipa(two_by_two(), alpha=0.0)
    list(run(policy, [5.9, 6.0, 6.2]))
    assert len(solved) == 1
    exactly = Ipa(two_by_two(), alpha=0.0, rounding="none")
    list(run(exactly, [5.9, 6.0, 6.2]))
    assert len(solved) == 4


def test_decisions_are_the_same_with_and_without_kept_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = [float(load) for load in (4, 6, 9, 6, 4, 9, 30, 90, 30, 4, 6, 9, 4)]
    kept = list(run(Ipa(profiles.load("video")), loads))
    monkeypatch.setattr(SolutionCache, "solve", lambda _, problem: solve(problem))
    assert kept == list(run(Ipa(profiles.load("video")), loads))


@pytest.mark.parametrize(
    "changes",
    [
        {"load_rps": 4.5},
        {"limit_cores": 3},
        {"failed": {"a": ("large",)}},
        {"variants": {"a": ["small"]}},
        {"keep_variants": False},
        {"replicas": {"a": 2, "b": 2}},
        {"current": configuration(a=("large", 1, 1, 2), b=("small", 1, 1, 1))},
        {"current": configuration(a=("small", 2, 1, 1), b=("small", 1, 1, 1))},
    ],
)
def test_whatever_may_change_the_answer_is_another_question(changes: dict[str, Any], solved: list[Problem]) -> None:
    asked = replace(problem(4.0), current=configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1)))
    answers = SolutionCache(asked.programme)
    answers.solve(asked)
    other = replace(asked, **changes)
    assert answers.solve(other) == solve(other)
    assert answers.misses == len(solved) == 2


def test_what_cannot_change_the_answer_is_the_same_question(solved: list[Problem]) -> None:
    """Replicas and timeouts at hand decide no tie."""
    asked = replace(problem(4.0), current=configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1)))
    answers = SolutionCache(asked.programme)
    answers.solve(asked)
    answers.solve(replace(asked, current=configuration(a=("small", 1, 7, 1), b=("small", 1, 2, 1))))
    answers.solve(replace(asked, failed={"a": ()}))
    assert (answers.hits, len(solved)) == (2, 1)


def test_a_tie_goes_to_the_configuration_at_hand_although_another_was_answered_before() -> None:
    """3 cores: one stage may be large, and it stays the one that is."""
    asked = problem(4.0, limit_cores=3)
    answers = SolutionCache(asked.programme)
    for a, b in (("small", "large"), ("large", "small")) * 2:
        at_hand = configuration(a=(a, 1, 1, 1), b=(b, 1, 1, 1))
        found = chosen(answers.solve(replace(asked, current=at_hand)).configuration)
        assert (found["a"][0], found["b"][0]) == (a, b)
    assert (answers.hits, answers.misses) == (2, 2)


def test_another_programme_is_answered_and_not_kept() -> None:
    asked = problem(4.0)
    answers = SolutionCache(asked.programme)
    other = replace(asked, programme=replace(asked.programme, alpha=0.0))
    assert answers.solve(other) == solve(other) != answers.solve(asked)
    assert (answers.hits, answers.misses, answers.hit_rate()) == (0, 1, 0.0)


def test_very_many_answers_push_the_oldest_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from ipa.policies.optimiser import solution

    monkeypatch.setattr(solution, "MOST_KEPT", 2)
    kept = SolutionCache(problem(1.0).programme)
    for load_rps in (1.0, 2.0, 3.0, 1.0, 3.0):
        kept.solve(Problem(kept._programme, load_rps))
    assert (kept.hits, kept.misses) == (1, 4)


def test_picks_name_the_limits_they_were_held_to() -> None:
    """What the general solvers cannot tell, the exact one does: limits that the answer never met."""
    stages = bare_stages(Random(1))
    flow = chain_of(stages)
    free = cast("Pick", exact.exact(Knapsack(stages, flow)))
    assert exact.exact(Knapsack(stages, flow, 10**15, 10**6)) == replace(free, binding=())
