"""Reads traces from files. Each format is a module, found by suffix or content; shared rules have their own modules."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
