"""What a run lost against the oracle, and to what: the run made again with its causes removed."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
