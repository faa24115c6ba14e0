"""What a table of runs says as a page; how it is found: `many.answers`."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
