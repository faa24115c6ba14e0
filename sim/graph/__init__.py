"""What both engines share for graphs of stages: draws, routes, and the records of items and requests."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
