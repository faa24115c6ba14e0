"""The optimiser: a pipeline's integer programme solved exactly, and never without an answer.

problem.py   what is asked: `Programme` (whatever the load) and `Problem` (one decision)
scales.py    the objective in whole numbers · table.py, options.py   the options of any, of one load
exact.py     the optimum by merging Pareto fronts · throughput.py    the greatest load that fits
ladder.py    the rungs for infeasible problems · binding.py          what keeps the better out
solution.py  `solve` · explain.py  `explain`: all options, dominated ones, slack, runner-up
"""

from policies.optimiser.explain import ExplainedOption, Explanation, RunnerUp, explain
from policies.optimiser.ladder import RUNGS, SOLVERS
from policies.optimiser.problem import PROGRAMME_PARAMETERS, Problem, Programme
from policies.optimiser.solution import Solution, solve

__all__ = [
    "PROGRAMME_PARAMETERS",
    "RUNGS",
    "SOLVERS",
    "ExplainedOption",
    "Explanation",
    "Problem",
    "Programme",
    "RunnerUp",
    "Solution",
    "explain",
    "solve",
]
