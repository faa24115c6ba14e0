"""What both engines share for graphs of stages: draws, routes, and the records of items and requests.

Nothing flows back in a graph, so its stages can be simulated one after the other.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
