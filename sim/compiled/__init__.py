"""The compiled engine: the model as one function that numba compiles. Its results equal the SimPy engine's bit by bit.

Needs numba. A run passes its modules in this order:

- `engine`: one run, from control step to control step; `streaming`: in bounded memory
- `memory`: the arrays of a run; `graph_memory`, `language_memory`: those of a graph's items, of language models besides
- `kernel`: the event loop, from one stop to the next, over `heaps` of events
- `dispatch`: batches from the queue to replicas; `eager`: by eager dispatch
- `steps`: the steps of language models, of the requests at a replica
- `rollout`: replicas that come and go
- `routing`: served items of a graph onto its edges and into the next stages
- `stage`: what control steps and records read of a stage; `language_stage`: of language models
- `jit`: how all this is compiled and cached
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
