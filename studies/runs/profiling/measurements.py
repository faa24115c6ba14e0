"""The file of a profile's measurements, one JSON line each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from ipa.live.profiling import Content, Overhead, Point, Record, Start, TextLoad
from ipa.studies import results
from ipa.studies.scenario import ScenarioError

R = TypeVar("R", Point, Start, Overhead, TextLoad)

_KINDS: Mapping[str, type[Record]] = {
    "point": Point,
    "start": Start,
    "overhead": Overhead,
    "text-load": TextLoad,
}


class Measurements:
    """The file of a profile's measurements. An existing file is continued, also with other variants."""

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        """`head`: the file's first line, with `asked`, which is what the measurements depend on.

        Raises ScenarioError for a file of another profile.
        """
        self.path = path
        self.records: list[Record] = []
        self.found = 0
        """How many measurements the file held already."""
        whole = {"schema_version": 1, "kind": "measurements", **head}
        self._beginning: str | None = json.dumps(whole) + "\n"
        """Written before the first measurement, so that a profile without any leaves the file unchanged."""
        if not path.exists():
            return
        was, self.records = _read(path)
        self.found = len(self.records)
        request = was.get("asked", {}) if self.records else {}
        for key, before, now in _differences(request, head["asked"]):
            raise ScenarioError(
                f"{path}: its measurements are of another profile: {key} was {before!r}, now {now!r}; remove it, "
                "or write elsewhere (--to)"
            )
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
        self._beginning = json.dumps({**whole, "asked": _together(request, head["asked"])}) + "\n" + "".join(lines)

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
        """(cores, batch) -> the measured point of a variant."""
        return {(point.cores, point.batch): point for point in self.of(Point, stage, variant)}

    def of(self, kind: type[R], stage: str, variant: str) -> list[R]:
        """A variant's measurements of a kind, in order."""
        records = (record for record in self.records if isinstance(record, kind))
        return [record for record in records if (record.stage, record.variant) == (stage, variant)]


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The differences between two requests in the keys that both have; mappings, such as of models, key by key."""
    for key in sorted(was.keys() & now.keys()):
        before, after = was[key], now[key]
        if isinstance(before, dict) and isinstance(after, dict):
            yield from ((f"{key} of {name}", *values) for name, *values in _differences(before, after))
        elif before != after:
            yield key, before, after


def _together(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Both requests merged; mappings key by key."""
    merged = {
        key: {**was[key], **now[key]} for key in now if isinstance(now[key], dict) and isinstance(was.get(key), dict)
    }
    return {**was, **now, **merged}


def _read(path: Path) -> tuple[dict[str, Any], list[Record]]:
    """The head and the measurements; an incomplete last line, left by a killed program, is cut off."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    try:
        head, *lines = [json.loads(line) for line in whole.splitlines()]
        if head["kind"] != "measurements":
            raise KeyError("kind")
        records = list(map(_record, lines))
    except (ValueError, KeyError, TypeError):
        raise ScenarioError(f"{path}: holds no measurements of a profile; remove the file to begin again") from None
    if whole != text:
        results.write_text(whole, path)
    return head, records


def _record(line: dict[str, Any]) -> Record:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in line.items()}
    cls = _KINDS[fields.pop("record")]
    if cls is Point:
        fields["content"] = tuple(Content(**content) for content in fields["content"])
    return cls(**fields)
