"""Answers from a table of runs: which settings differ, which wins, and what it costs."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
