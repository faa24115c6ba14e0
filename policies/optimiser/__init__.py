"""The optimiser: a pipeline's integer programme solved exactly, and never without an answer.

problem.py   what is asked: `Programme` (whatever the load) and `Problem` (one decision)
scales.py    the objective in whole numbers · table.py, options.py   the options of any, of one load
solvers.py   the solvers by name · exact.py: merging Pareto fronts (fronts.py), with bounds where
             there are many options (bounded.py, relaxation.py) · gurobi.py, highs.py: folded.py
ladder.py    the rungs for infeasible problems (throughput.py) · binding.py   what keeps the better out
solution.py  `solve` · answers.py  each problem once · explain.py  options, slack, runner-up
"""

from ipa.policies.optimiser.answers import Answers
from ipa.policies.optimiser.explain import ExplainedOption, Explanation, RunnerUp, explain
from ipa.policies.optimiser.ladder import RUNGS
from ipa.policies.optimiser.problem import PROGRAMME_PARAMETERS, Problem, Programme
from ipa.policies.optimiser.solution import Solution, solve
from ipa.policies.optimiser.solvers import SOLVERS, SolverError, check_installed

__all__ = [
    "PROGRAMME_PARAMETERS",
    "RUNGS",
    "SOLVERS",
    "Answers",
    "ExplainedOption",
    "Explanation",
    "Problem",
    "Programme",
    "RunnerUp",
    "Solution",
    "SolverError",
    "check_installed",
    "explain",
    "solve",
]
