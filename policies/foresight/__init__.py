"""Foresight: a policy that plans for the least rate that past risk allows."""

from ipa.policies.foresight.policy import Foresight

__all__ = ["Foresight"]
