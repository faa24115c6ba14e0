"""Trained models: what they see, their files, and their forward passes in numpy. Nothing here imports what trains them.

features     what models see of a history
models       the value `Model`: checked arrays and a card, from .npz files · keras_file: from .keras files
network      an LSTM, and trees
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
