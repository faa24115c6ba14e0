"""The optimiser: solves a pipeline's integer programme exactly, with fallbacks if it is infeasible."""

from ipa.policies.optimiser.explain import ExplainedOption, Explanation, Price, RunnerUp, explain_problem, pareto_plans
from ipa.policies.optimiser.ladder import RUNGS
from ipa.policies.optimiser.parameters import PROGRAMME_PARAMETERS
from ipa.policies.optimiser.problem import HIGHEST_LOAD_RPS, SLACK, Problem, SolverError, replicas_for
from ipa.policies.optimiser.programme import PIPELINE_PARAMETERS, Programme
from ipa.policies.optimiser.solution import Answers, Solution, question, solve
from ipa.policies.optimiser.solvers import SOLVERS, check_installed, gurobi_licence_expiry, takes_chains

__all__ = [
    "HIGHEST_LOAD_RPS",
    "PIPELINE_PARAMETERS",
    "PROGRAMME_PARAMETERS",
    "RUNGS",
    "SLACK",
    "SOLVERS",
    "Answers",
    "ExplainedOption",
    "Explanation",
    "Price",
    "Problem",
    "Programme",
    "RunnerUp",
    "Solution",
    "SolverError",
    "check_installed",
    "explain_problem",
    "gurobi_licence_expiry",
    "pareto_plans",
    "question",
    "replicas_for",
    "solve",
    "takes_chains",
]
