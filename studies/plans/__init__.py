"""Plans that the optimiser makes for loads: all that are worth having for one, and the chosen one of each of many."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
