"""The compiled engine: the model of `ipa.sim.stage` and its like as one function that numba compiles; needs numba.

jit        how functions are compiled and cached · blocks: memory kept between runs · memory: a run's state as arrays
heaps, rollout, dispatch, eager, kernel: what is compiled, from the bottom up; the rules are those of `ipa.sim.rules`
engine     what Python does around the kernel · stage: a stage as control steps and records read it
streaming  the same with room for a window of the requests, for loads that are longer than memory
"""

from ipa.sim.compiled.engine import CompiledEngine
from ipa.sim.compiled.streaming import StreamedEngine

__all__ = ["CompiledEngine", "StreamedEngine"]
