"""What a worker of a cluster does with a chunk, and what it says of the program that it has."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from platform import node
from typing import Any

from ipa.studies.many.child import Child
from ipa.studies.many.luggage import Luggage, Unpacked
from ipa.studies.many.runner import Chunk, Done, Kept
from ipa.studies.runs.results import versions
from ipa.studies.scenario import WorkerError

OURS = ("ipa-pipelines", "source")
"""What must be the same here and there; the versions of libraries may differ, and it is said."""

_ALONE = threading.Lock()
"""A worker may have several threads; runs take turns, as they need the interpreter all the time."""


@dataclass(frozen=True)
class Answer:
    """A chunk that a worker has made, its machine, and the versions of the program and the libraries there."""

    host: str
    versions: Mapping[str, str | None]
    done: Done


def work(luggage: Luggage, kept: Kept, chunk: Chunk) -> Answer:
    """Make the runs of a chunk with what has come along, in a process of their own."""
    with _ALONE:
        unpacked, child = _opened(luggage, kept)
        done = child.make([unpacked.renamed(each) for each in chunk])
        return Answer(node(), program(), unpacked.returned(done))


@cache
def program() -> dict[str, str | None]:
    """The versions here: of Python, of this program and its source, of the libraries."""
    found: dict[str, Any] = versions()
    return {"python": found["python"], **found["versions"]}


_OPEN: dict[tuple[str, Kept], tuple[Unpacked, Child]] = {}


def _opened(luggage: Luggage, kept: Kept) -> tuple[Unpacked, Child]:
    """The luggage on this worker, unpacked when it is first needed, and a process for its runs; the last ones stay."""
    here = (luggage.digest, kept)
    if here not in _OPEN:
        for _, child in _OPEN.values():
            child.close()
        _OPEN.clear()
        _OPEN[here] = (Unpacked(luggage), Child(kept, luggage.loads))
    return _OPEN[here]


@dataclass
class Customs:
    """Checks what programs the workers have, as their answers come."""

    say: Callable[[str], object]
    _said: set[str] = field(default_factory=set)

    def passed(self, answer: Answer) -> Done:
        """The runs of an answer. Raises WorkerError where the worker has another version of this program."""
        self.check(answer.host, answer.versions)
        return answer.done

    def check(self, host: str, theirs: Mapping[str, str | None]) -> None:
        """As `passed`, of the versions alone; a library's is only told, once for each machine."""
        here = program()
        differ = [name for name in {**here, **theirs} if here.get(name) != theirs.get(name)]
        if any(name in OURS for name in differ):
            there, ours = ({name: each.get(name) for name in OURS} for each in (theirs, here))
            raise WorkerError(
                f"worker {host} has ipa-pipelines {_named(there)}, this machine has {_named(ours)}: install the same "
                "version there"
            )
        if differ and host not in self._said:
            self._said.add(host)
            words = ", ".join(f"{name} {theirs.get(name)} (here {here.get(name)})" for name in differ)
            self.say(f"Worker {host} has {words}: figures may differ in the last digits")


def _named(program: Mapping[str, str | None]) -> str:
    return f"{program['ipa-pipelines']} (source {str(program['source'])[:8]})"


@contextmanager
def silenced(library: str) -> Iterator[None]:
    """Within it a library logs nothing: what matters is said in an error of ours."""
    names = [library, *(name for name in logging.root.manager.loggerDict if name.startswith(f"{library}."))]
    talking = [logger for logger in map(logging.getLogger, names) if not logger.disabled]
    for logger in talking:  # each: some have levels and handlers of their own
        logger.disabled = True
    try:
        yield
    finally:
        for logger in talking:
            logger.disabled = False


LACKING = "the workers lack a part of this program ({error}): install the same version of ipa-pipelines there"
"""What is said where a worker cannot even read a task."""
