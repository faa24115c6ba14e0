"""Live mode on a Kubernetes cluster.

How a decision reaches the pods: `kubernetes_backend` takes it, within what `pace`, `failed_variants` and `room` allow,
and its loop calls `reconcile` whenever something may have changed. That reads the whole state (`stage_state`), computes
the actions that are left (`difference`) and applies them through the `api`, except replicas that are left to
`foreign_scalers`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
