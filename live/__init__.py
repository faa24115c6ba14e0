"""Live mode: the policies and the controller of the simulator on real servers."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
