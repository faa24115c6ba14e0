"""Which key matters most for an outcome, by the method that the sample allows."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
