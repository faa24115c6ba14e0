"""Foresight: a policy that plans the mean load and insures against surges as far as its risk asks for.

policy      the policy `Foresight` · level: how high the load is, and its noise
surges      what has risen by half within seconds · clock: whether surges keep a period
insurance   the rate that a surge may meet · backlog: the rate that serves what waits in time
"""

from ipa.policies.foresight.policy import Foresight

__all__ = ["Foresight"]
