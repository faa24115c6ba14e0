"""Policies: what decides, and the loop that lets it.

interface           what a policy sees and answers, and what carries it out: the seam that everything hangs on
controller          the loop · journal: decisions as JSON lines, and their replay
configurations      what a decision may be · guards/: what holds for any policy · time_limit: its time
reasoned            why a decision was made, where it is asked
registry            policies by name · plugins: from packages and files · checks: what a parameter may be
manual              what a policy and its parameters mean · ranges: what values of them are worth trying
ipa, oracle, scale_only, switch_only: policies that ask the optimiser · optimising_policy: what they share
hpa, kpa, ray, inferline, faro, planner, rate: policies that change replicas · scaler: what they share
inferline_plan, faro_utility: what a plan and a utility are
foresight/          our own: the mean load, insured against surges
loki, infadapter: policies that mix variants · mixing: what they share
static              never decides anew: the yardstick · variants: variants by name
predictors/         forecasts of the load · forecast: what they answer · optimiser/: the integer programme
"""

from ipa.policies import checks, plugins
from ipa.policies.configurations import MOST_REPLICAS, check_configuration, check_decision, lightest_configuration
from ipa.policies.controller import Controller, Entry, Journal
from ipa.policies.faro import Faro
from ipa.policies.forecast import Forecast
from ipa.policies.foresight import Foresight
from ipa.policies.guards import Bounds, Ceiling, CoreLimit, Steadiness, Steady
from ipa.policies.hpa import Hpa
from ipa.policies.inferline import InferLine
from ipa.policies.interface import (
    COSTLY_FIELDS,
    FACTS,
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
    ahead_of,
    mix_of,
    mixes,
    reads,
    without_mix,
)
from ipa.policies.ipa import Ipa
from ipa.policies.journal import from_line, from_plain, to_line, to_plain
from ipa.policies.journal import read as read_journal
from ipa.policies.journal import replay as replay_journal
from ipa.policies.kpa import Kpa
from ipa.policies.manual import Manual, Parameter, manual_of
from ipa.policies.manual import names as policy_names
from ipa.policies.optimiser import ExplainedOption, Explanation, Price, Solution, pareto_plans
from ipa.policies.optimiser import explain as explain_problem
from ipa.policies.optimising_policy import PLANNING_PARAMETERS, OptimisingPolicy, decision_from_solution
from ipa.policies.oracle import Oracle
from ipa.policies.planner import Planner
from ipa.policies.predictors import PREDICTORS, Outlook, create_predictor
from ipa.policies.ranges import RANGES, Choices, Range, parse_range, ranges_of
from ipa.policies.rate import Rate
from ipa.policies.ray import Ray
from ipa.policies.reasoned import Reasoned, explain_decision
from ipa.policies.registry import POLICIES, create, describe, facts_of, split_spec, take_from_spec, takes
from ipa.policies.scale_only import ScaleOnly
from ipa.policies.scaler import Scaler
from ipa.policies.static import Static
from ipa.policies.switch_only import SwitchOnly
from ipa.policies.time_limit import TimeLimit, in_time

__all__ = [
    "COSTLY_FIELDS",
    "FACTS",
    "MOST_REPLICAS",
    "NO_LATENCY",
    "PLANNING_PARAMETERS",
    "POLICIES",
    "PREDICTORS",
    "RANGES",
    "Applied",
    "Backend",
    "Bounds",
    "Ceiling",
    "Choices",
    "Configuration",
    "Controller",
    "CoreLimit",
    "Decision",
    "Entry",
    "ExplainedOption",
    "Explanation",
    "Faro",
    "Forecast",
    "Foresight",
    "Hpa",
    "InferLine",
    "Ipa",
    "Journal",
    "Kpa",
    "LatencyQuantiles",
    "Manual",
    "Memory",
    "Observation",
    "OptimisingPolicy",
    "Oracle",
    "Outlook",
    "Parameter",
    "Planner",
    "Policy",
    "PolicyError",
    "Predictor",
    "Price",
    "Range",
    "Rate",
    "Ray",
    "Reasoned",
    "ReplicaCounts",
    "ScaleOnly",
    "Scaler",
    "Solution",
    "StageConfiguration",
    "StageObservation",
    "Static",
    "Steadiness",
    "Steady",
    "SwitchOnly",
    "TimeLimit",
    "ahead_of",
    "check_configuration",
    "check_decision",
    "checks",
    "create",
    "create_predictor",
    "decision_from_solution",
    "describe",
    "explain_decision",
    "explain_problem",
    "facts_of",
    "from_line",
    "from_plain",
    "in_time",
    "lightest_configuration",
    "manual_of",
    "mix_of",
    "mixes",
    "pareto_plans",
    "parse_range",
    "plugins",
    "policy_names",
    "ranges_of",
    "read_journal",
    "reads",
    "replay_journal",
    "split_spec",
    "take_from_spec",
    "takes",
    "to_line",
    "to_plain",
    "without_mix",
]
