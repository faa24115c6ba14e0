"""The compiled engine: the model as one function that numba compiles. Its results equal the SimPy engine's bit by bit.

Needs numba. The code for graphs of stages is loaded only for graphs.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
