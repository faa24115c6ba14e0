"""The compiled engine: the model as one function that numba compiles, bit by bit what the SimPy engine gives.

Needs numba.
"""

from ipa.sim.compiled.engine import CompiledEngine, compile_error
from ipa.sim.compiled.graph import CompiledGraphEngine
from ipa.sim.compiled.jit import is_cached
from ipa.sim.compiled.kernel import advance
from ipa.sim.compiled.streaming import StreamedEngine

__all__ = ["CompiledEngine", "CompiledGraphEngine", "StreamedEngine", "compile_error", "is_compiled"]


def is_compiled() -> bool:
    """Whether the kernel has been compiled: by this process, or by an earlier one that this one finds on disk."""
    return is_cached(advance)
