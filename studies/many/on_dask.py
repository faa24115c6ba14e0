"""On a Dask cluster that is there: chunks are its tasks; a chunk whose worker dies goes to another one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from time import monotonic, sleep
from typing import Any

from distributed import Client, KilledWorker, as_completed
from distributed.comm import CommClosedError

from ipa.studies.errors import WorkerError
from ipa.studies.many.luggage import Luggage
from ipa.studies.many.remote import LACKING, Customs, program, silenced, work
from ipa.studies.many.runner import Chunk, Done, Kept
from ipa.studies.workers import AHEAD, interrupt_noted

CONNECT_S = 10
"""How long to wait for the scheduler."""

COUNT_EVERY_S = 5.0
"""How often workers are counted, which may come and go."""

LOOK_S = 0.02
"""How long to wait before looking again whether a chunk has ended, or an interrupt has come."""

GONE = (CancelledError, CommClosedError, TimeoutError, OSError)
"""What is raised once the scheduler cannot be reached: it forgets the tasks, and they are cancelled here."""

LOST = "the Dask scheduler at {address} is gone"


@contextmanager
def connected(address: str, luggage: Luggage, say: Callable[[str], object]) -> Iterator[Cluster]:
    """The cluster whose scheduler is at HOST:PORT. Raises WorkerError as `places.opened`."""
    with silenced("distributed"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other versions, which `Customs` says; of the luggage's size
        try:
            client = Client(f"tcp://{address}", timeout=CONNECT_S, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise WorkerError(f"no Dask scheduler answers at {address}: {str(error) or 'timeout'}") from error
        try:
            customs = Customs(say)
            with _read(address):
                programs: dict[str, Any] = client.run(program, on_error="return")
            for host, theirs in programs.items():
                if isinstance(theirs, Exception):
                    raise WorkerError(f"worker {host}: {LACKING.format(error=theirs)}")
                customs.check(host, theirs)
            if not programs:
                say(f"The Dask scheduler at {address} has no workers yet; the runs wait for one")
            yield Cluster(client, address, luggage, customs)
        finally:
            with suppress(*GONE):
                client.close(timeout=2)


@contextmanager
def _read(address: str) -> Iterator[None]:
    """Answers what goes wrong between here, the scheduler and the workers with one sentence."""
    try:
        yield
    except KilledWorker as error:
        raise WorkerError(f"several workers were killed over one chunk of runs (out of memory?): {error}") from None
    except GONE:
        raise WorkerError(LOST.format(address=address)) from None
    except (ImportError, AttributeError) as error:
        raise WorkerError(LACKING.format(error=error)) from error
    except RuntimeError as error:
        if "deserialization" in str(error):
            raise WorkerError(LACKING.format(error=f"at the scheduler: {error.__cause__ or error}")) from error
        raise


@dataclass
class Cluster:
    """A place, as long as the client is connected."""

    _client: Any
    _address: str
    _luggage: Luggage
    _customs: Customs
    _counted: tuple[float, int] = (float("-inf"), 0)

    @property
    def where(self) -> str:
        return f"{self.workers} workers of the Dask cluster at {self._address}"

    @property
    def workers(self) -> int:
        counted_s, count = self._counted
        if monotonic() >= counted_s + COUNT_EVERY_S:
            with _read(self._address):
                count = len(self._client.nthreads())
            self._counted = (monotonic(), count)
        return max(1, count)

    def make(self, kept: Kept, chunks: Iterable[Chunk], keep: Callable[[Done], object]) -> None:
        """As `Place.make`: an interrupt gives up the chunks under way, and keeps those that are done."""
        waiting = iter(chunks)
        under_way: set[Any] = set()
        with _read(self._address):
            # A task, so that it is made again should the worker that holds it die.
            luggage = self._client.submit(_itself, self._luggage, pure=False)
            ended = as_completed(loop=self._client.loop)
        with interrupt_noted() as is_interrupted:
            while not is_interrupted():
                for chunk in islice(waiting, max(0, AHEAD * self.workers - len(under_way))):
                    with _read(self._address):
                        future = self._client.submit(work, luggage, kept, chunk, pure=False)
                        under_way.add(future)
                        ended.add(future)
                if not under_way:
                    return
                if not ended.has_ready():
                    sleep(LOOK_S)
                    continue
                with _read(self._address):
                    future = next(ended)
                    answer = future.result()
                under_way.discard(future)
                keep(self._customs.passed(answer))
            for future in under_way:
                if future.status == "finished":
                    keep(self._customs.passed(future.result(timeout=CONNECT_S)))
            raise KeyboardInterrupt


def _itself(luggage: Luggage) -> Luggage:
    return luggage
