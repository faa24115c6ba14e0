"""The SimPy engine: the model as events, one at a time. Slower than the compiled engine, and easier to read.

engine        `SimPyEngine`: the stages of a pipeline in one environment
stage         a stage with central dispatch · eager: with eager dispatch
replica_set   the replicas of a stage, and how a rollout changes them
busy          the cores of all stages that serve batches, where these slow each other
mixed         `MixedSimPyEngine`: stages that mix variants, of several lanes each
logs          what is kept of batches and drops
environment   SimPy with absolute times and the model's order within one instant
"""

from ipa.sim.events.engine import SimPyEngine
from ipa.sim.events.mixed import MixedSimPyEngine

__all__ = ["MixedSimPyEngine", "SimPyEngine"]
