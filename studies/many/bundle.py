"""The bundle: what runs need besides their scenarios, which is the files that these name and windows of the real trace.

It is sent to a cluster once. A worker unpacks it into a temporary folder and runs the scenarios with the files' names
there; results have the original names.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import threading
from atexit import register
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from platform import node
from typing import Any

from ipa.studies.many.child import Child
from ipa.studies.many.executor import Chunk, Done, make_apart
from ipa.studies.many.making import Making
from ipa.studies.many.outcome import FinishedRun
from ipa.studies.many.plan import PlannedRun
from ipa.studies.runs import Content, Renaming, content_of, digest_of, names_in
from ipa.studies.runs.results import MANIFEST, as_json, versions, write_files
from ipa.studies.scenario import Scenario, WorkerError, find_trace
from ipa.traces import Trace, is_of_real_trace


@dataclass(frozen=True)
class Bundle:
    """The content of files by their names in scenarios, loads by name, and the sha256 of all."""

    files: Mapping[str, Content]
    loads: Mapping[str, Trace]
    digest: str

    @classmethod
    def of(cls, scenarios: Iterable[Scenario]) -> Bundle:
        """The bundle of these scenarios, from this machine. Raises TraceError if the real trace is missing."""
        names: dict[str, None] = {}
        loads: dict[str, None] = {}
        for scenario in scenarios:
            names.update(dict.fromkeys(names_in(scenario)))
            loads[scenario.trace] = None
        content = {name: content_of(name) if name not in loads else _log(name) for name in names}
        traces = {name: find_trace(name, 1) for name in loads if is_of_real_trace(name)}
        sha = sha256()
        for name, file in sorted(content.items()):
            sha.update(f"{name} {digest_of(file)}\n".encode())
        for name, trace in sorted(traces.items()):
            sha.update(f"{name} {trace.digest}\n".encode())
        return cls(content, traces, sha.hexdigest())


def _log(name: str) -> Content:
    path = Path(name)
    return {path.name: path.read_bytes()}


class Unpacked:
    """The files of a bundle in a temporary folder, which is removed when this process ends."""

    def __init__(self, bundle: Bundle) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ipa-bundle-"))
        register(shutil.rmtree, self._folder, ignore_errors=True)
        places: dict[str, str] = {}
        for number, (name, content) in enumerate(bundle.files.items()):
            place = self._folder / f"{number}"
            write_files(content, place)
            places[name] = str(place / next(iter(content)))
        self._there = Renaming(places)
        self._back = Renaming({path: name for name, path in places.items()})
        self._as_printed = Renaming({path: str(Path(name)) for name, path in places.items()})

    def renamed(self, planned: PlannedRun) -> PlannedRun:
        """The same run with the files' names here."""
        return planned._replace(data=self._there.over(planned.data), judge=self._there.over(planned.judge))

    def returned(self, done: Done) -> Done:
        """The results of runs with the files' original names."""
        return Done([(key, self._as_asked(outcome)) for key, outcome in done.ended], done.took_s)

    def _as_asked(self, outcome: FinishedRun | str) -> FinishedRun | str:
        if isinstance(outcome, str):
            return str(self._as_printed.over(outcome))
        files = dict(outcome.files)
        if (manifest := files.get(MANIFEST)) is not None:
            files[MANIFEST] = as_json(self._back.over(json.loads(manifest))).encode()
        return FinishedRun(self._back.over(outcome.summary), files)


# The work of a cluster's worker on a chunk, and the version of its program.


OURS = ("ipa-pipelines", "source")
"""The versions that must be equal here and on workers; those of libraries may differ, which is reported."""

_ALONE = threading.Lock()
"""Lets the runs of a worker's threads take turns, as they are bound to the interpreter."""


@dataclass(frozen=True)
class ChunkAnswer:
    """A finished chunk, the worker's machine, and the versions of the program and libraries there."""

    host: str
    versions: Mapping[str, str | None]
    done: Done


def work(bundle: Bundle, making: Making, chunk: Chunk) -> ChunkAnswer:
    """Make the runs of a chunk with its bundle, in a separate process."""
    with _ALONE:
        unpacked, child = _opened(bundle)
        done = make_apart(child, making, [unpacked.renamed(run) for run in chunk])
        return ChunkAnswer(node(), program(), unpacked.returned(done))


@cache
def program() -> dict[str, str | None]:
    """The versions here of Python, of this program and its source, and of libraries."""
    own: dict[str, Any] = versions()
    return {"python": own["python"], **own["versions"]}


_OPEN: dict[str, tuple[Unpacked, Child]] = {}


def _opened(bundle: Bundle) -> tuple[Unpacked, Child]:
    """The bundle unpacked on this worker, and a process for its runs; those of the latest call are kept."""
    if bundle.digest not in _OPEN:
        _close()
        _OPEN[bundle.digest] = (Unpacked(bundle), Child(bundle.loads))
    return _OPEN[bundle.digest]


@register
def _close() -> None:
    """End the process that is kept: before another takes its place, and with the worker."""
    for _, child in _OPEN.values():
        child.close()
    _OPEN.clear()


@dataclass
class VersionCheck:
    """Checks the workers' program versions as their answers come."""

    say: Callable[[str], object]
    _said: set[str] = field(default_factory=set)

    def passed(self, answer: ChunkAnswer) -> Done:
        """The runs of an answer. Raises WorkerError if the worker has another version of this program."""
        self.check(answer.host, answer.versions)
        return answer.done

    def check(self, host: str, of_worker: Mapping[str, str | None]) -> None:
        """As `passed`, for the versions alone; a different library version is only reported, once for each machine."""
        here = program()
        differ = [name for name in {**here, **of_worker} if here.get(name) != of_worker.get(name)]
        if any(name in OURS for name in differ):
            of_there, of_here = (
                {name: versions_there.get(name) for name in OURS} for versions_there in (of_worker, here)
            )
            raise WorkerError(
                f"worker {host} has ipa-pipelines {_named(of_there)}, this machine has {_named(of_here)}: install the "
                "same version there"
            )
        if differ and host not in self._said:
            self._said.add(host)
            words = ", ".join(f"{name} {of_worker.get(name)} (here {here.get(name)})" for name in differ)
            self.say(f"Worker {host} has {words}: figures may differ in the last digits")


def _named(program: Mapping[str, str | None]) -> str:
    return f"{program['ipa-pipelines']} (source {str(program['source'])[:8]})"


@contextmanager
def silenced(library: str) -> Iterator[None]:
    """A context in which a library logs nothing: our own errors say what matters."""
    names = [library, *(name for name in logging.root.manager.loggerDict if name.startswith(f"{library}."))]
    talking = [logger for logger in map(logging.getLogger, names) if not logger.disabled]
    for logger in talking:  # each one, as some have levels and handlers of their own
        logger.disabled = True
    try:
        yield
    finally:
        for logger in talking:
            logger.disabled = False


LACKING = "the workers lack a part of this program ({error}): install the same version of ipa-pipelines there"
"""The error text for a worker that cannot read a task."""
