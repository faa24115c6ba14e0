"""The control loop as a Gymnasium environment: one step is one control interval, decided by whoever learns."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
