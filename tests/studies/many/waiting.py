"""A user's policy that waits in the midst of a sweep, and the sweep of it: the same wherever it is run."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.command import POLICIES, SHORT

LIMIT_S = 500
"""How long a test waits for what should come soon."""

FAILED = "Error: 1 of 24 runs failed; the others are kept in out: repeat the command to try the failed ones again\n"
"""What the command ends with."""

POLICY = (
    POLICIES
    + '''
import os
import time
from pathlib import Path


class Waits(Hold):
    """With seed 6 at level 2 it says which process it is in, and waits until the file `go` is there."""

    def __init__(self, pipeline, folder, level=1, pause_s=0.0):
        self.folder, self.level, self.pause_s = Path(folder), level, pause_s

    def decide(self, observation, memory):
        time.sleep(self.pause_s)
        if observation.seed == 6 and self.level == 2 and not (self.folder / "go").exists():
            (self.folder / f"waiting-{os.getpid()}").touch()
            while not (self.folder / "go").exists():
                time.sleep(0.01)
        if observation.seed == 4 and self.level == 1:
            raise ZeroDivisionError("oh")
        return super().decide(observation, memory)
'''
)

SEEDS = 8


def command(folder: Path, out: str, *options: object) -> tuple[object, ...]:
    """`ipa sweep` of three levels and eight seeds: 24 runs, of which one fails and one waits."""
    values = ("--vary", "policy.level=1,2,3", "--seeds", SEEDS, "--set", f"policy.folder={folder}")
    return (
        "sweep",
        "video",
        "--policy",
        "my.py:Waits",
        *SHORT,
        "--set",
        "engine=simpy",
        *values,
        "--out",
        out,
        "-q",
        *options,
    )


def until(there: Callable[[], Any], what: str) -> Any:
    """What `there` answers, once it answers anything."""
    end_s = time.monotonic() + LIMIT_S
    while not (found := there()):
        assert time.monotonic() < end_s, what
        time.sleep(0.02)
    return found


def until_waiting(sweep: subprocess.Popen[str], folder: Path) -> list[int]:
    """The processes in which a run waits, once one does; fails at once where the command has ended before."""

    def found() -> list[int]:
        assert sweep.poll() is None, sweep.communicate()
        return waiting(folder)

    processes: list[int] = until(found, "a run that waits")
    return processes


def waiting(folder: Path) -> list[int]:
    """The processes in which a run has waited."""
    return [int(path.name.rpartition("-")[2]) for path in folder.glob("waiting-*")]


def finished(folder: Path) -> set[str]:
    """The keys of the runs that are kept, in a copy, as reading is to disturb nothing."""
    if not (folder / "finished.sqlite").is_file():
        return set()
    with suppress(sqlite3.OperationalError):  # busy, or being made
        connection = sqlite3.connect(folder / "finished.sqlite")
        try:
            return {key for (key,) in connection.execute("SELECT key FROM runs")}
        finally:
            connection.close()
    return set()
