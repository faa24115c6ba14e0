"""The SimPy engine: the model as events, one at a time. Slower than the compiled engine, and easier to read."""

from ipa.sim.events.engine import SimPyEngine

__all__ = ["SimPyEngine"]
