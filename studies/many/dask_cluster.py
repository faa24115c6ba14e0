"""Runs on an existing Dask cluster: each worker gets chunks; those of a dead or silent worker go to others."""

from __future__ import annotations

import asyncio
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Set
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from time import monotonic, sleep, time
from typing import Any

from distributed import Client, KilledWorker, as_completed
from distributed.comm import CommClosedError

from ipa.studies.many.bundle import LACKING, Bundle, VersionCheck, program, silenced, work
from ipa.studies.many.executor import CHUNK_S, Chunk, Done
from ipa.studies.many.making import Making
from ipa.studies.many.workers import AHEAD, interrupt_noted
from ipa.studies.scenario import WorkerError

CONNECT_S = 10
"""How long to wait for the scheduler, and for a worker's program versions [s]."""

SILENT_S = 10.0
"""A worker without a heartbeat for this long gets no runs; heartbeats should come about every second."""

ANSWER_S = 5.0
"""How long to wait for an answer of the scheduler, and for the results of a finished chunk."""

GIVEN_UP_S = 60.0
"""How long to wait for a scheduler that does not answer, such as one that was stopped, before the command ends [s]."""

LOOK_EVERY_S = 2.0
"""The interval between two looks at the list of workers."""

NAP_S = 0.02
"""The interval between two checks for a finished chunk or an interrupt."""

DEATHS = 4
"""A run is given up after this many workers have died over it."""

GONE = (CancelledError, CommClosedError, TimeoutError, OSError)
"""The exceptions if the scheduler cannot be reached: it loses the tasks, and they are cancelled here."""

LOST = "the Dask scheduler at {address} is gone"


