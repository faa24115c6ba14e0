"""Live mode on a Kubernetes cluster.

A decision gets to the pods like this: `kubernetes_backend` takes it, within what `pace`, `failed_variants` and `room`
allow, and its loop calls `reconcile` whenever something may have changed: that reads the whole state (`stage_state`),
decides what is left to do (`difference`), and does that through the `api`, unless one of the `foreign_scalers` does.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
