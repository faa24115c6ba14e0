"""Live mode on a Kubernetes cluster.

A decision gets to the pods like this: `backend.apply` says what is wanted, and the reconcile loop there calls
`reconcile` whenever something may have changed: it reads the whole state (`stage_state`), decides what is left to do
(`difference`), and does that, within what the `guards` allow, through the `api`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
