"""Runs that end their process: they are named and have failed, and all others are as they were."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import pandas as pd
import pytest

from ipa.studies import find
from ipa.studies.many import Bundle, FinishedRun, PlannedRun, summary_of
from ipa.studies.many.bundle import ChunkAnswer, work
from ipa.studies.many.child import Child, ProcessEndedError
from ipa.studies.many.executor import Done, Local, make_apart
from tests.command import POLICIES, SHORT, start

ENDS = (
    POLICIES
    + '''
import os
import threading
from pathlib import Path


class Ends(Hold):
    """Ends its process at level 3, is killed at level 4, and at level 5 once; at levels 6 and 12 says where it is."""

    def decide(self, observation, memory):
        if self.level == 3:
            os._exit(3)
        if self.level == 4 or (self.level == 5 and not Path("died").exists()):
            Path("died").touch()
            os.kill(os.getpid(), 9)
        if self.level == 12:
            raise RuntimeError(f"process {os.getpid()}")
        if self.level == 6:
            raise RuntimeError(threading.current_thread() is threading.main_thread())
        return super().decide(observation, memory)
'''
)

EXITED = "the run ended its process, in each of 2 attempts: exit code 3"
KILLED = "the process of the run was killed, in each of 2 attempts: SIGKILL (out of memory?)"


@pytest.fixture(autouse=True)
def here(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("IPA_TRACE", raising=False)
    (elsewhere / "my.py").write_text(ENDS)
    return elsewhere


def asked(level: int) -> PlannedRun:
    scenario = find("video", {"policy": f"my.py:Ends level={level}", "trace": "constant:5:30", "engine": "simpy"})
    return PlannedRun(str(level), scenario.as_dict())


@pytest.mark.long
def test_a_run_that_ends_its_process_twice_has_failed_and_no_other_has() -> None:
    child = Child()
    ended = dict(make_apart(child, summary_of, [asked(level) for level in (1, 3, 2, 4, 5)]).ended)
    child.close()
    assert (ended["3"], ended["4"]) == (EXITED, KILLED)
    assert [key for key, outcome in ended.items() if isinstance(outcome, FinishedRun)] == ["1", "2", "5"]


def test_a_process_that_is_closed_has_ended() -> None:
    child = Child()
    make_apart(child, summary_of, [asked(1)])
    assert child._process is not None
    number = child._process.pid
    assert child.close() == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_in_whatever_thread_of_a_worker_a_run_is_in_the_main_thread_where_its_decisions_have_a_time_limit() -> None:
    run = asked(6)
    luggage = Bundle.of([find("video", {"policy": "my.py:Ends level=6"})])
    answers: list[ChunkAnswer] = []
    thread = Thread(target=lambda: answers.append(work(luggage, summary_of, [run])))
    thread.start()
    thread.join()
    ((_, error),) = answers[0].done.ended
    assert str(error).endswith("RuntimeError: True")


@pytest.mark.long
def test_a_run_that_ends_its_process_does_not_end_a_worker_of_a_cluster() -> None:
    """What a worker of Dask calls; here, this process is the worker."""
    luggage = Bundle.of([find("video", {"policy": "my.py:Ends level=3"})])
    (one, three, two) = work(luggage, summary_of, [asked(1), asked(3), asked(2)]).done.ended
    assert isinstance(one[1], FinishedRun)
    assert three == ("3", EXITED)
    assert isinstance(two[1], FinishedRun)


@pytest.mark.long
def test_a_worker_of_a_cluster_that_ends_ends_the_process_of_its_runs() -> None:
    """Without a warning, which Python gives for one that nobody has waited for."""
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", WORKER]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")


WORKER = """
from ipa.studies.many import PlannedRun, summary_of
from ipa.studies.many.bundle import Bundle, work
from ipa.studies.scenario import find

scenario = find("video", {"trace": "constant:5:30", "engine": "simpy"})
((key, _),) = work(Bundle.of([scenario]), summary_of, [PlannedRun("1", scenario.as_dict())]).done.ended
print(key)
"""


@pytest.mark.long
def test_a_last_run_after_those_that_end_workers_is_not_made_where_it_could_end_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two runs end both workers, and one is left."""
    monkeypatch.setattr("ipa.studies.many.workers.AHEAD", 1)
    monkeypatch.setattr("ipa.studies.many.executor.ATTEMPTS", 1)
    done: list[Done] = []
    Local(2).make(summary_of, [[asked(3)], [asked(3)], [asked(12)]], done.append)
    *_, ((_, error),) = [each.ended for each in done]
    assert "RuntimeError: process" in str(error)
    assert f"process {os.getpid()}" not in str(error)


@pytest.mark.long
def test_a_sweep_names_the_run_that_ends_its_worker_and_goes_on() -> None:
    vary = ("--vary", "policy.level=1,2,3,7,8,9,10,11")
    sweep = start("sweep", "video", "--policy", "my.py:Ends", *SHORT, *vary, "--jobs", 2, "--out", "out")
    output, errors = sweep.communicate(timeout=100)
    assert f"1 run failed: {EXITED}\n" in output
    assert "a worker process was killed (out of memory? try fewer --jobs): the runs under way are made again" in errors
    table = pd.read_parquet("out/runs.parquet")
    assert table["error"].fillna("").tolist() == ["", "", EXITED, "", "", "", "", ""]
    assert sweep.returncode == 1


def test_one_that_is_closed_for_good_as_it_starts_has_ended_and_does_not_start_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child, started = Child(), list[subprocess.Popen[bytes]]()
    closing = Thread(target=lambda: child.close(for_good=True))

    def popen(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(subprocess_popen(*arguments, **options))
        closing.start()
        return started[-1]

    subprocess_popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(ProcessEndedError):
        child.call(sleep, 60.0)
    closing.join()
    assert [process.poll() for process in started] == [-signal.SIGKILL]
    with pytest.raises(ProcessEndedError):
        child.call(sleep, 0.0)
    assert len(started) == 1
