"""A benchmark on a library of loads: which policy suits which load, in which world."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
