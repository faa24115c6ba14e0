"""A sweep: one scenario with other values of its keys, over seeds, from the command line or Python to one table.

axes        a key with the values that it takes
conditions  where a key is varied at all, and which points are left out
sample      the points: all combinations, a list, or drawn ones
plan        the runs, each with its scenario
stopping    as many seeds as an aim needs
table       the runs as one table
course      from the options to the folder: `sweep`, `prepare`, `conduct`
trial       how long it would take
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
