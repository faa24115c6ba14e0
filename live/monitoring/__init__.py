"""What live mode sees of a running pipeline, from either of two sources.

reading        what a source gives at a control step
gateway        straight from the gateway, in exact seconds · prometheus: from a Prometheus server's HTTP API
sources        how a source is made from what a backend has
counters       increments of counters over time: resets, gaps, staleness
server         a Prometheus server of a run's own
"""

from ipa.live.monitoring.gateway import GatewaySource
from ipa.live.monitoring.prometheus import PrometheusSource
from ipa.live.monitoring.reading import Reading, Source, SourceError, StageReading, quantiles, window
from ipa.live.monitoring.sources import Access, SourceMaker, from_gateway, from_prometheus

__all__ = [
    "Access",
    "GatewaySource",
    "PrometheusSource",
    "Reading",
    "Source",
    "SourceError",
    "SourceMaker",
    "StageReading",
    "from_gateway",
    "from_prometheus",
    "quantiles",
    "window",
]
