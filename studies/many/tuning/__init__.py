"""Tuning: the values of a scenario's keys that best meet a goal, chosen on some windows and tested on others."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
