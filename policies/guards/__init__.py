"""Guards: rules for the decisions of any policy. A guard wraps a policy and is itself a policy."""

from ipa.policies.guards.bounds import Bounds, Ceiling, CoreLimit
from ipa.policies.guards.rules import Steadiness
from ipa.policies.guards.steady import Steady

__all__ = ["Bounds", "Ceiling", "CoreLimit", "Steadiness", "Steady"]
