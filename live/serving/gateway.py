"""The gateway of a pipeline: `python -m ipa.live.serving.gateway --pipeline video`.

One asyncio process holds the router and all its queues. Clients talk to the data port, which serves the pipeline as
one model of the protocol; the control plane to the control port. The decisions are the router's; here are clock,
network and the end of a request's wait.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click
from aiohttp import web

from ipa.live.serving import logs, protocol, tensors
from ipa.live.serving.clock import RunClock
from ipa.live.serving.counts import Ended, Load
from ipa.live.serving.metrics import GatewayMetrics
from ipa.live.serving.protocol import InferRequest, ProtocolError
from ipa.live.serving.replicas import ReplicaClients, ReplicaError, until_ready
from ipa.live.serving.router import Router
from ipa.live.serving.stage_queue import Batch, Request
from ipa.live.serving.tensors import Tensor, TensorError
from ipa.live.serving.web import (
    MOST_BODY_BYTES,
    add_protocol_routes,
    announce,
    application,
    close_connections,
    in_event_loop,
    listen,
    on_signals,
    read_body,
    send,
)
from ipa.policies import lightest_configuration
from ipa.profiles import Pipeline
from ipa.sim import NEVER

SWEEP_S = 0.1
"""How often requests past the bound are looked for."""
PROBE_EVERY_S = 0.25
"""How often a suspended replica is asked whether it is ready."""

MOST_INSIDE_BYTES = 2 * 2**30
"""How many bytes of requests may be inside; more are refused (503), so that no overload takes all memory."""
REQUEST_BYTES = 16 * 2**10
"""What a request counts beyond its body: its connection, its task, its place in the books."""

STATUS = {"dropped": 504, "unfinished": 504, "failed": 502}
"""HTTP status by outcome, where there is no answer."""

log = logging.getLogger("live.gateway")


@dataclass(frozen=True)
class GatewayOptions:
    """How a gateway runs; `bound_s` None: 10 x the SLA, `replica_timeout_s` None: the bound.

    `linger_s`: how long clients that are still connected may take to ask for the last time, when it is to end;
    `most_inside_bytes`: how much the requests inside may hold.
    """

    pipeline: Pipeline
    drop: str = "request"
    host: str = "127.0.0.1"
    port: int = 0
    control_host: str = "127.0.0.1"
    control_port: int = 0
    bound_s: float | None = None
    replica_timeout_s: float | None = None
    linger_s: float = 5.0
    most_inside_bytes: int = MOST_INSIDE_BYTES
    records: int = 50_000
    log_level: str = "info"


@dataclass(slots=True)
class _Job:
    """What the gateway keeps of a request while it is inside."""

    tensors: Sequence[Tensor]
    parameters: Mapping[str, Any]
    done: asyncio.Future[None] = field(repr=False)


class Gateway:
    """The router's host: real time, real replicas, and clients that wait."""

    def __init__(self, options: GatewayOptions) -> None:
        pipeline = options.pipeline
        self.pipeline = pipeline
        self.epoch = _new_epoch()
        self.clock = RunClock()
        self.is_started = False
        self.load = Load(0.0)
        self.names = tuple(stage.name for stage in pipeline.stages)
        self.ended_requests = Ended(options.records, self.names)
        self.bound_s = 10 * pipeline.sla_s if options.bound_s is None else options.bound_s
        self.router = Router(
            self.names, pipeline.drop_limits_s, lightest_configuration(pipeline), self, drop=options.drop
        )
        self.metrics = GatewayMetrics(pipeline.name, pipeline.sla_s, self)
        self.is_closing = False
        """New requests are still served, each as the last of its connection."""
        self._is_closed = False
        self._inside_bytes = 0
        self._most_inside_bytes = options.most_inside_bytes
        timeout_s = self.bound_s if options.replica_timeout_s is None else options.replica_timeout_s
        self.clients = ReplicaClients(timeout_s)
        self._inputs = [stage.inputs for stage in pipeline.stages]
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle | None] = [None] * len(self.names)
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_age: deque[Request] = deque()
        self._spawn(self._sweep())

    def restart_clock(self, origin_s: float) -> None:
        """Another moment for time 0: a new run, of which all is counted afresh. No request may be inside.

        `epoch` names what is counted together, so that who takes differences sees that the counters begin anew.
        """
        self.is_started = True
        self.epoch = _new_epoch()
        self.clock.origin_s = origin_s
        self.load = Load(self.clock.now_s())
        self.ended_requests.clear()
        self.router.restart()

    # ---- clients ----

    async def infer(self, http: web.Request) -> web.StreamResponse:
        """One request of a client, from its body to its answer."""
        coming = min(http.content_length or 0, MOST_BODY_BYTES)
        with self._room_for(REQUEST_BYTES + coming):
            body = await read_body(http)
            if self._is_closed:
                raise ProtocolError("the gateway is shutting down", 503)
            now_s = self.clock.now_s()
            with self._room_for(len(body) - coming):  # more, where it was compressed or its length not said
                asked = protocol.read_request(body, http.headers.get(protocol.HEADER))
                request = self._admitted(asked, now_s)
                job: _Job = request.data
                await job.done
        request.data = None  # the request itself is remembered for a while, its data need not be
        if request.outcome != "completed":
            raise ProtocolError(self._why(request), STATUS[str(request.outcome)])
        return await send(http, protocol.write_response(self.pipeline.name, asked, job.tensors))

    @contextmanager
    def _room_for(self, size: int) -> Iterator[None]:
        """Count so many bytes as inside. ProtocolError where there is no room for them."""
        if self._inside_bytes + size > self._most_inside_bytes:
            raise ProtocolError(f"the requests inside hold {self._inside_bytes} bytes; that is as many as may", 503)
        self._inside_bytes += size
        try:
            yield
        finally:
            self._inside_bytes -= size

    def _admitted(self, asked: InferRequest, now_s: float) -> Request:
        for tensor in asked.inputs:
            if tensor.shape[0] == 0:
                raise ProtocolError(f"input {tensor.name!r}: shape {list(tensor.shape)} is empty along axis 0")
        job = _Job(asked.inputs, asked.parameters, self._loop.create_future())
        request = Request(asked.id, now_s, _kind(asked.inputs, asked.parameters), job)
        self.load.arrived(now_s)
        self._by_age.append(request)
        self.router.arrive(request, now_s)
        return request

    def _why(self, request: Request) -> str:
        stage = self.names[request.stage]
        age_s = request.end_s - request.arrival_s
        match request.outcome:
            case "dropped":
                return f"dropped: expired at stage {stage!r}, {age_s:.3f} s after its arrival"
            case "unfinished":
                return f"unfinished: given up at stage {stage!r} after {age_s:.3f} s"
        return f"failed at stage {stage!r}: {request.problem}"

    # ---- the router's Host ----

    def start(self, batch: Batch) -> None:
        """Have a replica serve a batch."""
        self.metrics.started(batch)
        self._spawn(self._serve(batch))

    def wake(self, stage: int, at_s: float) -> None:
        """Set the stage's one timer."""
        timer = self._timers[stage]
        if timer is not None:
            timer.cancel()
            self._timers[stage] = None
        if at_s < NEVER:
            delay_s = max(0.0, at_s - self.clock.now_s())
            self._timers[stage] = self._loop.call_later(delay_s, self._ring, stage)

    def ended(self, request: Request) -> None:
        """Let the client know, and the books."""
        self.ended_requests.add(request)
        self.metrics.ended(request)
        if not request.data.done.done():
            request.data.done.set_result(None)

    def _ring(self, stage: int) -> None:
        # The loop's timers may ring a little early; the attempt then sets the timer again.
        self._timers[stage] = None
        self.router.timer(stage, self.clock.now_s())

    # ---- replicas ----

    async def _serve(self, batch: Batch) -> None:
        jobs: list[_Job] = [request.data for request in batch.requests]
        parameters = {**jobs[0].parameters, "batch_number": batch.number, "batch_size": batch.size}
        try:
            outputs = await self.clients.infer(batch, tensors.joined([job.tensors for job in jobs]), parameters)
            parts: list[Sequence[Tensor]] = [*tensors.split(outputs, batch.size)]
            if batch.stage + 1 < len(self.names):
                parts = [self._mapped(part, batch.stage + 1) for part in parts]
        except (ReplicaError, TensorError) as error:
            self._failed(batch, error)
            return
        except Exception as error:  # a mistake of ours: the replica must not stay taken for ever
            log.exception("a batch could not be served")
            self._failed(batch, ReplicaError(f"met {type(error).__name__} in the gateway", again=False))
            return
        for request, job, part in zip(batch.requests, jobs, parts, strict=True):
            job.tensors = part
            request.kind = _kind(part, job.parameters)
        self.metrics.finished(batch, self.clock.now_s())
        self.router.finished(batch, self.clock.now_s())

    def _mapped(self, outputs: Sequence[Tensor], stage: int) -> Sequence[Tensor]:
        """What a stage takes of the outputs of the one before it."""
        wanted = self._inputs[stage]
        if not wanted:
            return outputs
        by_name = {tensor.name: tensor for tensor in outputs}
        missing = [source for source in wanted.values() if source not in by_name]
        if missing:
            raise TensorError(f"no output {missing[0]!r} for {self.names[stage]!r}; outputs: {', '.join(by_name)}")
        return [by_name[source]._replace(name=name) for name, source in wanted.items()]

    def _failed(self, batch: Batch, error: ReplicaError | TensorError) -> None:
        served, again = (error.served, error.again) if isinstance(error, ReplicaError) else (True, False)
        problem = f"replica {batch.replica.number} ({batch.replica.variant}) {error}"
        log.warning("batch failed", extra={"stage": self.names[batch.stage], "problem": problem, "size": batch.size})
        self.router.failed(batch, self.clock.now_s(), problem, served=served, again=again)
        if batch.replica.is_suspended:
            self._spawn(self._await_recovery(batch))

    async def _await_recovery(self, batch: Batch) -> None:
        if await until_ready(self.clients, batch.replica, PROBE_EVERY_S):
            self.router.resume(batch.stage, batch.replica, self.clock.now_s())

    async def metadata(self) -> Mapping[str, Any]:
        """The pipeline as a model: what its first stage takes and its last one gives, as far as their replicas say."""
        first, last = [await self._metadata_of(stage) for stage in (0, len(self.names) - 1)]
        return {
            "platform": "ipa_pipeline",
            "inputs": first.get("inputs", []),
            "outputs": last.get("outputs", []),
        }

    async def _metadata_of(self, stage: int) -> Mapping[str, Any]:
        for replica in self.router.stages[stage].replicas:
            if replica.is_listed and not replica.is_suspended:
                return await self.clients.metadata(replica)
        return {}

    # ---- the end ----

    async def _sweep(self) -> None:
        """Give up what has been inside for longer than the bound."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = self.clock.now_s()
            while self._by_age and (
                self._by_age[0].outcome is not None or now_s > self._by_age[0].arrival_s + self.bound_s
            ):
                self.router.give_up(self._by_age.popleft(), now_s)

    async def drain(self, is_connected: Callable[[], bool], linger_s: float) -> None:
        """Send clients elsewhere, each with its last answer, while one is connected, at most for `linger_s`.

        Then take no new request, and wait until those inside have ended, at most as long as the bound.
        """
        self.is_closing = True
        log.info("draining", extra={"inside": self.router.inside})
        deadline_s = self.clock.now_s() + linger_s
        while is_connected() and self.clock.now_s() < deadline_s:
            await asyncio.sleep(0.01)
        self._is_closed = True
        deadline_s = self.clock.now_s() + self.bound_s
        while self.router.inside and self.clock.now_s() < deadline_s:
            await asyncio.sleep(0.01)
        for request in list(self._by_age):
            self.router.give_up(request, self.clock.now_s())

    async def close(self) -> None:
        """End all tasks and connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.clients.close()

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.critical("a task of the gateway failed", exc_info=task.exception())