@contextmanager
def connected(address: str, bundle: Bundle, say: Callable[[str], object]) -> Iterator[DaskCluster]:
    """The cluster whose scheduler is at HOST:PORT. Raises WorkerError as `runner.opened`."""
    with silenced("distributed"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about versions, which `VersionCheck` checks, and about the bundle's size
        try:
            client = Client(f"tcp://{address}", timeout=CONNECT_S, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise WorkerError(f"no Dask scheduler answers at {address}: {str(error) or 'timeout'}") from error
        # If a worker dies with an answer, the client leaves a failed task behind; asyncio must not report it.
        client.loop.asyncio_loop.set_exception_handler(lambda *_: None)
        try:
            versions = VersionCheck(say)
            with _read(address):
                programs = client.sync(_programs, client)
            for host, of_worker in programs.items():
                if isinstance(of_worker, GONE):
                    continue
                if isinstance(of_worker, BaseException):
                    raise WorkerError(f"worker {host}: {LACKING.format(error=of_worker)}")
                versions.check(host, of_worker)
            cluster = DaskCluster(client, address, bundle, versions)
            cluster.look()
            yield cluster
        finally:
            with suppress(*GONE):
                client.close(timeout=2)


async def _programs(client: Any) -> dict[str, Any]:
    """Each worker's program versions, or the exception raised when it was asked."""
    workers = list(await asyncio.wait_for(client.nthreads(), CONNECT_S))
    questions = (asyncio.wait_for(client.run(program, workers=[worker]), CONNECT_S) for worker in workers)
    answers = await asyncio.gather(*questions, return_exceptions=True)
    return {
        host: worker if isinstance(worker, BaseException) else worker[host]
        for host, worker in zip(workers, answers, strict=True)
    }


def _silence_s(dask_scheduler: Any) -> dict[str, float]:
    """The time since each worker's last heartbeat [s]; runs at the scheduler."""
    now_s = time()
    return {address: now_s - worker.last_seen for address, worker in dask_scheduler.workers.items()}


@contextmanager
def _read(address: str) -> Iterator[None]:
    """Turn errors between here, the scheduler and the workers into a WorkerError of one sentence."""
    try:
        yield
    except GONE:
        raise WorkerError(LOST.format(address=address)) from None
    except (ImportError, AttributeError) as error:
        raise WorkerError(LACKING.format(error=error)) from error
    except RuntimeError as error:
        if "deserialization" in str(error):
            raise WorkerError(LACKING.format(error=f"at the scheduler: {error.__cause__ or error}")) from error
        raise


@dataclass
class DaskCluster:
    """An executor while the client is connected.

    It assigns chunks to named workers, so that it can take them back: a task that the scheduler gives to a stopped
    worker would stay there until the scheduler's own timeout, five minutes by default.
    """

    _client: Any
    _address: str
    _bundle: Bundle
    _versions: VersionCheck
    _held: dict[str, dict[Any, Chunk]] = field(default_factory=dict)  # worker -> its chunks by future, in order
    _packed: dict[str, Any] = field(default_factory=dict)  # worker -> the bundle there
    _again: deque[Chunk] = field(default_factory=deque)
    _over: Counter[str] = field(default_factory=Counter)  # run -> the number of workers that died over it
    _looked_s: float = -inf
    _silent: Set[str] = frozenset()
    _answered_s: float = field(default_factory=monotonic)  # when the scheduler last answered
    _waits: bool = False  # whether it has been said that it does not answer
    _ahead: int = AHEAD

    @property
    def where(self) -> str:
        return f"{self.workers} workers of the Dask cluster at {self._address}"

    @property
    def workers(self) -> int:
        return max(1, len(self._held))

    def look(self) -> list[Done]:
        """Add the workers with a heartbeat, and take back the chunks of all others; returns the runs given up."""
        self._looked_s, is_first, had = monotonic(), self._looked_s == -inf, bool(self._held)
        if self._client.status != "running":
            raise WorkerError(LOST.format(address=self._address))
        try:
            silence_s = self._answered(self._client.run_on_scheduler, _silence_s)
        except TimeoutError:
            silent_s = monotonic() - self._answered_s
            if silent_s > GIVEN_UP_S:
                raise WorkerError(
                    f"the Dask scheduler at {self._address} has not answered for {silent_s:.0f} s"
                ) from None
            if not self._waits:
                wait = f"the runs wait up to {GIVEN_UP_S:.0f} s for it"
                self._versions.say(f"The Dask scheduler at {self._address} does not answer; {wait}")
            self._waits = True
            return []
        self._answered_s, self._waits = monotonic(), False
        given_up = []
        for address in [known_address for known_address in self._held if silence_s.get(known_address, inf) > SILENT_S]:
            chunks_of_worker, _ = self._held.pop(address), self._packed.pop(address)
            with suppress(TimeoutError):
                self._answered(self._client.cancel, list(chunks_of_worker))
            chunks = list(chunks_of_worker.values())
            if address not in silence_s and chunks:
                self._versions.say(f"Worker {address} has died; its runs go to others")
                given_up += self._died_over(chunks.pop(0))
            self._again += chunks
        for address, for_s in silence_s.items():
            if for_s > SILENT_S and address not in self._silent:
                self._versions.say(f"Worker {address} has not been heard of for {for_s:.0f} s; its runs go to others")
            elif for_s <= SILENT_S and address not in self._held:
                self._held[address] = {}
                with _read(self._address):  # a task, so that it is repeated if the worker comes back without it
                    self._packed[address] = self._submit(address, _itself, self._bundle)
        self._silent = silence_s.keys() - self._held.keys()
        if not self._held and (had or is_first):
            self._versions.say(f"The Dask cluster at {self._address} has no worker that answers; the runs wait for one")
        return given_up

    def _answered(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """The scheduler's answer. Raises TimeoutError after `ANSWER_S`, so that an interrupt need not wait longer."""

        async def answered() -> Any:
            return await asyncio.wait_for(call(*arguments), ANSWER_S)

        try:
            return self._client.sync(answered)
        except TimeoutError:
            raise
        except GONE:
            raise WorkerError(LOST.format(address=self._address)) from None

    def _died_over(self, chunk: Chunk) -> list[Done]:
        """Queue the runs again, each alone; returns a run over which too many workers have died as failed."""
        if len(chunk) > 1:
            self._again += [[run_alone] for run_alone in chunk]
            return []
        (run,) = chunk
        self._over[run.key] += 1
        if self._over[run.key] < DEATHS:
            self._again.append(chunk)
            return []
        return [Done([(run.key, f"{DEATHS} workers died over this run (out of memory?)")], 0.0)]

    def _submit(self, address: str, *call: Any) -> Any:
        return self._client.submit(*call, workers=[address], pure=False)

    def make(self, making: Making, chunks: Iterable[Chunk], keep: Callable[[Done], object]) -> None:
        """As `Executor.make`; an interrupt abandons the running chunks and keeps the finished ones."""
        waiting = iter(chunks)
        if (first := next(waiting, None)) is None:
            return
        waiting = chain([first], waiting)
        with _read(self._address):
            ended = as_completed(loop=self._client.loop)
        with interrupt_noted() as is_interrupted:
            while not is_interrupted():
                if monotonic() >= self._looked_s + LOOK_EVERY_S:
                    for done in self.look():
                        keep(done)
                is_out = self._hand_out(making, waiting, ended)
                if is_out and not any(self._held.values()):
                    return
                if not ended.has_ready():
                    sleep(NAP_S)
                    continue
                self._take_in(next(ended), keep)
            with suppress(*GONE):
                for future in [
                    future_held
                    for chunks_of_worker in self._held.values()
                    for future_held in chunks_of_worker
                    if future_held.status == "finished"
                ]:
                    keep(self._versions.passed(future.result(timeout=1)))
            raise KeyboardInterrupt

    def _hand_out(self, making: Making, waiting: Iterator[Chunk], ended: Any) -> bool:
        """Give each worker as many chunks as it may hold; returns whether none are left."""
        for place in range(self._ahead):  # every worker gets a first chunk before any gets a second
            for address, chunks_of_worker in self._held.items():
                if len(chunks_of_worker) > place:
                    continue
                chunk = self._again.popleft() if self._again else next(waiting, None)
                if chunk is None:
                    return True
                with _read(self._address):
                    future = self._submit(address, work, self._packed[address], making, chunk)
                    ended.add(future)
                chunks_of_worker[future] = chunk
        return False

    def _take_in(self, future: Any, keep: Callable[[Done], object]) -> None:
        """Keep the results of a finished chunk, unless it has been taken back."""
        chunk = next(
            (chunks_of_worker.pop(future) for chunks_of_worker in self._held.values() if future in chunks_of_worker),
            None,
        )
        if chunk is None:
            return
        try:
            with _read(self._address):
                try:
                    answer = future.result(timeout=ANSWER_S)
                except TimeoutError:  # its worker has ended or stopped before sending the answer
                    self._again.append(chunk)
                    return
        except KilledWorker:
            for done in self._died_over(chunk):
                keep(done)
            return
        self._ahead = AHEAD if answer.done.took_s < 2 * CHUNK_S else 1  # no queues of long runs at the end
        keep(self._versions.passed(answer))


def _itself(bundle: Bundle) -> Bundle:
    return bundle
