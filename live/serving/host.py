"""The gateway between its clients and its replicas: the router's host, in real time.

The router decides; `Gateway` keeps its timers, hands its batches to `batch_service` and answers clients when their
requests have ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from ipaddress import ip_network
from math import ceil
from typing import Any

from aiohttp import web

from ipa.live.gateway_settings import GatewaySettings
from ipa.live.plane import TAKEN_WITHIN_S, longest_batch_s
from ipa.live.serving import protocol
from ipa.live.serving.admission import (
    MOST_JSON_BYTES,
    Admission,
    MessageLimits,
    Share,
    default_inside_bytes,
    default_recorded_bytes,
)
from ipa.live.serving.batch_service import BatchService, Job, batch_bytes
from ipa.live.serving.bodies import in_steps, read_body
from ipa.live.serving.connections import head_bytes, is_gone, peer_of
from ipa.live.serving.counts import ArrivalCounts, EndedRequests, Refusals, RunClock
from ipa.live.serving.deadlines import Deadlines
from ipa.live.serving.gateway_metrics import GatewayMetrics
from ipa.live.serving.graph_flow import GraphRouting
from ipa.live.serving.graph_tensors import MOST_ITEMS, GraphTensors, WholeJob
from ipa.live.serving.protocol import InferRequest, InferResponse, ProtocolError
from ipa.live.serving.replica_clients import ReplicaClients
from ipa.live.serving.request import Batch, Request, RoutedReplica, WholeRequest
from ipa.live.serving.router import Router
from ipa.live.serving.stage_queue import DispatchOptions, StageQueue
from ipa.live.serving.tensors import TensorError, kind
from ipa.live.serving.term import Term
from ipa.live.serving.web import ADMITTED, ID, about, known_id, readiness, send, traceparent_of
from ipa.live.settings import GatewayLimits
from ipa.policies import lightest_configuration
from ipa.profiles import Pipeline
from ipa.sim import NEVER, rules

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"))


SWEEP_S = 0.05
"""How often requests that have expired, or are past the bound, are looked for."""

TOLD_EVERY_S = 1.0
"""How often the log tells what was refused."""

MOST_MISSING = 20
"""How many of the items that an answer lacks it names."""

STATUS = {"dropped": 504, "unfinished": 504, "failed": 502}
"""HTTP status by outcome, where there is no answer; 503 for what was dropped where no replica can take batches."""

log = logging.getLogger("live.gateway")


class Gateway:
    """The router's host, to be made in a running event loop; the control API reads and sets it.

    `epoch` names one series of counters, so that clients that take differences see when they have restarted.
    Until it is configured, the lightest variants are in force. While it `is_closing`, new requests are still served,
    each as the last of its connection. `term`: of two gateways,
    whether it is the one that serves; None: there is no other.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        settings: GatewaySettings = GatewaySettings(),  # noqa: B008 - frozen
    ) -> None:
        self.settings = settings
        asked = GatewayLimits.of(settings.limits)
        self.replica_networks = tuple(map(ip_network, settings.replica_networks)) or LOOPBACK
        self.pipeline = pipeline
        self.epoch = _new_epoch()
        self.clock = RunClock()
        self.is_started = False
        self.is_closing = False
        self.is_ending = False
        """Whether it has been asked to end."""
        self.term = Term(self._step_down) if settings.is_leased else None
        self._waits_for_start = settings.waits_for_start
        self._undescribed = ""
        self.names = tuple(stage.name for stage in pipeline.stages)
        self.arrivals = ArrivalCounts(0.0)
        self.ended_requests = EndedRequests(
            settings.records, self.names, asked.most_recorded_bytes or default_recorded_bytes()
        )
        self.refusals, self.control_refusals = Refusals("data"), Refusals("control")
        self.bound_s = rules.bound_s(pipeline.sla_s) if settings.bound_s is None else settings.bound_s
        self._replica_timeout_s = self.bound_s if settings.replica_timeout_s is None else settings.replica_timeout_s
        inside_bytes = settings.most_inside_bytes or default_inside_bytes()
        self._limits = limits = MessageLimits.within(inside_bytes, asked.most_json_bytes or MOST_JSON_BYTES)
        self._items = None if pipeline.graph is None else GraphTensors(pipeline, asked.most_items or MOST_ITEMS)
        self.router = self._router()
        self.one_step = asyncio.Lock()
        self.metrics = GatewayMetrics(pipeline, self.router, self.arrivals, self.clock)
        self.clients = ReplicaClients(self._replica_timeout_s, limits.body_bytes, self.one_step, self.term)
        self._batches = BatchService(
            pipeline, self.router, self.clients, self.metrics, self.clock, self.spawn, self._items
        )
        self.metadata = self._batches.metadata
        self._admission = Admission(inside_bytes)
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle | None] = [None] * len(self.names)
        self._tasks: set[asyncio.Task[None]] = set()
        self._inside: dict[Request, web.Request | None] = {}  # in order of arrival, until they have their outcome
        self.spawn(self._sweep())

    def _router(self) -> Router:
        pipeline, settings = self.pipeline, self.settings
        singly = [position for position, stage in enumerate(pipeline.stages) if not stage.fills_batches]
        dispatch = DispatchOptions(settings.drop, settings.removal == "lose", self._limits.body_bytes, singly)
        initial, limits_s = lightest_configuration(pipeline), pipeline.drop_limits_s
        deadlines = Deadlines(pipeline.sla_s, self._latency_s) if settings.drop == "deadline" else None
        flow = None
        if self._items is not None and pipeline.graph is not None:
            flow = GraphRouting(self.names, self, self._items, pipeline.graph, (settings.seed, 0.0))
        return Router(self.names, limits_s, initial, self, dispatch, deadlines, flow)

    def _latency_s(self, stage: int, variant: str, cores: int) -> Sequence[float]:
        return self.pipeline.stages[stage].variant(variant).latency_table(cores)[0]

    def restart_clock(self, origin_s: float) -> None:
        """Set time 0 to another moment of the monotonic clock: a new run, with all counts from zero. No request may be
        inside."""
        self.is_started = True
        self.clock.origin_s = origin_s
        self.arrivals.restart(self.clock.now_s())
        self.epoch = _new_epoch()
        self.ended_requests.clear()
        self.refusals.counts.clear()
        self.router.restart(self.clock.now_s())
        self.metrics.restart()

    def take_over(self, term: int) -> None:
        """Hold the Lease of two gateways, in this term. The load before is not known."""
        assert self.term is not None
        was_waiting = not self.term.serves
        self.term.hold(term)
        if was_waiting and self.term.serves:
            log.warning("this gateway serves", extra={"term": term})
            self.arrivals.restart(self.clock.now_s())

    def _step_down(self) -> None:
        """Another gateway serves: nothing more is done for the requests that are inside."""
        log.warning("another gateway has taken over", extra={"lost": self.router.inside})
        self._give_up("another gateway has taken over")

    def _give_up(self, why: str = "") -> None:
        for request in list(self._inside):
            request.problem = why
            self.router.give_up(request, self.clock.now_s(), why)

    def refused(self, reason: str, text: str, http: web.Request) -> None:
        """Count a request that was not admitted; `text` is its client's answer."""
        self.refusals.add(reason, text, **about(http))
        self.metrics.of("ipa_requests_refused_total", reason=reason).inc()

    # ---- whether it is ready ----

    def unready(self) -> str:
        """Why the pipeline cannot serve a request that comes now; empty if it can."""
        if self.is_closing:
            return "the gateway is shutting down"
        if not self.may_serve:
            return "another gateway serves"
        if not self.has_begun:
            return "the run has not begun"
        if self._undescribed:
            return self._undescribed
        stages = ", ".join(map(repr, self.router.unserved))
        return f"no replica that can take batches at stage {stages}" if stages else ""

    async def learn_outputs(self, listed: Sequence[Sequence[RoutedReplica]]) -> None:
        """Take over from the models of listed replicas, by stage, what stands for the items that a request in a graph
        may not have. Raises ProtocolError if neither they nor the pipeline file say it."""
        if self._items is None:
            return
        for stage in self._items.described_by_models:
            answers = await asyncio.gather(*map(self.clients.cached_metadata, listed[stage]))
            problems = [self._items.describe(stage, metadata) for metadata in answers if metadata]
            self._undescribed = problems[-1] if problems else ""
            if self._undescribed:
                raise ProtocolError(self._undescribed)

    async def accepts(self, request: web.Request) -> web.Response:
        """Whether this gateway takes requests, whatever the replicas: until it shuts down, a cluster should send them
        here, where they wait or are told why not."""
        waits = "" if self.may_serve else "another gateway serves"
        return readiness(request, {}, "the gateway is shutting down" if self.is_closing else waits)

    # ---- clients ----

    @property
    def may_serve(self) -> bool:
        """Whether it is the one that serves."""
        return self.term is None or self.term.serves

    @property
    def has_begun(self) -> bool:
        """Whether clients are served: always, unless the gateway waits for its time 0."""
        return self.is_started or not self._waits_for_start

    async def infer(self, http: web.Request) -> web.StreamResponse:
        """Serve one request of a client, from its body to its answer."""
        if not self.has_begun:
            raise ProtocolError("the run has not begun", 503)
        with ExitStack() as resources:
            share = resources.enter_context(self._admission.share(peer_of(http), head_bytes(http)))
            infer_request = await self._read(http, share)
            if self._is_closed:
                raise ProtocolError("the gateway is shutting down", 503)
            if not self.may_serve:
                raise ProtocolError("another gateway serves", 503, retry_after_s=1)
            request, job = self._admitted(infer_request, self.clock.now_s(), http)
            # The job holds the inputs, and frees them when their stage is done.
            infer_request = infer_request._replace(inputs=())
            http[ADMITTED] = True
            if isinstance(job, WholeJob):
                job.share = share
                await self._until_ended(request, job, resources)
            else:
                await job.done
                request.data = None  # the request itself is remembered for a while, its data need not be
            if request.outcome != "completed":
                raise self._refusal(request, job)
            size = protocol.json_size(infer_request, job.tensors)
            response = InferResponse(job.tensors, job.answer_parameters)
            writing = protocol.writing_response(self.pipeline.name, infer_request, response, self._limits.json_bytes)
            answer = await in_steps(self.one_step, size, writing)
            del job
            return await send(http, answer)

    async def _until_ended(self, request: Request, job: WholeJob, resources: ExitStack) -> None:
        """Wait until a request in a graph has ended, and make its answer."""
        assert isinstance(request, WholeRequest)
        assert self._items is not None
        try:
            await job.done
        finally:
            if request.open:  # items go on after the answer
                job.resources = resources.pop_all()
        if request.outcome == "completed":
            if request.missing:
                unnamed = len(request.missing) - MOST_MISSING
                named = request.missing[:MOST_MISSING] + [f"and {unnamed} more"] * (unnamed > 0)
                job.answer_parameters["missing"] = "; ".join(named)
            try:
                job.tensors = self._items.answer(job)
            except TensorError as error:
                raise ProtocolError(f"no answer can be made of what has been served: {error}", 502) from None

    async def _read(self, http: web.Request, share: Share) -> InferRequest:
        """Read a client's request, and refuse it as early as possible; `share` counts what it holds."""
        body = await read_body(http, self._limits, share)
        reading = protocol.reading_request(body.data, http.headers.get(protocol.HEADER))
        infer_request = await in_steps(self.one_step, body.json_bytes, reading)
        if reserved := protocol.RESERVED & infer_request.parameters.keys():
            raise ProtocolError(f"the parameter {min(reserved)!r} is the gateway's own; leave it out")
        self._batches.parameters_of_texts(infer_request.parameters)
        # Twice, for their copy on the way to a replica.
        share.hold(2 * sum(len(tensor.data) for tensor in infer_request.inputs))
        for tensor in infer_request.inputs:
            if tensor.shape[0] == 0:
                raise ProtocolError(f"input {tensor.name!r}: shape {list(tensor.shape)} is empty along axis 0")
        if infer_request.wanted.names is not None and (names := await self._batches.output_names()):
            protocol.check_wanted(infer_request, names)
        return infer_request

    def _admitted(
        self, infer_request: InferRequest, now_s: float, http: web.Request | None = None
    ) -> tuple[Request, Job]:
        """The request, which may have ended at once and then holds its job no longer, and the job."""
        name, request_id, traceparent = None, "", ""
        if http is not None:
            name, request_id = known_id(http, infer_request.id), http[ID]
            traceparent = traceparent_of(http)
        make_job, make_request = (Job, Request) if self._items is None else (WholeJob, WholeRequest)
        of_texts = self._batches.parameters_of_texts(infer_request.parameters)
        others = {key: value for key, value in infer_request.parameters.items() if key not in of_texts}
        job = make_job(infer_request.inputs, others, self._loop.create_future(), request_id, traceparent)
        job.of_texts = of_texts
        size_bytes = batch_bytes(infer_request.inputs)
        request = make_request(name, now_s, kind(infer_request.inputs, others), job, size_bytes)
        self.arrivals.add(now_s)
        self._inside[request] = http
        self.router.arrive(request, now_s)
        return request, job

    def _refusal(self, request: Request, job: Job) -> ProtocolError:
        status = STATUS[str(request.outcome)] if job.retry_after_s is None else 503
        if request.outcome == "failed" and job.status is not None:
            status = job.status
        return ProtocolError(self._why(request, job), status, retry_after_s=job.retry_after_s)

    def _why(self, request: Request, job: Job) -> str:
        stage = repr(self.names[request.stage])
        if isinstance(request, WholeRequest) and request.lost_item:
            stage += f", item {request.lost_item}"
        age_s = request.end_s - request.arrival_s
        if job.retry_after_s is not None:
            return f"dropped: no replica can take batches at stage {stage}, {age_s:.3f} s after its arrival"
        match request.outcome:
            case "dropped":
                why = "expired" if self.settings.drop != "deadline" else "too late for the SLA"
                return f"dropped: {why} at stage {stage}, {age_s:.3f} s after its arrival"
            case "unfinished":
                given_up = f"unfinished: given up at stage {stage} after {age_s:.3f} s"
                return f"{given_up}: {request.problem}" if request.problem else given_up
        return f"failed at stage {stage}: {request.problem}"

    # ---- the router's Host ----

    def start(self, batch: Batch) -> None:
        self._batches.start(batch)

    def break_off(self, batch: Batch) -> None:
        self._batches.break_off(batch)

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
        """Record a request's end, and let its client know."""
        self._inside.pop(request, None)
        if self._items is None:
            self.ended_requests.add(request)  # in a graph, when none of its items is left
        self.metrics.ended(request)
        if request.outcome == "dropped" and not self._queue(request).can_serve:
            request.data.retry_after_s = self._starts_within_s(request)
        if not request.data.done.done():
            request.data.done.set_result(None)

    def later(self, stage: int, at_s: float) -> None:
        """Have what joins at a stage enter it at that moment."""
        self._loop.call_later(max(0.0, at_s - self.clock.now_s()), self._enter, stage, at_s)

    def _enter(self, stage: int, at_s: float) -> None:
        assert isinstance(self.router.flow, GraphRouting)
        self.router.flow.enter(stage, at_s, self.clock.now_s())

    def left(self, request: WholeRequest) -> None:
        """Record a request of a graph with its items, and release what it holds."""
        job: WholeJob = request.data
        self.ended_requests.add(request)
        request.data, request.items = None, []  # a queue may remember one of them for a while
        if job.resources is not None:
            job.resources.close()

    def _queue(self, request: Request) -> StageQueue:
        return self.router.stages[request.stage]

    def _starts_within_s(self, request: Request) -> int:
        """How long a new replica of the configured variant takes to start, in whole seconds, at least one."""
        variant = self.pipeline.stages[request.stage].variant(self._queue(request).variant)
        return max(1, ceil(variant.start_up_s))

    def _ring(self, stage: int) -> None:
        # The loop's timers may ring a little early; the attempt then sets the timer again.
        self._timers[stage] = None
        self.router.timer(stage, self.clock.now_s())

    # ---- the end ----

    async def _sweep(self) -> None:
        """Drop expired requests and those whose clients have gone, and give up those that have been inside for longer
        than the bound."""
        told_s = self.clock.now_s()
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = self.clock.now_s()
            if not 0.0 <= now_s - told_s < TOLD_EVERY_S:
                self.refusals.tell()
                self.control_refusals.tell()
                told_s = now_s
            self.router.expire(now_s)
            for request, http in list(self._inside.items()):
                if http is not None and is_gone(http):
                    self.router.leave(request, now_s)
                elif now_s > request.arrival_s + self.bound_s:
                    self.router.give_up(request, now_s)

    @property
    def drained_within_s(self) -> float:
        """How long the latest request inside may be served: until it expires at every stage, and a batch that began
        just before has been answered."""
        answered_s = min(longest_batch_s(self.pipeline), self._replica_timeout_s)
        return min(max(self.pipeline.drop_limits_s) + answered_s, self.bound_s)

    async def drain(self, is_connected: Callable[[], bool], linger_s: float) -> None:
        """Close each connection after its next answer, while there is one, at most for `linger_s`.

        Then take no new request, and wait until those inside have ended, at most for `drained_within_s`. One of two
        gateways first serves on until the other has taken over, at most for `TAKEN_WITHIN_S`.
        """
        self.is_ending = True
        if self.term is not None and self.term.serves:
            deadline_s = self.clock.now_s() + TAKEN_WITHIN_S
            while not self.term.is_replaced and self.clock.now_s() < deadline_s:
                await asyncio.sleep(0.01)
        self.is_closing = True
        log.info("draining", extra={"inside": self.router.inside})
        deadline_s = self.clock.now_s() + linger_s
        while is_connected() and self.clock.now_s() < deadline_s:
            await asyncio.sleep(0.01)
        self._is_closed = True
        deadline_s = self.clock.now_s() + self.drained_within_s
        while self.router.inside and self.clock.now_s() < deadline_s:
            await asyncio.sleep(0.01)
        self._give_up()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.clients.close()

    def spawn(self, work: Coroutine[Any, Any, None], *, at_once: bool = False) -> asyncio.Task[None]:
        """Run work as a task; `at_once` runs it up to its first wait now, which saves a turn of the loop (from Python
        3.12 on)."""
        if at_once and sys.version_info >= (3, 12):
            task = asyncio.Task(work, loop=self._loop, eager_start=True)
        else:
            task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.critical("a task of the gateway failed", exc_info=task.exception())


def _new_epoch() -> str:
    return os.urandom(8).hex()