def _new_epoch() -> str:
    return os.urandom(8).hex()


def _kind(inputs: Sequence[Tensor], parameters: Mapping[str, Any]) -> tuple[Any, ...]:
    kind = tensors.kind(inputs)
    return (*kind, *sorted(parameters.items(), key=repr)) if parameters else kind


async def run(options: GatewayOptions) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends at once."""
    from ipa.live.serving.control import control_application

    gateway = Gateway(options)
    data = application()
    close_connections(data, when=lambda: gateway.is_closing)
    add_protocol_routes(
        data,
        server="ipa-gateway",
        is_ready=lambda: not gateway.is_closing,
        model=options.pipeline.name,
        metadata=gateway.metadata,
        infer=gateway.infer,
    )
    data_runner, url = await listen(data, options.host, options.port)
    control_runner, control_url = await listen(control_application(gateway), options.control_host, options.control_port)
    stopping = asyncio.Event()
    on_signals(stopping.set, lambda: os._exit(1))
    announce(url=url, control_url=control_url)
    log.info("listening", extra={"url": url, "control_url": control_url, "pipeline": options.pipeline.name})
    gc.freeze()
    await stopping.wait()
    await gateway.drain(lambda: bool(data_runner.server and data_runner.server.connections), options.linger_s)
    await data_runner.cleanup()
    await control_runner.cleanup()
    await gateway.close()
    log.info("stopped", extra={"requests": gateway.ended_requests.count})


def serve(options: GatewayOptions) -> None:
    """`run` in an event loop of its own."""
    logs.to_stderr("gateway", options.log_level)
    in_event_loop(run(options))


def _limits(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, float]:
    limits = {}
    for text in given:
        stage, equals, seconds = text.partition("=")
        try:
            limits[stage] = float(seconds)
        except ValueError:
            equals = ""
        if not equals or not limits[stage] > 0:
            raise click.BadParameter(f"{text!r} should be STAGE=SECONDS")
    return limits


@click.command()
@click.option("--pipeline", required=True, help="a shipped pipeline's name, or a file")
@click.option("--sla", "sla_s", type=click.FloatRange(min=0, min_open=True), help="end to end [the pipeline's]")
@click.option("--drop-limit", "drop_limits_s", multiple=True, callback=_limits, metavar="STAGE=SECONDS")
@click.option("--drop", type=click.Choice(["request", "batch"]), default="request", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="for clients")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="for clients [any free one]")
@click.option("--control-host", default="127.0.0.1", show_default=True)
@click.option("--control-port", type=click.IntRange(0, 65535), default=0, help="[any free one]")
@click.option("--bound", "bound_s", type=click.FloatRange(min=0, min_open=True), help="longest stay [10 x SLA]")
@click.option("--replica-timeout", "replica_timeout_s", type=click.FloatRange(min=0, min_open=True), help="[the bound]")
@click.option(
    "--linger",
    "linger_s",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="seconds for connected clients to ask for the last time, at the end",
)
@click.option(
    "--most-inside",
    "most_inside_bytes",
    type=click.IntRange(min=1),
    default=MOST_INSIDE_BYTES,
    help="bytes of requests; more are refused [2 GiB]",
)
@click.option("--records", type=click.IntRange(min=1), default=50_000, show_default=True, help="ended requests kept")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def main(pipeline: str, sla_s: float | None, drop_limits_s: dict[str, float], **options: Any) -> None:
    """The router and the queues of one pipeline."""
    from ipa import profiles
    from ipa.profiles import ProfileError

    try:
        loaded = profiles.load(pipeline).with_limits(sla_s, drop_limits_s)
    except ProfileError as error:
        raise click.UsageError(str(error)) from None
    try:
        serve(GatewayOptions(loaded, **options))
    except OSError as error:
        raise click.UsageError(f"cannot listen: {error}") from None


if __name__ == "__main__":
    main()
