"""The optimiser: a pipeline's integer programme, solved exactly, and always with an answer."""

from ipa.policies.optimiser.answers import Answers, question
from ipa.policies.optimiser.explain import ExplainedOption, Explanation, RunnerUp, explain_problem
from ipa.policies.optimiser.frontier import pareto_plans
from ipa.policies.optimiser.ladder import RUNGS
from ipa.policies.optimiser.options import replicas_for
from ipa.policies.optimiser.packages import SolverError, check_installed
from ipa.policies.optimiser.parameters import PROGRAMME_PARAMETERS
from ipa.policies.optimiser.prices import Price
from ipa.policies.optimiser.problem import HIGHEST_LOAD_RPS, Problem
from ipa.policies.optimiser.programme import PIPELINE_PARAMETERS, Programme
from ipa.policies.optimiser.solution import Solution, solve
from ipa.policies.optimiser.solvers import SOLVERS, gurobi_licence_expiry
from ipa.policies.optimiser.table import planned_batches

__all__ = [
    "HIGHEST_LOAD_RPS",
    "PIPELINE_PARAMETERS",
    "PROGRAMME_PARAMETERS",
    "RUNGS",
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
    "planned_batches",
    "question",
    "replicas_for",
    "solve",
]
