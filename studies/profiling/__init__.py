"""Profiles measured on this machine, and compared.

plan      what is to be profiled, checked before anything starts
course    the measurements, in an order in which one can spare others · kept: on disk as they come
figures   what was measured as the figures of a pipeline file, each marked as what it is · written: the file
compare   whether one profile is slower than another
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
