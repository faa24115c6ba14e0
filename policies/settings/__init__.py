"""Autoscalers' settings as clusters run them, read as policies and written from them.

`read_settings` turns a manifest into a policy and its parameters; `write_settings` turns a policy into a manifest. One
module for each kind: `horizontal` (HorizontalPodAutoscaler) and `keda` (ScaledObject). `fields` reads a document key by
key, so that none is overlooked.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
