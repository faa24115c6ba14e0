"""The serving plane: a gateway per pipeline before model servers, all speaking the Open Inference Protocol V2."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
