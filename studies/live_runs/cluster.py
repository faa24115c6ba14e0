"""A scenario on a Kubernetes cluster: what is deployed for it, and a controller of it that sends no load of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ipa import profiles
from ipa.live.errors import LiveError
from ipa.policies import Configuration, Entry, lightest_configuration
from ipa.studies.run import Prepared
from ipa.studies.scenario import Scenario

if TYPE_CHECKING:
    from ipa.live.kubernetes.api import Api
    from ipa.live.kubernetes.backend import KubernetesBackend
    from ipa.live.kubernetes.settings import Deployed, Layout
    from ipa.studies.live_runs.run import Live


@dataclass(frozen=True)
class Cluster:
    """Which cluster, and what there: None is what the kubeconfig says, the pipeline's own name, the Service's URL.

    `changes_per_minute`: at most so many changes of a stage's pods.
    """

    context: str | None = None
    namespace: str | None = None
    name: str | None = None
    url: str | None = None
    changes_per_minute: int = 30


def connect(cluster: Cluster, read_only: bool = False) -> Api:
    """The cluster's API. Raises LiveError where there is none."""
    from ipa.live.kubernetes.api import connect

    return connect(cluster.context, read_only)


def deployed(scenario: Scenario, prepared: Prepared, cluster: Cluster, layout: Layout | None = None) -> Deployed:
    """What is deployed for a scenario. `layout` None: the default one."""
    from ipa.live.kubernetes import names
    from ipa.live.kubernetes.api import current_namespace
    from ipa.live.kubernetes.settings import Deployed, Layout
    from ipa.studies.live_runs.run import Live, plane_of

    if cluster.name is not None and names.name(cluster.name) != cluster.name:
        raise LiveError(f"--name {cluster.name}: should be lower-case letters, digits and hyphens, at most 53")
    return Deployed(
        plane=plane_of(scenario, Live(), prepared),
        pipeline_file=profiles.text(scenario.pipeline),
        namespace=cluster.namespace or current_namespace(cluster.context),
        name=cluster.name or "",
        layout=layout or Layout(),
    )


def standing(api: Api, wanted: Deployed, is_adopted: bool = False) -> Deployed:
    """The same with the layout that stands on the cluster. Raises LiveError where nothing stands.

    `is_adopted`: its pipeline's file is to be the same too.
    """
    from dataclasses import replace

    from ipa.live.kubernetes.api import ApiError
    from ipa.live.kubernetes.manifests import LAYOUT, PIPELINE
    from ipa.live.kubernetes.settings import Layout

    try:
        root = api.get("ConfigMap", wanted.namespace, wanted.instance)
    except ApiError as error:
        raise LiveError(str(error)) from None
    if root is None:
        raise LiveError(f"{wanted.instance} is not in namespace {wanted.namespace}: ipa live up")
    if is_adopted and root["data"].get(PIPELINE) != wanted.pipeline_file:
        raise LiveError(f"{wanted.instance} has been deployed with another pipeline file: ipa live up")
    return replace(wanted, layout=Layout.from_text(root["data"].get(LAYOUT, "{}")))


def check_reachable(scenario: Scenario, prepared: Prepared, cluster: Cluster) -> None:
    """Raise LiveError where the pipeline does not stand on the cluster, or its clients would not reach it from here."""
    from ipa.live.kubernetes.reach import client_url

    api = connect(cluster, read_only=True)
    there = standing(api, deployed(scenario, prepared, cluster))
    if cluster.url is None:
        client_url(api, there)


def first_configuration(prepared: Prepared) -> Configuration:
    """What `up` deploys where nothing stands yet."""
    return prepared.initial or lightest_configuration(prepared.pipeline)


def backend_maker(
    scenario: Scenario,
    prepared: Prepared,
    cluster: Cluster,
    history_rps: tuple[float, ...],
    *,
    read_only: bool = False,
    sends_load: bool = True,
) -> Callable[[Path], KubernetesBackend]:
    """What makes the backend of a run, given a folder for its logs. Raises LiveError for what is not there."""
    from ipa.live.kubernetes.backend import KubernetesBackend
    from ipa.live.kubernetes.guards import Guards
    from ipa.live.kubernetes.lease import Lease
    from ipa.live.kubernetes.reach import client_url

    api = connect(cluster, read_only)
    there = standing(api, deployed(scenario, prepared, cluster))
    url = cluster.url or (client_url(api, there) if sends_load else "")

    def make(folder: Path) -> KubernetesBackend:
        return KubernetesBackend(
            there,
            api,
            folder,
            history_rps,
            url,
            guards=Guards(cluster.changes_per_minute),
            lease=None if read_only else Lease(api, there),
            adopts=not sends_load,
        )

    return make


