"""Answers from a table of runs: which settings differ, which wins, what it costs, and which key matters most."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
