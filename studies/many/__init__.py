"""Many runs: what is missing is made where it is asked for, and kept as it comes. Studies and sweeps stand on it.

asked     a run that is asked for, and its key
runner    making what is missing, in chunks
outcome   what is kept of a run
store     the finished runs in one file, kept as they come
places    from the word of --on to where runs are made
local     on this machine · on_dask: on a Dask cluster that is there
luggage   what goes to a cluster once: files and loads
remote    what a worker of a cluster does, and which program it has
child     a process of its own, for runs that may end it
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
