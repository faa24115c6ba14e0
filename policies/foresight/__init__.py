"""Foresight: a policy that plans the mean load and insures against surges as far as its risk asks for."""

from ipa.policies.foresight.policy import Foresight

__all__ = ["Foresight"]
