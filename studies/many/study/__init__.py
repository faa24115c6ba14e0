"""A study: named systems on several loads, over seeds and with sweeps, from one file to tables and a report."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
