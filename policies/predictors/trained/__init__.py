"""Trained models: what they see, their files, and their forward passes in numpy.

Nothing here imports what trains them.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
