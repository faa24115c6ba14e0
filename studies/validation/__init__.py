"""Validation: live runs compared with simulations of the same scenario, figure by figure."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
