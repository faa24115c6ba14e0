"""What both engines have in common where stages form a graph: draws, routes, and what becomes of requests.

Nothing flows back in a graph, so its stages can be simulated one after the other, each for itself.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
