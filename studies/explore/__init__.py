"""The explorer: a question on a local page, its answer beside it. `serve` is all of it; `page` is what browsers get."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
