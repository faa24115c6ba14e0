"""Inference pipelines that adapt: a simulator, its policies, and the same control loop on real servers.

studies     what people run: `simulate`, `compare`, `run_study`, `validate`, `run_live`; offered here as well
live        the policies and the controller on real servers
sim         the model of queues, batches, replicas and rollouts
policies    what decides, and the loop that lets it
traces      loads
profiles    pipelines: stages, variants, measured latencies
errors      the base of all errors

Each of these folders is at the root of the repository, and is found here under the one import name `ipa`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
