"""Sends batches to their replicas and turns the answers into the input of the next stage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ipa.live.serving import generation, tensors
from ipa.live.serving.counts import RunClock
from ipa.live.serving.gateway_metrics import GatewayMetrics
from ipa.live.serving.generation import MAX_TOKENS
from ipa.live.serving.models import ModelError
from ipa.live.serving.protocol import EMULATED, ProtocolError, batch_parameters
from ipa.live.serving.replica_clients import ReplicaClients, ReplicaError, declared
from ipa.live.serving.request import Batch, Item
from ipa.live.serving.router import Router
from ipa.live.serving.rows import RowsError, shared
from ipa.live.serving.tensors import Tensor, TensorError, kind, mapped
from ipa.live.serving.web import MOST_ID, REQUEST_ID, TRACEPARENT
from ipa.profiles import Pipeline

PROBE_EVERY_S = 0.25
"""How often a suspended replica is asked whether it is ready."""

TEXT_BYTES = 1024
"""The bytes that a BYTES element counts in a batch beyond its own, so that a batch has at most as many as a message may
have."""

log = logging.getLogger("live.gateway")


@dataclass(slots=True)
class Job:
    """The gateway's data of a request inside: the tensors for its present stage, its client's parameters, and the id
    and trace context that replicas get. `of_texts`: those of the parameters that are for language models alone.

    `done` is set once the request has ended. Before that, `status` is set to its HTTP status if that is not the one of
    its outcome, and `retry_after_s` if it was dropped where no replica could take batches. `owner`: the job of the
    whole request, if this is one of its items'. `answer_parameters`: those of its answer.
    """

    tensors: Sequence[Tensor]
    parameters: Mapping[str, Any]
    done: asyncio.Future[None] = field(repr=False)
    request_id: str = ""
    traceparent: str = ""
    retry_after_s: int | None = None
    status: int | None = None
    owner: Job | None = None
    answer_parameters: dict[str, Any] = field(default_factory=dict)
    of_texts: Mapping[str, Any] = field(default_factory=dict)


class ItemOutputs(Protocol):
    """Takes the outputs of a graph's items; those of the stages `ends` are in the answer."""

    @property
    def ends(self) -> Sequence[int]: ...

    def served(self, batch: Batch, parts: Sequence[Sequence[Tensor]], is_emulated: bool) -> None:
        """The items of a batch have these outputs. Raises TensorError."""
        ...

    def answered_name(self, stage: int, name: str) -> str:
        """The name of a stage's output in the answer."""
        ...


