"""Many runs take one path, here in the order in which a run passes it:

systems, study/plan, sweeps/sample, tuning/search, losses/causes    what is asked: scenarios with names
plan          a run to make, with a key of everything that it depends on
runner        the folder, locked by one command; the runs that its store lacks, in chunks
executor      where they are made: here by `workers`, each a process for many runs,
dask_cluster    on a cluster, to which `bundle` brings the files that they name,
standing        or in warm processes, for who waits: the explorer
child         a process of its own for a run that may end it
making        how a run is made, and what is kept of it:
outcome       its summary, its course, or all files of its folder
store         the finished runs in one file, by their keys
comparison, study, sweeps, tuning, losses    what came of them: one table, and what is computed from it
named_runs    the runs of any folder with the names that distinguish them: to be explained, or asked on
answers       which settings differ, which wins, and what it costs: for the pages of all
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
