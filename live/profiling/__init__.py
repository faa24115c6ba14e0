"""The offline profiler: what a model server takes for batches of a size on so many cores, alone and beside others."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
