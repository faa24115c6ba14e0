"""Many runs: what is missing is made where it is asked for, and kept as it comes; and all that stands on it."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
