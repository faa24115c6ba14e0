"""The offline profiler: what a model server takes for batches of a size on so many cores, alone and beside others.

machine      what machine this is, and what else it does meanwhile
folders      model folders: which stages and variants there are
samples      what requests contain: samples from files, or made up
model_server our model server in a process of its own, on some cores · nothing: a model that does nothing
promises     what is taken for granted of models, asked before anything is measured
measuring    a variant on so many cores: its start, its points, and beside others
spans        latencies one after another, and the throughput of a server that is never without work
repeats      how sure a mean and a p99 are, and when that is enough · values: what is to be measured and has been
grid         the order of what is measured, and what need not be
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