class BatchService:
    """Sends batches to replicas and tells the router the result; a request's `data` is its `Job`.

    `spawn` runs a coroutine as a task; with `at_once=True` it runs up to its first wait at once.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        router: Router,
        clients: ReplicaClients,
        metrics: GatewayMetrics,
        clock: RunClock,
        spawn: Callable[..., asyncio.Task[None]],
        items: ItemOutputs | None = None,
    ) -> None:
        """`items`: for a graph."""
        self._items = items
        self._stages = pipeline.stages
        generating = [position for position, stage in enumerate(pipeline.stages) if not stage.fills_batches]
        self._generating: dict[int, dict[Batch, asyncio.Task[None]]] = {position: {} for position in generating}
        """The tasks that wait for language models, by stage."""
        self._names = tuple(stage.name for stage in pipeline.stages)
        self._inputs = [stage.inputs for stage in pipeline.stages]
        self._output_rows = [stage.output_rows for stage in pipeline.stages]
        self._router = router
        self._clients = clients
        self._metrics = metrics
        self._clock = clock
        self._spawn = spawn

    def start(self, batch: Batch) -> None:
        self._metrics.started(batch)
        task = self._spawn(self._serve(batch), at_once=True)
        if (tasks := self._generating.get(batch.stage)) is not None:
            tasks[batch] = task
            task.add_done_callback(lambda _: tasks.pop(batch, None))

    def parameters_of_texts(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Those of a client's parameters that are for the pipeline's language models. Raises ProtocolError for those
        that they do not take."""
        try:
            return generation.parameters_of_texts(parameters, [self._names[stage] for stage in self._generating])
        except ModelError as error:
            raise ProtocolError(str(error)) from None

    def break_off(self, batch: Batch) -> None:
        """Wait for a language model no longer: it generates nothing more once the connection is closed."""
        self._generating[batch.stage].pop(batch).cancel()

    async def metadata(self) -> Mapping[str, Any]:
        """The pipeline as a model: the inputs of its first stage and the outputs of its last, if replicas declare
        them."""
        first, *last = [await self._metadata_of(stage) for stage in (0, *self._ends)]
        return {
            "platform": "ipa_pipeline",
            "inputs": declared(first, "inputs"),
            "outputs": [
                each | {"name": self._answered_name(stage, each["name"])}
                for stage, said in zip(self._ends, last, strict=True)
                for each in declared(said, "outputs")
            ],
        }

    @property
    def _ends(self) -> Sequence[int]:
        return (len(self._names) - 1,) if self._items is None else self._items.ends

    def _answered_name(self, stage: int, name: str) -> str:
        return name if self._items is None else self._items.answered_name(stage, name)

    async def output_names(self) -> Collection[str]:
        """The outputs that the last stages' replicas declare, any of which may serve; empty if one declares none."""
        serving = [
            (stage, each)
            for stage in self._ends
            for each in self._router.stages[stage].replicas
            if each.is_listed and not each.is_suspended
        ]
        names_of = await asyncio.gather(*[self._clients.output_names(each) for _, each in serving])
        if not all(names_of) or (self._items is not None and len({stage for stage, _ in serving}) < len(self._ends)):
            return ()
        names = [
            self._answered_name(stage, name) for (stage, _), own in zip(serving, names_of, strict=True) for name in own
        ]
        counts = [f"{name}.counts" for name in names] if self._items is not None else []
        return list(dict.fromkeys([*names, *counts]))

    async def _metadata_of(self, stage: int) -> Mapping[str, Any]:
        for replica in self._router.stages[stage].replicas:
            if replica.is_listed and not replica.is_suspended:
                return await self._clients.metadata(replica)
        return {}

    async def _serve(self, batch: Batch) -> None:
        jobs: list[Job] = [request.data for request in batch.requests]
        ours = batch_parameters(batch.number, batch.size, batch.replica.cores)
        parameters = {**jobs[0].parameters, **self._of_text(batch), **ours}
        try:
            inputs = tensors.joined([job.tensors for job in jobs])
            batch.sent_s = self._clock.now_s()
            p99_s = self._p99_s(batch, parameters)
            answer = await self._clients.infer(batch, inputs, parameters, _told(jobs), p99_s)
            batch.answered_s = self._clock.now_s()
            rows = {tensor.shape[0] for tensor in jobs[0].tensors}
            parts: list[Sequence[Tensor]] = [*shared(answer.outputs, batch.size, rows, self._output_rows[batch.stage])]
            if self._items is not None:
                described = await self._clients.cached_metadata(batch.replica)
                self._items.served(batch, parts, described.get("platform") == EMULATED)
            elif batch.stage + 1 < len(self._names):
                after = batch.stage + 1
                parts = [mapped(part, self._inputs[after], self._names[after]) for part in parts]
            kinds = [kind(part, job.parameters) for part, job in zip(parts, jobs, strict=True)]
        except (ReplicaError, TensorError) as error:
            if isinstance(error, RowsError):
                self._metrics.wrong_rows(batch)
            await asyncio.sleep(0)  # not within the attempt by which it was started
            self._failed(batch, error)
            return
        except Exception as error:  # whatever is wrong with an answer, or with us, must not keep the replica taken
            log.exception("a batch could not be served")
            await asyncio.sleep(0)
            self._failed(batch, ReplicaError(f"met {type(error).__name__} in the gateway", again=False))
            return
        if self._items is None:
            for request, job, part, of_kind in zip(batch.requests, jobs, parts, kinds, strict=True):
                job.tensors = part
                request.size_bytes = batch_bytes(part)
                request.kind = of_kind
        if batch.stage in self._generating:
            self._note_generated(batch, answer.parameters, jobs[0])
        self._metrics.finished(batch, self._clock.now_s())
        self._router.finished(batch, self._clock.now_s())

    def _of_text(self, batch: Batch) -> Mapping[str, Any]:
        """The parameters that are for this text; none at other stages."""
        if batch.stage not in self._generating:
            return {}
        request, number = batch.requests[0], 0
        job: Job = request.data
        if isinstance(request, Item):
            number = request.number_at_stage
        return generation.parameters_at(self._names[batch.stage], number, (job.owner or job).of_texts)

    def _p99_s(self, batch: Batch, parameters: Mapping[str, Any]) -> float:
        stage, replica = self._stages[batch.stage], batch.replica
        variant = stage.variant(replica.variant)
        if stage.tokens is None:
            return variant.p99_s(batch.size, replica.cores)
        longer: float = parameters.get(MAX_TOKENS, 1) / stage.tokens.output.p99
        return variant.p99_s(variant.max_batch(replica.cores), replica.cores) * max(longer, 1.0)

    def _note_generated(self, batch: Batch, parameters: Mapping[str, Any], job: Job) -> None:
        """Take down what a language model says of its text, for the records and the answer.

        Where several language models answer, each stage's parameters have its name; several items add up.
        """
        batch.generated = generation.generated_of(parameters)
        if batch.generated is None:
            return
        prefix = f"{self._names[batch.stage]}." if len(self._generating) > 1 else ""
        answer = (job.owner or job).answer_parameters
        for key, value in generation.answer_parameters(batch.generated).items():
            before = answer.get(prefix + key, 0)
            answer[prefix + key] = max(before, value) if key == "ttft_s" else before + value

    def _failed(self, batch: Batch, error: ReplicaError | TensorError) -> None:
        served, again, status = True, False, None
        if isinstance(error, ReplicaError):
            served, again, status = error.served, error.again, error.status
            if error.is_answer and batch.stage in self._generating:
                again = False  # it has broken off this text alone
        jobs: list[Job] = [request.data for request in batch.requests if request.data is not None]
        for job in jobs:
            (job.owner or job).status = status
        if served and jobs and not all(tensor.shape[0] for tensor in jobs[0].tensors):
            again = False  # a model that cannot take an empty input is not broken: see `docs/serving.md`, Rows
        problem = f"replica {batch.replica.number} ({batch.replica.variant}) {error}"
        about = {"stage": self._names[batch.stage], "problem": problem, "size": batch.size}
        log.warning("batch failed", extra=about | {"request_id": ",".join(job.request_id for job in jobs)})
        was_suspended = batch.replica.is_suspended  # by another text that it has broken off
        self._router.failed(batch, self._clock.now_s(), problem, served=served, again=again)
        if batch.replica.is_suspended and not was_suspended:
            self._spawn(self._await_recovery(batch))

    async def _await_recovery(self, batch: Batch) -> None:
        while batch.replica.is_listed:
            if await self._clients.is_ready(batch.replica):
                self._router.resume(batch.stage, batch.replica, self._clock.now_s())
                return
            await asyncio.sleep(PROBE_EVERY_S)


def _told(jobs: Sequence[Job]) -> dict[str, str]:
    """The headers by which a replica knows whose batch it is: the ids of the requests, and the first trace of one."""
    headers = {
        REQUEST_ID: jobs[0].request_id if len(jobs) == 1 else ",".join([job.request_id for job in jobs])[:MOST_ID]
    }
    if traceparent := next((job.traceparent for job in jobs if job.traceparent), ""):
        headers[TRACEPARENT] = traceparent
    return headers


def batch_bytes(inputs: Sequence[Tensor]) -> int:
    """The bytes that a request adds to its batch; BYTES elements count more, for the time that each costs."""
    return sum(len(tensor.data) + TEXT_BYTES * tensor.texts for tensor in inputs)
