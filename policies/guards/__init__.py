"""Guards: rules for the decisions of any policy. A guard wraps a policy and is itself a policy."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
