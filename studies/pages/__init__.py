"""Pages: reports as self-contained HTML files, and the plots, tables and colours that they share."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
