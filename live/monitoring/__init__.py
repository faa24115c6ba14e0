"""What live mode sees of a running pipeline, from either of two sources.

reading        what a source gives at a control step
gateway        straight from the gateway, in exact seconds · prometheus: from a Prometheus server's HTTP API
counters       increments of counters over time: resets, gaps, staleness
"""

from ipa.live.monitoring.gateway import GatewaySource
from ipa.live.monitoring.prometheus import PrometheusSource
from ipa.live.monitoring.reading import Reading, Source, SourceError, StageReading, quantiles

__all__ = [
    "GatewaySource",
    "PrometheusSource",
    "Reading",
    "Source",
    "SourceError",
    "StageReading",
    "quantiles",
]
