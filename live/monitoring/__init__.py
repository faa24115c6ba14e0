"""What live mode sees of a running pipeline, from either of two sources.

reading            what a source gives at a control step
gateway_source     readings straight from the gateway, in exact seconds
prometheus_source  readings from a Prometheus server · prometheus_api: its queries · parts: the sum of several gateways
whole_seconds      what a gateway tells of its whole seconds · spread: counters between scrapes, of one that does not
counters           what samples of counters say
prometheus_server  a run's own Prometheus server
sources            sources made from what every backend has
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
