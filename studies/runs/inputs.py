"""What runs read: the pipeline's and the policy's own files as they were, and the digests of logs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ipa import profiles
from ipa.policies import split_spec
from ipa.studies.scenario import POLICY_FILES, Scenario, find_trace, is_log
from ipa.traces import Trace, is_of_real_trace

Content = Mapping[str, bytes]
"""A file and those that belong to it, by the names of the files; the file itself is the first."""


@dataclass(frozen=True)
class Inputs:
    """The content of files and the sha256 of loads, by their names in scenarios. Shipped files and synthetic loads are
    none: they come with this program."""

    files: Mapping[str, Content] = field(default_factory=dict, repr=False)
    loads: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, scenarios: Iterable[Scenario]) -> Inputs:
        """The inputs of scenarios, read now. Raises ProfileError, TraceError or OSError if one cannot be read."""
        files: dict[str, Content] = {}
        loads: dict[str, str] = {}
        for scenario in scenarios:
            if scenario.trace not in loads and has_digest(scenario.trace):
                loads[scenario.trace] = find_trace(scenario.trace, 1, scenario.read).sha256
            files |= {name: content_of(name) for name in files_in(scenario) if name not in files}
        return cls(files, loads)

    @classmethod
    def of_run(cls, scenario: Scenario, trace: Trace) -> Inputs:
        """The inputs of a scenario whose trace has been read. Raises ProfileError or OSError."""
        loads = {scenario.trace: trace.sha256} if has_digest(scenario.trace) else {}
        return cls({name: content_of(name) for name in files_in(scenario)}, loads)

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of every file, those of logs included, by its name."""
        logs = {name: digest for name, digest in self.loads.items() if Path(name).is_file()}
        return {**{name: digest_of(content) for name, content in self.files.items()}, **logs}


def has_digest(trace: str) -> bool:
    """Whether a load is a log that can be read again: a file, or a window of the real trace."""
    return is_log(trace) and (is_of_real_trace(trace) or Path(trace).is_file())


def names_in(scenario: Scenario) -> list[str]:
    """The files of its own that a scenario names: its pipeline's, its policy's, and its load's."""
    is_file = has_digest(scenario.trace) and not is_of_real_trace(scenario.trace)
    return [*files_in(scenario), *([scenario.trace] if is_file else [])]


def files_in(scenario: Scenario) -> list[str]:
    """As `names_in`, without the load."""
    own = [scenario.pipeline] if scenario.pipeline not in profiles.names() else []
    policy = scenario.policy
    texts = [*_texts(policy.parameters), *_texts(list(split_spec(policy.name)))]
    ends = (end for text in texts for end in (text, text.rpartition(":")[0]))
    candidates = [end for end in ends if end.endswith(POLICY_FILES)]
    return [name for name in dict.fromkeys([*own, *candidates]) if Path(name).is_file()]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


def content_of(name: str) -> Content:
    """A file that a scenario names: a pipeline's with the numbers of other files in it.

    Raises ProfileError or OSError if it cannot be read.
    """
    path = Path(name)
    if not name.endswith(POLICY_FILES):
        return {path.name: profiles.text(name).encode()}
    return {path.name: path.read_bytes()}


def digest_of(content: Content) -> str:
    """sha256 of a file and those that belong to it."""
    return hashlib.sha256(b"".join(content.values())).hexdigest()


def digests_of(scenario: Scenario) -> dict[str, str]:
    """The sha256 now of every file that a scenario names, by its name. Raises as `content_of`."""
    files = {name: digest_of(content_of(name)) for name in files_in(scenario)}
    return files | {name: file_sha256(Path(name)) for name in names_in(scenario) if name not in files}


def file_sha256(path: Path) -> str:
    """sha256 of a file of any size. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Renaming:
    """Other names for files, in texts, lists and mappings of a scenario: `my.py` in `my.py:Policy` too."""

    names: Mapping[str, str]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Each of the names as a whole, not as a part of a longer one."""
        words = "|".join(re.escape(name) for name in sorted(self.names, key=len, reverse=True))
        return re.compile(rf"(?<![\w./-])(?:{words})(?![\w/-]|\.\w)")

    def over(self, value: Any) -> Any:
        """The value with the other names."""
        if not self.names:
            return value
        if isinstance(value, str):
            return self._pattern.sub(lambda name: self.names[name.group()], value)
        if isinstance(value, Mapping):
            return {self.over(key): self.over(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.over(item) for item in value]
        return value
