"""Pages: what people look at, each one HTML file that needs nothing else, and the kit that all are drawn with."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
