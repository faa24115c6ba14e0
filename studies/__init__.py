"""Studies: what people run, from Python (this module) or by `commands`, in the order in which a run passes it:

scenario      one run as text: pipeline, policy, load, bounds; read from files and checked before anything runs
runs          one run: simulated or live, its tables, its journal, its results folder; profiling; hindsight
many          many runs on one path: comparisons, studies, sweeps, tunings, explanations; it has a map of its own
fleets        several pipelines that share one budget of cores
series, plans, intervals    figures over time, plans by load, means with their intervals
profile       the measured figures of a pipeline
validation    live runs against simulated ones
explore       questions that a server answers with runs at once
displayed, pages    every result as a page, a picture, or a table in a notebook
paper, loads, examples    the shipped studies and examples
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
