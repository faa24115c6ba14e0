"""One budget of cores or GPUs over several pipelines: who gets how many of these units where they do not suffice.

- `members`: what a pipeline of a fleet is to the rules, and the weights of priorities and tenants;
- `curves`: the best objective of a pipeline within each number of units;
- `rules`: quotas, water-filling, strict priority, and the greatest weighted objective, by name;
- `arbiter`: who may have how many units now, so that those that exist never exceed the budget.
"""

from ipa.policies.sharing.arbiter import Arbiter, Grant, Step
from ipa.policies.sharing.curves import UNMET, Curve, Curves
from ipa.policies.sharing.members import Member, SharingError, weights_of
from ipa.policies.sharing.rules import SHARING, split

__all__ = [
    "SHARING",
    "UNMET",
    "Arbiter",
    "Curve",
    "Curves",
    "Grant",
    "Member",
    "SharingError",
    "Step",
    "split",
    "weights_of",
]