def control(
    scenario: Scenario, cluster: Cluster, live: Live, on_step: Callable[[Entry], object] = lambda _: None
) -> None:
    """Control a deployed pipeline, whose load comes from elsewhere, until `duration_s` or SIGTERM.

    It begins with what stands, and goes on from the journal `state`. With `advise` it decides, and its client cannot
    write. Raises as `run_live`.
    """
    from ipa.live.controller_metrics import serving
    from ipa.policies import Controller
    from ipa.studies.live_runs.run import check_live, deadline_of, journal_of
    from ipa.studies.run import prepare

    prepared = prepare(scenario)
    check_live(scenario, live, prepared)
    api = connect(cluster, read_only=True)
    standing(api, deployed(scenario, prepared, cluster), is_adopted=True)
    unknown = (float("nan"),) * scenario.history_s
    make = backend_maker(scenario, prepared, cluster, unknown, read_only=live.advise, sends_load=False)
    deadline = deadline_of(scenario, prepared, live.decision_timeout_s)
    exported = serving(live.metrics_port, prepared.pipeline, live.metrics_host)
    kept = journal_of(live.state, has_tables=False, has_end=live.duration_s is not None)
    with kept as journal, exported as (export_step, export_backend):
        memory = journal.entries[-1].decision.memory if journal.entries else {}
        controller = Controller(prepared.pipeline, deadline, journal, memory)
        first = journal.entries[-1].observation.step + 1 if journal.entries else 1

        def stepped(entry: Entry) -> None:
            export_step(entry, deadline.decision_s)
            on_step(entry)

        def made(folder: Path) -> KubernetesBackend:
            backend = make(folder)
            backend.on_failed = journal.failed
            export_backend(backend)
            return backend

        asyncio.run(_control(made, controller, first_configuration(prepared), scenario, live, first, stepped))


async def _control(
    make: Callable[[Path], KubernetesBackend],
    controller: Any,
    initial: Configuration,
    scenario: Scenario,
    live: Live,
    step: int,
    on_step: Callable[[Entry], object],
) -> None:
    from ipa.live import control as live_control

    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with TemporaryDirectory(prefix="ipa-live-") as folder:
        backend = make(Path(folder))
        try:
            opening = asyncio.ensure_future(_open(backend, initial, scenario.history_s, live))
            await _first(opening, stopping, backend)
            if not opening.done():
                return
            opening.result()
            now_s, interval_s = backend.now_s, scenario.interval_s
            await live_control.control(
                controller,
                backend,
                interval_s,
                inf if live.duration_s is None else now_s + live.duration_s,
                on_step,
                first=step,
                since_s=now_s // interval_s * interval_s,
                sleep=lambda seconds: _first(asyncio.ensure_future(asyncio.sleep(seconds)), stopping, backend),
                stopping=stopping,
            )
        finally:
            await backend.close()


async def _open(backend: KubernetesBackend, initial: Configuration, history_s: int, live: Live) -> None:
    from ipa.live.monitoring import GatewaySource, PrometheusSource

    await backend.open(initial)
    if live.prometheus is None:
        backend.source = GatewaySource(backend.client, history_s)
    else:
        backend.source = PrometheusSource.of(backend, live.prometheus, history_s, live.prometheus_match)
    await backend.start(0.0)


async def _first(work: asyncio.Future[Any], stopping: asyncio.Event, backend: KubernetesBackend) -> None:
    """Wait for some work, or until told to stop. Raises what ends the run."""
    told = asyncio.ensure_future(stopping.wait())
    events: set[asyncio.Future[Any]] = {work, told, backend.failed}
    try:
        await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
    if backend.failed.done():
        backend.failed.result()


def line(entry: Entry) -> str:
    """A step in one line."""
    decided = "  ".join(
        f"{name} {each.variant} b{each.batch} x{each.replicas}" for name, each in entry.decision.configuration.items()
    )
    outcome = entry.outcome
    why = "" if outcome is None or not outcome.reason else f"  ({outcome.reason})"
    return f"step {entry.observation.step}: load {entry.observation.load_rps[-1]:g} rps  {decided}{why}"


def tell(entry: Entry) -> None:
    """Print a step on stderr."""
    print(line(entry), file=sys.stderr, flush=True)
