"""The SimPy engine: the model as events, one at a time. Slower than the compiled engine, and easier to read."""

from ipa.sim.events.engine import SimPyEngine
from ipa.sim.events.graph import SimPyGraphEngine

__all__ = ["SimPyEngine", "SimPyGraphEngine"]
