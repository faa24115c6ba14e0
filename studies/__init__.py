"""Studies: what people run. `simulate(scenario) -> Run` is the Python face of the project, `cli` its command line.

scenario       one run as a validated value · loads: the trace it runs on · run: prepare and simulate
results        runs on disk · comparison: many runs on all cores · intervals: means over seeds
study/         systems x loads x seeds from one file · paper/: the publication's, as such files
live_run       one run on real servers · live_load: a load sent to one · live_commands, live_view: how they are told
live_cluster   what a cluster is asked to run · cluster_commands: up, status, down, manifests
decision       one decision explained, a journal replayed · terminal: what commands print
report/        the HTML report · profile/: a pipeline's profiles, shown · validation/: live runs against simulated ones
examples/      to start from
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
