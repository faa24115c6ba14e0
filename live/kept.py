"""Saves a live run's records to disk while it runs, so that a killed controller loses no ended request.

Lines are appended at most a second after a request ends or a decision is taken, and what a kill leaves can be read. A
run that ends by itself or by a signal removes them once its results are written.
"""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ipa.errors import Error
from ipa.live.errors import LiveError
from ipa.policies import Configuration, Entry, from_line, to_line, to_plain
from ipa.policies import from_plain as stage_from_plain
from ipa.sim import ReplicaRecords, RoomLack

if TYPE_CHECKING:
    from ipa.live.live_backend import LiveBackend
    from ipa.live.live_controller import LiveController

ABOUT, REQUESTS, JOURNAL, STATE = "about.json", "requests.jsonl", "journal.jsonl", "state.json"
"""The files: the run's description, one line per request and per decision, and the last state of the replicas."""

log = logging.getLogger(__name__)


class Keeper:
    """Saves a run in a folder of its own, made with the first rows.

    `describe` gets the folder, may add files to it, and describes the run, ready for JSON. A write error is logged
    once; the run then goes on unsaved.
    """

    def __init__(self, folder: Path, describe: Callable[[Path], Mapping[str, Any]], controller: LiveController) -> None:
        self._folder = folder
        self._describe = describe
        self._controller = controller
        self._requests: IO[str] | None = None
        self._decided = 0
        self._has_failed = False

    def note(self, rows: Sequence[Sequence[float]], backend: LiveBackend) -> None:
        """Append what has ended since the last call; `rows` are the collector's."""
        if self._has_failed:
            return
        try:
            self._note(rows, backend)
        except (OSError, Error) as error:
            self._has_failed = True
            log.warning("what the run finds is not kept any more while it runs", extra={"problem": str(error)})

    def _note(self, rows: Sequence[Sequence[float]], backend: LiveBackend) -> None:
        file = self._requests or self._begin()
        with (self._folder / JOURNAL).open("a", encoding="utf-8") as journal:
            for entry in self._controller.entries[self._decided :]:
                if entry.outcome is None:
                    break
                journal.write(to_line(entry) + "\n")
                self._decided += 1
        state = {
            "now_s": backend.now_s,
            "held": self._controller.deadline.held,
            "models": dict(backend.models),
            "configured": backend.configured,
            "replicas": {name: replicas_as_plain(replicas) for name, replicas in timelines(backend).items()},
            "room_lack": room_lack(backend, backend.now_s),
        }
        part = self._folder / f".{STATE}"
        part.write_text(json.dumps(state), encoding="utf-8")
        part.replace(self._folder / STATE)
        # Last, so that a kill never leaves a row whose replica is unknown.
        file.writelines(json.dumps(row) + "\n" for row in rows)
        file.flush()

    def _begin(self) -> IO[str]:
        self._folder.mkdir(parents=True)
        (self._folder / ABOUT).write_text(json.dumps(self._describe(self._folder)), encoding="utf-8")
        self._requests = (self._folder / REQUESTS).open("a", encoding="utf-8")
        fcntl.flock(self._requests, fcntl.LOCK_EX)  # until it is closed, or this process ends
        return self._requests

    def close(self) -> None:
        """Close the file; the folder stays until the results are written."""
        if self._requests is not None:
            self._requests.close()


@dataclass(frozen=True)
class KeptRun:
    """What a killed run has left: its description, the collector's rows, its decisions (`held_steps` of them only held
    the configuration), the digests of its `models`, and its state at `now_s`."""

    description: Mapping[str, Any]
    rows: list[list[float]]
    entries: tuple[Entry, ...]
    replicas: Mapping[str, ReplicaRecords]
    configured: Mapping[str, Sequence[tuple[float, int]]]
    room_lack: tuple[RoomLack, ...]
    now_s: float
    held_steps: int
    models: Mapping[str, str]


def read_kept(folder: Path) -> KeptRun:
    """The run that a `Keeper` saved in a folder, without truncated lines.

    Raises LiveError if there is none, or it is still going on.
    """
    try:
        with (folder / REQUESTS).open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            rows = [json.loads(line) for line in file if line.endswith("\n")]
        description = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        lines = (folder / JOURNAL).read_text(encoding="utf-8").splitlines(keepends=True)
    except BlockingIOError:
        raise LiveError(f"{folder}: the run is still going on") from None
    except FileNotFoundError as error:
        raise LiveError(f"nothing to recover: {error.filename} is missing") from None
    except ValueError as error:  # of a disk that was full from the beginning
        raise LiveError(f"nothing to recover: what is in {folder} is not whole: {error}") from None
    return KeptRun(
        description,
        rows,
        tuple(from_line(line, f"{folder / JOURNAL}") for line in lines if line.endswith("\n")),
        {name: replicas_of(plain) for name, plain in state["replicas"].items()},
        {name: [(time_s, int(size)) for time_s, size in changes] for name, changes in state["configured"].items()},
        tuple(RoomLack(*lack) for lack in state["room_lack"]),
        state["now_s"],
        state["held"],
        state.get("models", {}),  # of a run of an earlier version
    )


def timelines(backend: LiveBackend) -> dict[str, ReplicaRecords]:
    return {name: stage.records() for name, stage in backend.stages.items()}


def room_lack(backend: LiveBackend, until_s: float) -> tuple[RoomLack, ...]:
    return tuple(stage.room_lack(until_s) for stage in backend.stages.values())


def as_plain(configuration: Configuration) -> dict[str, dict[str, Any]]:
    return {name: to_plain(stage) for name, stage in configuration.items()}


def from_plain(plain: Mapping[str, Mapping[str, Any]]) -> Configuration:
    """The inverse of `as_plain`."""
    return {name: stage_from_plain(stage) for name, stage in plain.items()}


def replicas_as_plain(replicas: ReplicaRecords) -> dict[str, Any]:
    """Replicas, for JSON."""
    return {key: np.asarray(value).tolist() for key, value in vars(replicas).items()}


def replicas_of(plain: Mapping[str, Any]) -> ReplicaRecords:
    """The inverse of `replicas_as_plain`."""
    moments: dict[str, Any] = {
        key: np.array(value, dtype=np.float64) for key, value in plain.items() if key.endswith("_s")
    }
    return ReplicaRecords(
        variant=tuple(plain["variant"]),
        cores=np.array(plain["cores"], dtype=np.int64),
        **moments,
    )
