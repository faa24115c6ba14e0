"""Guards: what holds whatever a policy says. A guard wraps a policy and is itself a policy."""

from ipa.policies.guards.bounds import Bounds
from ipa.policies.guards.ceiling import Ceiling
from ipa.policies.guards.core_limit import CoreLimit
from ipa.policies.guards.settings import Steadiness
from ipa.policies.guards.steady import Steady

__all__ = ["Bounds", "Ceiling", "CoreLimit", "Steadiness", "Steady"]
