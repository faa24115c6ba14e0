"""Foresight: a policy that plans the mean load and insures against surges as far as its risk asks for.

policy      the policy `Foresight` · level: how high the load is, and its noise · peak: what it is about to be
surges      what has risen by half within seconds · silence: what has fallen silent · clock: the period that surges keep
insurance   the rate that a surge may meet · backlog: the rate that serves what waits in time
learning    what is remembered of an observation · margin: what ordinary seconds have needed above the level
pending     what is decided and has yet to take effect
throughput  what stages really serve · startup: how late replicas are · flaps: how often a stage may change its variant
choice      plans of a programme, and how they differ · rescue: what is stuck with replicas is given back
beside_ipa  a plan no worse than IPA's, or a better one for more · account: what has been saved and gained
"""

from ipa.policies.foresight.policy import Foresight

__all__ = ["Foresight"]
