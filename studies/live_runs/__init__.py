"""Scenarios on real servers, here or on a cluster.

choice       the settings of a live run, and what of a scenario it can have
run          a run that sends the scenario's load, and a controller of a pipeline whose load comes from elsewhere
real         real models on this machine, what is sent to them, and how right their answers were
recover      the results of a run that was killed
standing     what a cluster is asked to run, and what it runs already
load         sending a load to any server, and the table of what its clients saw
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
