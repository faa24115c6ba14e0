"""The SimPy engine: the model as events, one at a time. Slower than the compiled engine, and easier to read.

engine        `SimPyEngine`: the stages of a pipeline in one environment
stage         a stage with central dispatch · eager: with eager dispatch
replica_set   the replicas of a stage, and how a rollout changes them
logs          what is kept of batches and drops
environment   SimPy with absolute times and the model's order within one instant
"""

from ipa.sim.events.engine import SimPyEngine

__all__ = ["SimPyEngine"]
