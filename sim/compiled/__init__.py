"""The compiled engine: the model as one function that numba compiles, bit by bit what the SimPy engine gives.

engine      `CompiledEngine`: what Python does around the kernel · stage: a stage as control steps and records read it
streaming   `StreamedEngine`: the same with room for a window of the requests, for loads larger than memory
mixed       `MixedCompiledEngine`: stages of several lanes, for runs that mix variants · mixed_kernel: its event loop
kernel      the event loop · dispatch, eager, rollout: what happens at a stage · heaps: events, idle replicas
memory      the state of a run as arrays · layout: the part of it that runs share · blocks: memory kept between runs
jit         how functions are compiled, and where the result is cached

Needs numba.
"""

from ipa.sim.compiled.engine import CompiledEngine, compile_error
from ipa.sim.compiled.jit import is_cached
from ipa.sim.compiled.kernel import advance
from ipa.sim.compiled.mixed import MixedCompiledEngine
from ipa.sim.compiled.streaming import StreamedEngine

__all__ = ["CompiledEngine", "MixedCompiledEngine", "StreamedEngine", "compile_error", "is_compiled"]


def is_compiled() -> bool:
    """Whether the kernel has been compiled: by this process, or by an earlier one that this one finds on disk."""
    return is_cached(advance)
