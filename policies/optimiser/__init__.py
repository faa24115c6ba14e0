"""The optimiser: a pipeline's integer programme, solved exactly, and always with an answer.

parameters  what the operator of a pipeline wants · programme: `Programme`, the same with its tables
problem     `Problem`, one decision's question · solution: `solve`, its answer · answers: each question solved once
explain     why an answer was chosen: every option, the slack, the runner-up · binding: what keeps better ones out
placed      any solver, held to the nodes of a cluster
prices      what one core or 10 ms of SLA more would bring · frontier: all Pareto-optimal plans for a load
ladder      what is answered where nothing is feasible, and · reason: why nothing is
throughput  the most load that cores and replicas sustain
scales      the objective in whole numbers · table: options before the load is known · options: options for one load
pairs       accuracies of pairs of variants, for any solver
solvers     the solvers by name · packages: what they need installed
exact       merging Pareto fronts · fronts: what is worth keeping · bounded, relaxation: bounds, where options are many
gurobi, highs: other solvers · folded: the linear model that both solve
"""

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
