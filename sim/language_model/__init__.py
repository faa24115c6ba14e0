"""Stages of language models, whose replicas make steps in which requests join and leave: tokens and the scheduler."""

from ipa.sim.language_model.scheduler import Scheduler, Sequence
from ipa.sim.language_model.tokens import TokenRows, tokens_at

__all__ = ["Scheduler", "Sequence", "TokenRows", "tokens_at"]
