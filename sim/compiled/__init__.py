"""The compiled engine: the model as one function that numba compiles, bit by bit what the SimPy engine gives.

Needs numba. What only graphs of stages need is loaded for them alone.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
