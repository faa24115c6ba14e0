"""What runs have read, kept with their results, so that they can be run again after it has changed.

A results folder has copies of the pipeline and policy files in `inputs/`, and of logs the sha256 and where they were.
Read back, a scenario has each file under its own name if that still is what the run read, else under that of the
copy; and `trace_sha256` makes a run refuse a log that has changed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ipa.profiles import ProfileError
from ipa.studies.runs.inputs import Inputs, Renaming, content_of, digest_of, file_sha256
from ipa.studies.runs.results.atomic import write_files
from ipa.studies.runs.results.manifest import MANIFEST, read_manifest
from ipa.studies.scenario import LONGEST_LABEL, PolicyChoice, Scenario, ScenarioError

INPUTS = "inputs"
"""The folder of the copies."""


def keep(inputs: Inputs, folder: Path) -> dict[str, Any]:
    """Copy the files of inputs into `inputs` of the results folder; returns the manifest's entry.

    Places are relative to the results folder. Raises ScenarioError if a copy cannot be written.
    """
    files = {}
    for name, content in inputs.files.items():
        digest = digest_of(content)
        place = folder / INPUTS / digest[:8]
        if not all((place / part).is_file() for part in content):
            write_files(content, place)
        files[name] = {"sha256": digest, "place": _relative(place / next(iter(content)), folder)}
    loads = {
        name: {"sha256": digest, **({"place": _relative(Path(name), folder)} if Path(name).is_file() else {})}
        for name, digest in inputs.loads.items()
    }
    return {"files": files, "loads": loads}


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())


@dataclass(frozen=True)
class KeptInputs:
    """What the runs of a results folder have read: for each name in their scenarios the sha256, and the place."""

    folder: Path
    files: Mapping[str, Mapping[str, str]]
    loads: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, manifest: Mapping[str, Any], folder: Path) -> KeptInputs:
        """What a folder's manifest says. Raises ScenarioError if it is malformed."""
        try:
            inputs = manifest["inputs"]
            files, loads = ({name: _texts(parts) for name, parts in inputs[key].items()} for key in ("files", "loads"))
        except (AttributeError, KeyError, TypeError):
            raise ScenarioError(
                f"{folder / MANIFEST}: the key 'inputs' should hold the files and loads that were read"
            ) from None
        return cls(folder, files, loads)

    @cached_property
    def changed(self) -> Mapping[str, str]:
        """The names of files that are no longer what the runs read -> their copies."""
        return {name: str(self._place(entry)) for name, entry in self.files.items() if _now(name) != entry["sha256"]}

    @cached_property
    def _moved(self) -> Mapping[str, str]:
        """The names of logs that are not there, or are others -> where they were."""
        loads = self.loads.items()
        placed = {name: entry for name, entry in loads if "place" in entry and self._place(entry).is_file()}
        return {
            name: str(self._place(entry))
            for name, entry in placed.items()
            if not Path(name).is_file() or not (Path(name).samefile(self._place(entry)) or _is(name, entry["sha256"]))
        }

    def _place(self, entry: Mapping[str, str]) -> Path:
        return Path(os.path.normpath(self.folder / entry["place"]))

    def scenario(self, scenario: Scenario) -> Scenario:
        """A scenario of these runs, to be run again: with the files that they have read, and the digests of logs."""
        digests = {self._moved.get(name, name): entry["sha256"] for name, entry in self.loads.items()}
        pinned = scenario.model_copy(update={"trace_sha256": {**scenario.trace_sha256, **digests}})
        return pinned if not (self.changed or self._moved) else self._renamed(pinned)

    def inputs(self) -> Inputs:
        """What the runs have read, from the copies. Raises OSError if one is missing."""
        places = {name: self._place(entry) for name, entry in self.files.items()}
        files = {
            name: {file.name: file.read_bytes() for file in (place, *sorted(set(place.parent.iterdir()) - {place}))}
            for name, place in places.items()
        }
        return Inputs(files, {name: entry["sha256"] for name, entry in self.loads.items()})

    def points(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        """The manifest of a sweep with the names of copies, and of logs that were moved, in the values that it
        varies."""
        if not (self.changed or self._moved):
            return manifest
        names = Renaming({**self.changed, **self._moved})
        varied = {key: names.over(manifest.get(key)) for key in ("vary", "where")}
        for axis, before in zip(varied["vary"], manifest["vary"], strict=True):
            if axis["key"] == "policy":
                pairs = zip(axis["values"], before["values"], strict=True)
                axis["values"] = [_titled(value, then) for value, then in pairs]
        return {**manifest, **varied}

    def _renamed(self, scenario: Scenario) -> Scenario:
        """The scenario with the names of copies and of logs that were moved; the policy keeps its title."""
        data = scenario.as_dict()
        policy = _titled(Renaming(self.changed).over(data["policy"]), data["policy"])
        pipeline = self.changed.get(scenario.pipeline, scenario.pipeline)
        trace = self._moved.get(scenario.trace, scenario.trace)
        return Scenario.model_validate({**data, "pipeline": pipeline, "trace": trace, "policy": policy})


def copies_used(folder: Path) -> list[str]:
    """The files that have changed since the runs of a results folder, so that the copies are used; by name."""
    return list(KeptInputs.of(read_manifest(folder), folder).changed)


def _titled(policy: Any, before: Any) -> Any:
    """A policy with other names of files, which keeps its title."""
    if policy == before:
        return before
    renamed, original = ({"name": choice} if isinstance(choice, str) else choice for choice in (policy, before))
    return {**renamed, "label": PolicyChoice.model_validate(original).title[:LONGEST_LABEL]}


def _texts(entry: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(entry[key]) for key in ("sha256", "place") if key in entry or key == "sha256"}


def _now(name: str) -> str:
    """The sha256 of a file now; empty if it cannot be read."""
    with suppress(OSError, ProfileError):
        return digest_of(content_of(name))
    return ""


def _is(name: str, sha256: str) -> bool:
    with suppress(OSError):
        return file_sha256(Path(name)) == sha256
    return False
