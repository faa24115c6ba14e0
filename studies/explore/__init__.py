"""The explorer: a local page that answers questions about scenarios. The folder `page` has the browser's files."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
