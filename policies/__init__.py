"""Policies: what decides, and the loop that lets it.

interface      the seam: observation, configuration, decision, policy, backend
controller     the loop · guards: bounds on any policy · configurations: what one may be
journal        decisions as JSON lines, and their replay
predictors     forecasts of the load · optimiser/: the integer programme
ipa, oracle, scale_only, switch_only: a policy each · planner: what these optimising ones share
hpa, kpa, inferline (inferline_plan), rate: a policy each · scaler: what these share, that change replicas alone
static: the yardstick · variants: variants by name
registry       policies by name · plugins: from packages and files · checks: what a parameter may be
"""

from policies.configurations import check_configuration, lightest_configuration
from policies.controller import Controller, Entry, Journal
from policies.guards import Bounds, CoreLimit
from policies.hpa import Hpa
from policies.inferline import InferLine
from policies.interface import (
    COSTLY_FIELDS,
    NO_LATENCY,
    Applied,
    Backend,
    Configuration,
    Decision,
    LatencyQuantiles,
    Memory,
    Observation,
    Policy,
    PolicyError,
    Predictor,
    ReplicaCounts,
    StageConfiguration,
    StageObservation,
    reads,
)
from policies.ipa import Ipa
from policies.journal import read as read_journal
from policies.journal import replay as replay_journal
from policies.journal import to_line
from policies.kpa import Kpa
from policies.optimiser import ExplainedOption, Explanation
from policies.optimiser import explain as explain_problem
from policies.oracle import Oracle
from policies.planner import Planner
from policies.predictors import create_predictor
from policies.rate import Rate
from policies.registry import create, describe
from policies.scale_only import ScaleOnly
from policies.scaler import Scaler
from policies.static import Static
from policies.switch_only import SwitchOnly

__all__ = [
    "COSTLY_FIELDS",
    "NO_LATENCY",
    "Applied",
    "Backend",
    "Bounds",
    "Configuration",
    "Controller",
    "CoreLimit",
    "Decision",
    "Entry",
    "ExplainedOption",
    "Explanation",
    "Hpa",
    "InferLine",
    "Ipa",
    "Journal",
    "Kpa",
    "LatencyQuantiles",
    "Memory",
    "Observation",
    "Oracle",
    "Planner",
    "Policy",
    "PolicyError",
    "Predictor",
    "Rate",
    "ReplicaCounts",
    "ScaleOnly",
    "Scaler",
    "StageConfiguration",
    "StageObservation",
    "Static",
    "SwitchOnly",
    "check_configuration",
    "create",
    "create_predictor",
    "describe",
    "explain_problem",
    "lightest_configuration",
    "read_journal",
    "reads",
    "replay_journal",
    "to_line",
]
