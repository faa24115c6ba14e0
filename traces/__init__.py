"""Loads: what arrives at a pipeline, as counts per second or as timestamps."""

import lazy_loader as lazy

from ipa.traces.arrivals import arrivals as arrivals  # or the module of that name would take its place later

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
