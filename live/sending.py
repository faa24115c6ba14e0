"""The load of a live run: the process that sends it, a view of the run every second, and its results."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ipa.live.collect import Collector, ItemCollector, language_models
from ipa.live.errors import RunError
from ipa.live.gateway_client import RefusedError
from ipa.live.launcher import in_words, log_end
from ipa.live.live_backend import LiveBackend
from ipa.live.load_generator import LoadJob, Tokens, read_answers, write_job
from ipa.live.monitoring import GatewaySource, Reading, SourceError, quantiles
from ipa.live.plane import LOAD
from ipa.live.sent import UNANSWERED, UNKNOWN, Sent
from ipa.policies import Entry, Journal, LatencyQuantiles, ReplicaCounts, StageConfiguration
from ipa.sim import FloatArray, Records, ReplicaRecords, laws

STOPS_WITHIN_S = 5.0
"""How long a load generator may take to report what it has sent, once it is told to stop."""


@dataclass(frozen=True)
class Schedule:
    """Requests to send at these moments, shape (requests,), in a run of `duration_s`.

    Answers are awaited until `patience_s` after its end. `body`: the V2 inference request (None: zeros, by the model's
    metadata); `token_file` holds the client's token for the gateway (empty: none). `samples`: a folder of files, or
    files of arrays, to send instead (empty: none). `tokens`: those of the requests at stages of language models.
    """

    arrivals_s: FloatArray
    duration_s: float
    patience_s: float
    body: dict[str, Any] | None = None
    token_file: str = ""
    samples: str = ""
    tokens: Tokens = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """The result of a run with a load; `ended`: why it ended early, empty if it did not.

    `lost` and `foreign` count requests without a record, and requests of others (see `Collector`). `cut_off` counts
    requests that had not ended when the run ended early; they are in neither `records` nor `sent`. `broken_laws` are
    the laws of the model that the records break, one sentence each. `refused` counts requests, of anybody, that the
    gateway did not admit, by reason. `answers`: the answers to requests with samples, by number. `models`: the digests
    of the real models that the run could serve, by STAGE/VARIANT.
    """

    records: Records
    sent: Sent
    ended: str
    lost: int
    foreign: int
    cut_off: int
    broken_laws: tuple[str, ...]
    refused: Mapping[str, int] = field(default_factory=dict)
    answers: Mapping[int, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)


class Sending:
    """Sends a schedule to a backend's gateway, from a process of its own, and collects what becomes of it."""

    def __init__(
        self,
        schedule: Schedule,
        backend: LiveBackend,
        journal: Journal,
        folder: Path,
        on_view: Callable[[View], object],
    ) -> None:
        self._schedule = schedule
        self._backend = backend
        # Others number their requests too, such as another load generator beside this run.
        self._prefix = f"{secrets.token_hex(8)}-"
        collects = Collector if backend.plane.pipeline.graph is None else ItemCollector
        language = language_models(backend.plane.pipeline)
        self._collector = collects(backend.client, tuple(backend.stages), self._prefix, language)
        self._watch = Watch(backend, self._collector, journal, schedule.duration_s, on_view)
        self._job, self._result = folder / "job.npz", folder / "sent.npz"
        self._has_ended = asyncio.Event()

    def start(self, origin_s: float) -> None:
        """Start the process; `origin_s` is the moment of `time.monotonic()` at which the run's clock is at 0."""
        schedule, backend = self._schedule, self._backend
        last_s = float(schedule.arrivals_s[-1]) if len(schedule.arrivals_s) else 0.0
        patience_s = schedule.duration_s - last_s + schedule.patience_s
        name, token_file = backend.plane.pipeline.name, schedule.token_file
        job = LoadJob(
            *(backend.url, name, origin_s, patience_s, schedule.body),
            token_file=token_file,
            samples=schedule.samples,
            prefix=self._prefix,
            language_stages=tuple(schedule.tokens),
        )
        write_job(job, schedule.arrivals_s, self._job, schedule.tokens)
        self._log = backend.run_process("load", LOAD, [str(self._job), str(self._result)], self._on_exit)
        self._watching = backend.spawn(self._watch.run())

    def _on_exit(self, status: int) -> None:
        self._has_ended.set()
        if status != 0:
            self._backend.fail(f"the load generator has ended ({in_words(status)}):\n{log_end(self._log)}")

    async def until_all_ended(self) -> None:
        """Wait until the duration is over and every request has ended, or `patience_s` has passed."""
        await self._has_ended.wait()
        await asyncio.sleep(max(self._schedule.duration_s - self._backend.now_s, 0.0))

    async def finish(self, why: str) -> Finished:
        """Stop the load if it is still being sent, and assemble the result. `why`: the reason for an early end; empty:
        none."""
        schedule, backend, collector = self._schedule, self._backend, self._collector
        end_s = backend.now_s
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self._stop()
        with suppress(RunError, RefusedError):
            await collector.fetch()
        sent = Sent.read(self._result) if self._result.is_file() else _presumed(schedule.arrivals_s, end_s)
        has_ended = (sent.status != UNANSWERED) | collector.have(sent.request)
        cut_off = int(np.count_nonzero(~has_ended)) if why else 0
        if why:
            sent = sent.only(has_ended)
        duration_s = schedule.duration_s if not why else min(schedule.duration_s, max(end_s, 1.0))
        replicas = {name: stage.records() for name, stage in backend.stages.items()}
        records = collector.records(sent, replicas, backend.configured, duration_s, end_s)
        lack = tuple(stage.room_lack(min(duration_s, end_s)) for stage in backend.stages.values())
        limits = {} if backend.limit_held_cores is None else {"cores": backend.limit_held_cores}
        records = replace(records, limits=limits, room_lack=lack)
        is_whole = not (why or collector.lost or collector.foreign)
        broken = tuple(broken_laws(records, is_whole, collector.retried))
        answers = read_answers(self._result)
        counts = {"lost": collector.lost, "foreign": collector.foreign, "cut_off": cut_off}
        refused, models = collector.refused, dict(backend.models)
        return Finished(
            records, sent, why, **counts, broken_laws=broken, refused=refused, answers=answers, models=models
        )

    async def _stop(self) -> None:
        if not self._has_ended.is_set():
            self._backend.launcher.signal("load", signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOPS_WITHIN_S):
                    await self._has_ended.wait()


