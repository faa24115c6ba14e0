"""A sweep that is killed ten times over, now its own process and now a worker's, goes on and loses nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.command import ipa, start
from tests.studies.many.waiting import LIMIT_S, command, finished, until

pytestmark = [pytest.mark.long, pytest.mark.alone]

SLOWLY = ("--set", "policy.pause_s=0.1")
"""A run takes 0.3 s at least, so that a sweep lasts for some kills."""


def is_further(process: subprocess.Popen[str], folder: Path, before: int) -> bool:
    """Whether more runs are kept than before, or the command has ended."""
    return len(finished(folder)) > before or process.poll() is not None


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(each) for each in path.read_text().split()]


def test_ten_kills_at_random_moments_lose_nothing_that_was_kept(here: Path) -> None:
    """A sweep that ends before its tenth kill is followed by another, in another folder."""
    (here / "go").touch()
    draws = random.Random(1)
    kills, sweeps, seen = 0, 1, set[str]()
    while kills < 10:
        out = here / f"out{sweeps}"
        process = start(*command(here, out.name, "--jobs", 2, *SLOWLY))
        if draws.random() < 0.7:  # not before something has come of it, most times
            until(partial(is_further, process, out, len(seen)), "a run")
        time.sleep(draws.uniform(0.0, 0.5))
        victims = [process.pid, *workers_of(process)] if process.poll() is None else []
        if victims:
            with suppress(ProcessLookupError):
                os.kill(draws.choice(victims), signal.SIGKILL)
                kills += 1
        process.communicate(timeout=LIMIT_S)
        now = finished(out)
        assert seen <= now
        seen = now
        if not victims:
            sweeps, seen = sweeps + 1, set()
    assert ipa(*command(here, "whole", "--jobs", 1, *SLOWLY)).exit_code == 1
    for number in range(1, sweeps + 1):
        assert ipa(*command(here, f"out{number}", "--jobs", 1, *SLOWLY)).exit_code == 1
        assert (here / f"out{number}" / "runs.parquet").read_bytes() == (here / "whole" / "runs.parquet").read_bytes()
