"""Many runs, made locally or on a cluster and kept as they finish; and studies, sweeps and tunings built on them."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