def broken_laws(records: Records, is_whole: bool, retried: Collection[str]) -> Iterator[str]:
    """The laws that a live run breaks, of those that apply to it.

    L9 does not: its integral is an engine's own. A retried batch starts after those that overtook it (L3, at the stages
    `retried`). If the run is not whole (it ended early, its gateway served other requests too, or records were lost),
    batches lack members, and the stage of a drop may be unknown. A batch that failed, or whose requests were given up,
    has no finish, and its replica may have served others since, or be gone. A killed replica may be sent a batch until
    its death is known, and its last answer may still arrive (L4).
    """
    answered = _answered(records)
    broken = [*laws.violations(records, eager=False)]
    of_others = set(laws.violations(_without_killed(answered), eager=False)) if broken else set()
    for law in broken:
        is_excused = (
            law.startswith("L9")
            or (law.startswith("L3") and any(f"at stage {stage} " in law for stage in retried))
            or (not is_whole and "does not have the members it says" in law)
            or (not is_whole and law.startswith("L1: a request "))
            or (not is_whole and "not the same as dropped at a stage" in law)
            or ("a replica served" in law and law not in of_others)
        )
        if not is_excused:
            yield law


def _answered(records: Records) -> Records:
    """The records, where services without a finish take no time."""
    finish_s = np.where(np.isnan(records.finish_s), records.start_s, records.finish_s)
    return replace(records, finish_s=finish_s, items=tuple(map(_answered, records.items)))


def _without_killed(records: Records) -> Records:
    """The records, where replicas that ended by themselves (removed in the moment they were gone) never end."""

    def endless(replicas: ReplicaRecords) -> ReplicaRecords:
        was_killed = replicas.removed_s == replicas.gone_s
        removed_s, gone_s = (np.where(was_killed, np.nan, each) for each in (replicas.removed_s, replicas.gone_s))
        return replace(replicas, removed_s=removed_s, gone_s=gone_s)

    items = tuple(map(_without_killed, records.items))
    return replace(records, replicas=tuple(map(endless, records.replicas)), items=items)


