"""How a live run is set up: one value for everything that neither its policy nor its load decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ipa.live.backend import LiveBackend, OnRollback
from ipa.live.monitoring import SourceMaker
from ipa.live.plane import LOOPBACK
from ipa.profiles import Pipeline


class BackendMaker(Protocol):
    """Makes the backend of a run, in its event loop; its logs go to `folder`."""

    def __call__(self, *, folder: Path, source: SourceMaker, on_rollback: OnRollback) -> LiveBackend: ...


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus server that scrapes the gateway.

    `url` None: one is started for the run. `matchers` choose the gateway's series (see `PrometheusSource`).
    """

    url: str | None = None
    matchers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setup:
    """A live run as it is set up.

    A control step is due every `interval_s`. `prometheus` is what policies observe through; None: the gateway itself.
    With `advise`, steps decide and journal, and change nothing. The controller's own metrics are served at
    `metrics_port` of `metrics_host`; None: nowhere.
    """

    pipeline: Pipeline
    make_backend: BackendMaker
    interval_s: float
    prometheus: Prometheus | None = None
    advise: bool = False
    metrics_port: int | None = None
    metrics_host: str = LOOPBACK
