"""On a Ray cluster that is there: chunks are its tasks; a chunk whose worker dies goes to another one."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import ray
from grpc import RpcError
from ray import exceptions

from ipa.studies.errors import WorkerError
from ipa.studies.many.luggage import Luggage
from ipa.studies.many.remote import LACKING, Customs, silence_threads, silenced, work
from ipa.studies.many.runner import Chunk, Done, Kept
from ipa.studies.workers import AHEAD, interrupt_noted

ATTEMPTS = 3
"""How often to ask a cluster that answers: for each client Ray forks a process off one that has threads, and now and
then that process does not live."""

CLOSED = "closed channel"
"""In what gRPC says, as a ValueError, of a message that comes after a connection was given up."""

NOBODY = "connection timeout"
"""In what Ray says where nobody answers."""

WAIT_S = 1.0
"""How long to wait for a chunk before looking whether workers have come or gone, or an interrupt has come."""


@contextmanager
def connected(address: str, luggage: Luggage, say: Callable[[str], object]) -> Iterator[Cluster]:
    """The cluster whose client server is at HOST:PORT. Raises WorkerError as `places.opened`."""
    with silenced("ray"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is said in an error of ours, such as that the cluster is gone
        context, held = _opened(address, luggage)
        try:
            with silenced("ray"), context:  # once more, as some of it was imported just now
                yield Cluster(address, held, Customs(say))
        finally:
            with suppress(Exception):
                context.disconnect()


def _opened(address: str, luggage: Luggage) -> tuple[Any, Any]:
    """A connection, and the luggage on the cluster; tried again where its server for this client does not live."""
    _silence_threads()
    left = ATTEMPTS
    while True:
        left -= 1
        try:
            context = ray.init(
                f"ray://{address}", allow_multiple=True, log_to_driver=False, logging_level=logging.CRITICAL
            )
            try:
                with context:
                    return context, ray.put(luggage)
            except BaseException:
                with suppress(Exception):
                    context.disconnect()
                raise
        except (ConnectionError, RuntimeError, OSError) as error:
            if not left or not isinstance(error, ConnectionError) or NOBODY in str(error):
                raise WorkerError(f"no Ray cluster answers at {address}: {error}") from error


@cache
def _silence_threads() -> None:
    silence_threads("grpc", "ray")


@contextmanager
def _read(address: str) -> Iterator[None]:
    """Answers what goes wrong between here and the workers with one sentence."""
    try:
        yield
    except exceptions.WorkerCrashedError as error:
        raise WorkerError(f"several workers were killed over one chunk of runs (out of memory?): {error}") from None
    except exceptions.RayTaskError as error:
        raise WorkerError(LACKING.format(error=error.cause)) from error
    except (ConnectionError, RpcError, exceptions.RaySystemError):
        raise WorkerError(f"the Ray cluster at {address} is gone") from None
    except ValueError as error:
        if CLOSED not in str(error):
            raise
        raise WorkerError(f"the Ray cluster at {address} is gone") from None


@dataclass
class Cluster:
    """A place, as long as the client is connected."""

    _address: str
    _luggage: Any
    _customs: Customs

    @property
    def where(self) -> str:
        return f"{self.workers} workers of the Ray cluster at {self._address}"

    @property
    def workers(self) -> int:
        with _read(self._address):
            return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def make(self, kept: Kept, chunks: Iterable[Chunk], keep: Callable[[Done], object]) -> None:
        """As `Place.make`: an interrupt gives up the chunks under way, and keeps those that are done."""
        task = ray.remote(work)
        waiting = iter(chunks)
        under_way: list[Any] = []
        with interrupt_noted() as is_interrupted:
            while not is_interrupted():
                for chunk in islice(waiting, max(0, AHEAD * self.workers - len(under_way))):
                    with _read(self._address):
                        under_way.append(task.remote(self._luggage, kept, chunk))
                if not under_way:
                    return
                self._keep_done(under_way, keep, 1, WAIT_S)
            if under_way:
                self._keep_done(under_way, keep, len(under_way), 0.0)
            raise KeyboardInterrupt

    def _keep_done(self, under_way: list[Any], keep: Callable[[Done], object], most: int, wait_s: float) -> None:
        """Keep the chunks that are done, or are so within `wait_s`: at most so many."""
        with _read(self._address):
            ended, _ = ray.wait(under_way, num_returns=most, timeout=wait_s)
            answers = [ray.get(each) for each in ended]
        for each, answer in zip(ended, answers, strict=True):
            under_way.remove(each)
            keep(self._customs.passed(answer))
