"""What live mode sees of a running pipeline, from either of two sources.

reading            what a source gives at a control step
gateway_source     readings straight from the gateway, in exact seconds
prometheus_source  readings from the samples of a Prometheus server · counters: what samples of counters say
prometheus_server  a Prometheus server of a run's own
sources            how a source is made from what a backend has
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
