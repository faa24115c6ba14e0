"""Guards: what holds whatever a policy says. A guard wraps a policy and is itself a policy.

bounds      replicas of every stage within a minimum and a maximum, and what guards share
ceiling     no replica is planned to be busier than allowed
core_limit  the cores of the cluster, and room for every replica on its nodes
steady      changes: how often, how far and how soon · rules: each of these by itself · settings: which are on
"""

from ipa.policies.guards.bounds import Bounds
from ipa.policies.guards.ceiling import Ceiling
from ipa.policies.guards.core_limit import CoreLimit
from ipa.policies.guards.settings import Steadiness
from ipa.policies.guards.steady import Steady

__all__ = ["Bounds", "Ceiling", "CoreLimit", "Steadiness", "Steady"]
