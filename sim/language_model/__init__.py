"""Stages of language models, whose replicas make steps in which requests join and leave: tokens, the
scheduler, and why requests fail."""

from ipa.sim.language_model.failures import no_room, reasons, refused
from ipa.sim.language_model.scheduler import Scheduler, Sequence
from ipa.sim.language_model.tokens import TokenRows, tokens_at

__all__ = ["Scheduler", "Sequence", "TokenRows", "no_room", "reasons", "refused", "tokens_at"]
