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

from ipa.policies.configurations import check_configuration, lightest_configuration
from ipa.policies.controller import Controller, Entry, Journal
from ipa.policies.guards import Bounds, CoreLimit
from ipa.policies.hpa import Hpa
from ipa.policies.inferline import InferLine
from ipa.policies.interface import (
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
from ipa.policies.ipa import Ipa
from ipa.policies.journal import read as read_journal
from ipa.policies.journal import replay as replay_journal
from ipa.policies.journal import to_line
from ipa.policies.kpa import Kpa
from ipa.policies.optimiser import ExplainedOption, Explanation
from ipa.policies.optimiser import explain as explain_problem
from ipa.policies.oracle import Oracle
from ipa.policies.planner import Planner
from ipa.policies.predictors import create_predictor
from ipa.policies.rate import Rate
from ipa.policies.registry import create, describe
from ipa.policies.scale_only import ScaleOnly
from ipa.policies.scaler import Scaler
from ipa.policies.static import Static
from ipa.policies.switch_only import SwitchOnly

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
