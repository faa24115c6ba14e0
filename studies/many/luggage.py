"""What runs need besides their scenarios: the files that these name, and the windows of the real trace.

It travels to a cluster once. A worker unpacks it into a folder of its own, and runs the scenarios with the names that
the files have there; in what comes of the runs the names are as they were.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from atexit import register
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from ipa.studies.many.asked import Asked
from ipa.studies.many.outcome import Outcome
from ipa.studies.many.runner import Done
from ipa.studies.runs.results import names_in
from ipa.studies.scenario import REAL, Scenario, find_trace
from ipa.traces import Trace


@dataclass(frozen=True)
class Luggage:
    """The content of files by the names that scenarios give them, and loads by their names; sha256 of all that."""

    files: Mapping[str, bytes]
    loads: Mapping[str, Trace]
    digest: str

    @classmethod
    def of(cls, scenarios: Iterable[Scenario]) -> Luggage:
        """What these scenarios need, from this machine. Raises TraceError for a real trace that is not there."""
        names: dict[str, None] = {}
        loads: dict[str, None] = {}
        for scenario in scenarios:
            names.update(names_in(scenario))
            loads[scenario.trace] = None
        content = {name: Path(name).read_bytes() for name in names if Path(name).is_file()}
        traces = {name: find_trace(name, 1) for name in loads if name.startswith(REAL)}
        sha = sha256()
        for name, each in sorted(content.items()):
            sha.update(f"{name} {len(each)}\n".encode() + each)
        for name, trace in sorted(traces.items()):
            sha.update(f"{name} {trace.digest}\n".encode())
        return cls(content, traces, sha.hexdigest())


class Unpacked:
    """The files of a piece of luggage in a folder of this process, which goes with it."""

    def __init__(self, luggage: Luggage) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ipa-luggage-"))
        register(shutil.rmtree, self._folder, ignore_errors=True)
        self._there: dict[str, str] = {}
        for number, (name, content) in enumerate(luggage.files.items()):
            path = self._folder / f"{number}" / Path(name).name
            path.parent.mkdir()
            path.write_bytes(content)
            self._there[name] = str(path)
        self._names = _either(self._there)
        self._back = {path: name for name, path in self._there.items()}
        self._paths = _either(self._back)

    def renamed(self, asked: Asked) -> Asked:
        """The same run with the names that the files have here."""
        return Asked(asked.key, self._over(asked.data, self._names, self._there)) if self._there else asked

    def returned(self, done: Done) -> Done:
        """What came of runs, with the names that the files have where the runs were asked for."""
        if not self._there:
            return done
        return Done([(key, self._as_asked(outcome)) for key, outcome in done.ended], done.took_s)

    def _as_asked(self, outcome: Outcome | str) -> Outcome | str:
        if isinstance(outcome, str):
            as_path = {path: str(Path(name)) for path, name in self._back.items()}  # as errors print it
            return str(self._over(outcome, self._paths, as_path))
        summary = self._over(outcome.summary, self._paths, self._back)
        return replace(outcome, summary=summary)

    def _over(self, value: Any, names: re.Pattern[str], there: Mapping[str, str]) -> Any:
        if isinstance(value, str):
            return names.sub(lambda found: there[found.group()], value)
        if isinstance(value, Mapping):
            return {key: self._over(each, names, there) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._over(each, names, there) for each in value]
        return value


def _either(names: Iterable[str]) -> re.Pattern[str]:
    """Finds each of the names where it stands alone, not as a part of a longer one."""
    words = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<![\w./-])(?:{words})(?![\w/-]|\.\w)")
