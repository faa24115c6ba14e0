"""Forecasts as a page; how they are made, scored and learnt: `many.predictor`."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