def _presumed(arrivals_s: FloatArray, end_s: float) -> Sent:
    """What a load generator that left no result was scheduled to send until `end_s`."""
    count = int(np.searchsorted(arrivals_s, end_s))
    unknown, unanswered = np.full(count, np.nan), np.full(count, UNANSWERED, dtype=np.int64)
    numbers, may_retry = np.arange(count), np.zeros(count, dtype=bool)
    reason = np.full(count, UNKNOWN, dtype=object)
    return Sent(numbers, arrivals_s[:count], unknown, unknown.copy(), unanswered, may_retry, reason)


SHOWN_EVERY_S = 1.0
RECENT_S = 10.0
"""How far back the latencies shown reach."""


@dataclass(frozen=True)
class StageView:
    """One stage at a moment; `failures` counts replicas that died, by variant."""

    configuration: StageConfiguration
    replicas: Mapping[str, ReplicaCounts]
    queue_length: int
    in_service: int
    latency: LatencyQuantiles
    failed_variants: tuple[str, ...]
    failures: Mapping[str, int]


@dataclass(frozen=True)
class View:
    """A run at a moment.

    `load_rps` is that of the last whole second (NaN: none yet), `latency` that of requests completed in the last 10 s.
    `ended` and `violations` count requests since the start; `cores` are those of all existing replicas, `mean_cores`
    their mean since the start. `entry` is the latest control step.
    """

    time_s: float
    duration_s: float
    load_rps: float
    entry: Entry | None
    stages: Mapping[str, StageView]
    latency: LatencyQuantiles
    sla_s: float
    ended: int
    violations: int
    cores: int
    mean_cores: float
    url: str


class Watch:
    """Collects a run's records, and shows the run, every second of its clock."""

    def __init__(
        self,
        backend: LiveBackend,
        collector: Collector,
        journal: Journal,
        duration_s: float,
        on_view: Callable[[View], object],
    ) -> None:
        self._backend = backend
        self._collector = collector
        self._journal = journal
        self._duration_s = duration_s
        self._on_view = on_view
        self._eyes = GatewaySource(backend.client, 1)
        self._recent: deque[tuple[float, float]] = deque()  # when a request completed, and its latency
        self._ended = self._violations = 0

    async def run(self) -> None:
        """Collect and show until cancelled."""
        while True:
            await asyncio.sleep(SHOWN_EVERY_S - self._backend.now_s % SHOWN_EVERY_S)
            try:
                self._count(await self._collector.fetch())
                reading = await self._eyes.read(self._backend.now_s)
            except (RunError, RefusedError, SourceError):
                continue  # a gateway that has died ends the run by its exit
            self._on_view(self._view(reading))

    def _count(self, records: list[dict[str, Any]]) -> None:
        sla_s = self._backend.plane.pipeline.sla_s
        for record in records:
            latency_s = record["end_s"] - record["arrival_s"]
            is_completed = record["outcome"] == "completed"
            self._ended += 1
            self._violations += not (is_completed and latency_s <= sla_s)
            if is_completed:
                self._recent.append((record["end_s"], latency_s))
        while self._recent and self._recent[0][0] < self._backend.now_s - RECENT_S:
            self._recent.popleft()

    def _view(self, reading: Reading) -> View:
        backend, now_s = self._backend, reading.time_s
        entries = self._journal.entries
        return View(
            time_s=now_s,
            duration_s=self._duration_s,
            load_rps=reading.load_rps[-1] if reading.load_rps else float("nan"),
            entry=entries[-1] if entries else None,
            stages={
                name: StageView(
                    configuration=stage.configuration,
                    replicas=stage.counts(),
                    queue_length=reading.stages[name].queue_length,
                    in_service=reading.stages[name].in_service,
                    latency=reading.stages[name].latency,
                    failed_variants=stage.failed_variants,
                    failures=dict(stage.deaths),
                )
                for name, stage in backend.stages.items()
            },
            latency=quantiles([latency_s for _, latency_s in self._recent]),
            sla_s=backend.plane.pipeline.sla_s,
            ended=self._ended,
            violations=self._violations,
            cores=sum(stage.cores for stage in backend.stages.values()),
            mean_cores=sum(stage.core_s(now_s) for stage in backend.stages.values()) / max(now_s, 1e-9),
            url=backend.url,
        )
