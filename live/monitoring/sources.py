"""Sources made from what every backend has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipa.live.gateway_client import GatewayClient
from ipa.live.monitoring.gateway_source import GatewaySource
from ipa.live.monitoring.prometheus_source import PrometheusSource
from ipa.live.monitoring.reading import Source
from ipa.profiles import Pipeline

if TYPE_CHECKING:
    import aiohttp


@dataclass(frozen=True)
class Access:
    """A running pipeline, and what sources need to learn about it.

    Sources keep the load of the last `history_s` seconds; `clock` tells the time of the run [s].
    """

    pipeline: Pipeline
    client: GatewayClient
    session: aiohttp.ClientSession
    history_s: int
    clock: Callable[[], float]


SourceMaker = Callable[[Access], Source]


def from_gateway(access: Access) -> Source:
    """The source that asks the gateway itself."""
    return GatewaySource(access.client, access.history_s)


def from_prometheus(url: str, matchers: Sequence[str] = ()) -> SourceMaker:
    """What makes the source that asks the Prometheus server at `url`; for `matchers`, see `PrometheusSource`."""

    def make(access: Access) -> Source:
        stages = tuple(stage.name for stage in access.pipeline.stages)
        name, clock = access.pipeline.name, access.clock
        return PrometheusSource(access.session, url, name, stages, access.history_s, clock, matchers)

    return make
