"""Studies: what people run. Here is the Python face of the project; `commands` is its command line."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
