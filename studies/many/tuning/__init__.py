"""Tuning: values of a scenario's keys that serve a wish best, chosen on some windows and judged on others."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
