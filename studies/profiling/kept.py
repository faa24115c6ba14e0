"""Measurements on disk as they come: one JSON line each, the first says of what and on what machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from ipa.live.profiling import Beside, Content, Overhead, Point, Record, Start
from ipa.studies import results
from ipa.studies.scenario import ScenarioError

R = TypeVar("R", Point, Start, Overhead, Beside)

_KINDS: Mapping[str, type[Record]] = {"point": Point, "start": Start, "overhead": Overhead, "beside": Beside}


class Kept:
    """The file of a profile's measurements. One that is there is continued, also with other variants."""

    def __init__(self, path: Path, head: Mapping[str, Any], *, fresh: bool) -> None:
        """`head`: `asked`, what the measurements depend on, and whatever else is worth keeping.

        ScenarioError for a file of something else, unless `fresh`, which replaces it.
        """
        self.path = path
        self.records: list[Record] = []
        self.found = 0
        """How many measurements were there already."""
        whole = {"schema_version": 1, "kind": "measurements", **head}
        self._beginning: str | None = json.dumps(whole) + "\n"
        """What is written before the first measurement: a profile without any leaves the file as it was."""
        if fresh or not path.exists():
            return
        was, self.records = _read(path)
        self.found = len(self.records)
        asked = was.get("asked", {}) if self.records else {}
        for key, before, now in _differences(asked, head["asked"]):
            raise ScenarioError(
                f"{path}: its measurements are of another profile: {key} was {before!r}, now {now!r}; --fresh replaces "
                "them, --to writes elsewhere"
            )
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
        self._beginning = json.dumps({**whole, "asked": _together(asked, head["asked"])}) + "\n" + "".join(lines)

    def add(self, record: Record) -> None:
        """Keep a measurement; it is on disk when this returns."""
        kind = next(name for name, cls in _KINDS.items() if isinstance(record, cls))
        if self._beginning is not None:
            results.write_text(self._beginning, self.path)
            self._beginning = None
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"record": kind, **asdict(record)}) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
        self.records.append(record)

    def points(self, stage: str, variant: str) -> dict[tuple[int, int], Point]:
        """(cores, batch) -> what was measured of a variant."""
        return {(each.cores, each.batch): each for each in self.of(Point, stage, variant)}

    def of(self, kind: type[R], stage: str, variant: str) -> list[R]:
        """The measurements of a kind of a variant, in order."""
        found = (each for each in self.records if isinstance(each, kind))
        return [each for each in found if (each.stage, each.variant) == (stage, variant)]


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What differs between what was asked and what is, of what both say; mappings, such as of models, by their keys."""
    for key in sorted(was.keys() & now.keys()):
        before, after = was[key], now[key]
        if isinstance(before, dict) and isinstance(after, dict):
            yield from ((f"{key} of {name}", *values) for name, *values in _differences(before, after))
        elif before != after:
            yield key, before, after


def _together(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """All that was and is asked; mappings by their keys."""
    both = {
        key: {**was[key], **now[key]} for key in now if isinstance(now[key], dict) and isinstance(was.get(key), dict)
    }
    return {**was, **now, **both}


def _read(path: Path) -> tuple[dict[str, Any], list[Record]]:
    """The head and the measurements; a last line that is not whole, as of a killed program, is cut off."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    try:
        head, *lines = [json.loads(line) for line in whole.splitlines()]
        if head["kind"] != "measurements":
            raise KeyError("kind")
        records = list(map(_record, lines))
    except (ValueError, KeyError, TypeError):
        raise ScenarioError(f"{path}: holds no measurements of a profile; --fresh replaces it") from None
    if whole != text:
        results.write_text(whole, path)
    return head, records


def _record(line: dict[str, Any]) -> Record:
    fields = dict(line)
    cls = _KINDS[fields.pop("record")]
    if cls is Point:
        fields["content"] = tuple(Content(**each) for each in fields["content"])
    return cls(**fields)
