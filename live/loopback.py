"""The backend whose replicas are processes on this machine."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from ipa.live.errors import RunError
from ipa.live.gateway_client import DirectWay, GatewayClient, RefusedError
from ipa.live.launcher import in_words, log_end
from ipa.live.live_backend import LiveBackend, OnRollback
from ipa.live.monitoring import SourceMaker, from_gateway
from ipa.live.plane import (
    GATEWAY,
    LOOPBACK,
    PRELOADED,
    SERVER,
    Plane,
    Serves,
    free_port,
    gateway_settings,
    release_port,
    server_settings,
)
from ipa.live.profiling import variant_folder
from ipa.live.server_answers import unhealthy
from ipa.live.server_settings import ServerSettings
from ipa.live.serving import digest_of, sums_of
from ipa.live.stage_replicas import STEADY_AFTER_S, Replica, StageReplicas
from ipa.live.tokens import TokenFile, create_token_file
from ipa.policies import Configuration

POLLED_EVERY_S = 0.02
"""At first, how often a starting replica is asked whether it is ready, and a draining one whether it is idle."""
POLLED_AT_LEAST_EVERY_S = 0.2
"""The same for a replica that takes long to start."""
READY_WITHIN_S = 30.0
"""How long a process may take to become ready, beyond its start-up time."""
MODEL_READY_WITHIN_S = 600.0
"""The same for a real model, whose start-up is not known; as long as on a cluster."""
SUSPENDED_WITHIN_S = 60.0
"""How long a replica that failed a batch may take to answer ready again before it is killed and replaced; Kubernetes
does that after as many seconds of failed liveness probes."""
STOPS_WITHIN_S = 30.0
"""How long a process may take to end after SIGTERM, beyond its stop time, before it is killed."""
MOST_REPLICAS = 250
"""The most replicas, each a process, that one machine is asked to run."""
LOOKED_AT_EVERY_S = 1.0
"""The reconcile loop looks at everything this often even if nothing has happened."""

log = logging.getLogger("ipa.live.loopback")


class LoopbackBackend(LiveBackend):
    """A gateway and one model server per replica, all on loopback; rule 5 is carried out here."""

    def __init__(
        self,
        plane: Plane,
        folder: Path,
        history_rps: tuple[float, ...],
        *,
        source: SourceMaker = from_gateway,
        on_rollback: OnRollback = lambda *_: None,
    ) -> None:
        self._port = plane.port or free_port()
        self._control_port = plane.control_port or free_port()
        self._replica_ports: set[int] = set()
        self.url = f"http://{LOOPBACK}:{self._port}"
        self.control_url = f"http://{LOOPBACK}:{self._control_port}"
        self.stages: dict[str, StageReplicas] = {}
        self._model_folders = {
            (stage.name, variant.name): variant_folder(
                Path(plane.models), plane.pipeline.name, stage.name, variant.name
            ).path
            for stage in (plane.pipeline.stages if plane.models else ())
            for variant in stage.variants
        }
        self._fixed = {"/".join(variant): digest_of(sums_of(path)) for variant, path in self._model_folders.items()}
        self._tokens = TokenFile(folder / "control-token")
        self._is_closing = False
        super().__init__(
            plane,
            folder,
            history_rps,
            lambda session: GatewayClient(DirectWay(session, self.control_url, self._tokens)),
            source,
            on_rollback,
        )

    # ---- the run ----

    async def open(self, initial: Configuration) -> None:
        """Start the gateway and the replicas of `initial`, and wait until all are ready.

        Raises RunError, with the end of a log, if one does not become ready, or if its model cannot take the batch.
        """
        refusal = self._refusal(initial)
        if refusal:
            raise RunError(refusal)
        await self._open_launcher(PRELOADED, self.plane.source)
        await self._open_gateway()
        for stage in self.plane.pipeline.stages:
            configuration = initial[stage.name]
            replaces = self.plane.when_full == "replace"
            replicas = StageReplicas(
                stage.name, configuration, self.plane.max_surge, self.plane.max_unavailable, replaces
            )
            self.stages[stage.name] = replicas
            for _ in range(configuration.replicas):
                self._start(replicas.create(0.0), start_up_s=0.0)
        await self.client.configure(initial)
        await self._until_initial_ready()
        await self._check_models(initial)
        await self.client.list_replicas(self._listed())
        self.spawn(self._reconcile_loop())

    async def _check_models(self, initial: Configuration) -> None:
        """Raise RunError for a real model that cannot serve all batches of the pipeline.

        The replicas of `initial` have seen to theirs; each other variant that has batches is loaded once and let go.
        """
        for stage, name in self._model_folders:
            variant = self.plane.pipeline.stage(stage).variant(name)
            if name == initial[stage].variant or max(map(variant.max_batch, variant.cores)) == 1:
                continue
            ended: asyncio.Future[int] = self._loop.create_future()
            serves = Serves(stage, name, variant.base_cores)
            settings = replace(self._server_settings(serves), start_up_s=0.0, check=True)
            on_exit = partial(_note_exit, ended)
            log_file = self.run_process(f"check-{stage}-{name}", SERVER, settings.arguments(), on_exit)
            if status := await ended:
                raise RunError(f"variant {name} cannot be served ({in_words(status)}):\n{log_end(log_file)}")

    async def close(self) -> None:
        self._is_closing = True
        await super().close()
        for port in (self._port, self._control_port, *self._replica_ports):
            release_port(port)

    async def start(self, origin_s: float) -> None:
        """Set the run's t = 0 to a moment of `time.monotonic()`."""
        self._origin_s = origin_s
        await self.client.start(origin_s)
        for stage in self.stages.values():
            stage.restart()
        self._wake.set()

    @property
    def _moment_s(self) -> float:
        """Now, on the run's clock; the moment before its t = 0 counts as 0."""
        return max(self.now_s, 0.0)

    @property
    def models(self) -> Mapping[str, str]:
        return self._fixed

    @property
    def limit_held_cores(self) -> int | None:
        return self.plane.most_cores

    def _refusal(self, configuration: Configuration) -> str:
        replicas = sum(stage.replicas for stage in configuration.values())
        too_many = f"{replicas} replicas: one machine runs at most {MOST_REPLICAS}; see limit_cores"
        return too_many if replicas > MOST_REPLICAS else ""

    # ---- the reconcile loop ----

    async def _reconcile(self) -> float:
        try:
            await self._list_replicas()
            removed = [replica for stage in self.stages.values() for replica in self._roll_out(stage, self._moment_s)]
            if removed:
                await self._list_replicas()
        except RefusedError as refusal:
            self.fail(f"the gateway refused the list of replicas: {refusal}")
            return LOOKED_AT_EVERY_S
        except RunError:
            return LOOKED_AT_EVERY_S  # a gateway that has died is found by its exit, a slow one is asked again
        waits_s = [LOOKED_AT_EVERY_S]
        for stage in self.stages.values():
            waits_s += [POLLED_EVERY_S for replica in stage.draining if not self._stop_if_idle(replica)]
            back_off_s = stage.back_off_left_s(self.now_s)
            waits_s += [back_off_s] if back_off_s > 0.0 else []
        return min(waits_s)

    async def _list_replicas(self) -> None:
        """Send the gateway the list of replicas; only then do those that are to go count as removed."""
        await self.client.list_replicas(self._listed())
        for stage in self.stages.values():
            for replica in stage.draining:
                replica.removed_s = min(replica.removed_s, self._moment_s)  # a batch could start there until now
            for replica in stage.ready:
                if time.monotonic() - replica.suspended_s > SUSPENDED_WITHIN_S:
                    self.launcher.signal(replica.name, signal.SIGKILL)

    def _roll_out(self, stage: StageReplicas, now_s: float) -> list[Replica]:
        """Start the replicas that the next rollout step creates, and return those that it removes."""
        stage.note_steady(now_s)
        change = stage.roll_out(now_s)
        stage.note_room(change.lacks_room, now_s)
        for replica in change.remove:
            replica.is_to_go = True
        for _ in range(change.create):
            replica = stage.create(now_s)
            self._start(replica, self._start_up_s(replica))
        return change.remove

    def _stop_if_idle(self, replica: Replica) -> bool:
        """Stop a removed replica once its batch is done (`removal: lose`: at once); returns whether it is stopping."""
        if replica.is_stopping:
            return True
        if self.plane.removal == "lose":
            replica.is_stopping = True
            self.launcher.signal(replica.name, signal.SIGKILL)
            return True
        if replica.is_busy and not replica.is_starting:
            return False
        replica.is_stopping = True
        self.launcher.signal(replica.name, signal.SIGTERM)
        self.spawn(self._kill_later(replica))
        return True

    async def _kill_later(self, replica: Replica) -> None:
        await asyncio.sleep(self.plane.stop_s + STOPS_WITHIN_S)
        if not replica.is_gone:
            self.launcher.signal(replica.name, signal.SIGKILL)

    def _listed(self) -> dict[str, list[Replica]]:
        """The replicas in the gateway's list: ready ones, and draining ones that may be busy."""
        return {
            name: [replica for replica in (*stage.ready, *stage.draining) if not replica.is_starting]
            for name, stage in self.stages.items()
        }

    # ---- processes ----

    def _start(self, replica: Replica, start_up_s: float) -> None:
        port = free_port()
        self._replica_ports.add(port)
        replica.url = f"http://{LOOPBACK}:{port}"
        settings = replace(
            self._server_settings(Serves(replica.stage, replica.variant, replica.cores)),
            port=port,
            start_up_s=start_up_s,
            created_s=time.monotonic(),  # its start-up counts from here
        )
        self.run_process(replica.name, SERVER, settings.arguments(), partial(self._on_exit, replica, port))
        self.spawn(self._await_ready(replica, start_up_s))

    def _server_settings(self, serves: Serves) -> ServerSettings:
        settings = server_settings(self.plane, self.plane.source, serves)
        if not self.plane.models:
            return settings
        folder = self._model_folders[serves.stage, serves.variant]
        return replace(settings, backend="folder", file=folder, digest=self.models[f"{serves.stage}/{serves.variant}"])

    @property
    def _ready_within_s(self) -> float:
        return MODEL_READY_WITHIN_S if self.plane.models else READY_WITHIN_S

    def _start_up_s(self, replica: Replica) -> float:
        """How long to wait before asking whether a replica is ready; a real model is asked from the start."""
        if self.plane.models:
            return 0.0
        return self.plane.pipeline.stage(replica.stage).variant(replica.variant).start_up_s

    async def _await_ready(self, replica: Replica, start_up_s: float) -> None:
        """Ask the replica from when it should be ready until it is; kill it if that takes too long."""
        await asyncio.sleep(start_up_s)
        until_s = time.monotonic() + self._ready_within_s
        pause_s = POLLED_EVERY_S
        while not (replica.is_removed or replica.is_gone):
            if not await unhealthy(self.session, f"{replica.url}/v2/health/ready", within_s=2.0):
                replica.ready_s = self._moment_s
                self._wake.set()
                self.spawn(self._wake_after(STEADY_AFTER_S))
                return
            if time.monotonic() > until_s:
                self.launcher.signal(replica.name, signal.SIGKILL)
                return
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, POLLED_AT_LEAST_EVERY_S)

    async def _wake_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._wake.set()

    async def _until_initial_ready(self) -> None:
        until_s = time.monotonic() + self._ready_within_s
        while waiting := [replica for stage in self.stages.values() for replica in stage.all if replica.is_starting]:
            if self.failed.done():
                self.failed.result()
            gone = next((replica for replica in waiting if replica.is_gone), None)
            if gone is not None or time.monotonic() > until_s:
                late = gone or waiting[0]
                raise RunError(
                    f"replica {late.name} ({late.variant}) did not become ready:\n{log_end(self._log(late.name))}"
                )
            await asyncio.sleep(POLLED_EVERY_S)

    async def _open_gateway(self) -> None:
        create_token_file(self._tokens.path)
        settings = replace(
            gateway_settings(self.plane, self.plane.source, str(self._tokens.path)),
            port=self._port,
            control_port=self._control_port,
            linger_s=0.0,
            waits_for_start=True,
        )
        log_file = self.run_process("gateway", GATEWAY, settings.arguments(), self._on_gateway)
        until_s = time.monotonic() + READY_WITHIN_S
        while not await self.client.is_ready():
            if self.failed.done():
                self.failed.result()
            if time.monotonic() > until_s:
                raise RunError(f"the gateway did not become ready:\n{log_end(log_file)}")
            await asyncio.sleep(POLLED_EVERY_S)

    def _on_gateway(self, status: int) -> None:
        if not self._is_closing:
            self.fail(f"the gateway has ended ({in_words(status)}):\n{log_end(self._log('gateway'))}")

    def _on_exit(self, replica: Replica, port: int, status: int) -> None:
        self._replica_ports.discard(port)
        release_port(port)
        now_s = self._moment_s
        replica.gone_s = now_s
        replica.is_busy = False
        if not replica.is_removed:
            if replica.is_starting:
                why = {"replica": replica.name, "variant": replica.variant, "log": log_end(self._log(replica.name))}
                log.warning("a replica has ended before it was ready", extra=why)
            self.stages[replica.stage].died(replica, now_s)
        elif not replica.is_stopping:  # it ended before it was told to stop
            replica.removed_s = now_s
        self._wake.set()


def _note_exit(ended: asyncio.Future[int], status: int) -> None:
    if not ended.done():
        ended.set_result(status)
