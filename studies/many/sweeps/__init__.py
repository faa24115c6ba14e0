"""A sweep: one scenario with other values of its keys, over seeds, from the command line or Python to one table."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
