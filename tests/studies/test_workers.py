"""Worker processes: none is left behind, whatever ends the command, and what is finished is kept.

A process holds the pipes of its output as long as it lives: that `communicate` comes back says that all have ended.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ipa.studies.commands.progress import at_once
from ipa.studies.many import opened, workers
from tests.command import POLICIES, SHORT, interruptible, ipa, start

LIMIT_S = 100
"""How long a test waits for what should come at once."""

HELD = (
    POLICIES
    + """

import os
import signal
import time
from pathlib import Path


class Waits(Hold):
    # Seeds from 3 on wait until the file `go` is there.
    def decide(self, observation, memory):
        if observation.seed >= 3:
            Path("waiting").touch()
            while not Path("go").exists():
                time.sleep(0.01)
        return super().decide(observation, memory)


class Dies(Hold):
    # As if out of memory at the last seed, until the file `go` is there.
    def decide(self, observation, memory):
        if observation.seed == 16 and not Path("go").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().decide(observation, memory)
"""
)


@pytest.fixture(autouse=True)
def here(elsewhere: Path) -> Path:
    (elsewhere / "my.py").write_text(HELD)
    return elsewhere


COMPARE = ("compare", "video", *SHORT, "--set", "engine=simpy", "-q", "--out", "out")


def compare(policy: str, seeds: int) -> subprocess.Popen[str]:
    """Runs of a user's policy on two workers into the folder `out`."""
    return start(*COMPARE, "--policy", policy, "--seeds", seeds, "--jobs", 2)


def until_waiting(process: subprocess.Popen[str]) -> None:
    """Wait for a worker to be in the midst of a run."""
    end_s = time.monotonic() + LIMIT_S
    while not Path("waiting").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end_s
        time.sleep(0.01)


def kept() -> set[int]:
    """The seeds of the runs in the store."""
    plan = {run["key"]: run["seed"] for run in json.loads(Path("out/manifest.json").read_text())["runs"]}
    with opened(Path("out/finished.sqlite")) as store:
        return {plan[key] for key, summary in store.summaries(list(plan)).items() if isinstance(summary, dict)}


def test_workers_end_with_a_parent_that_is_killed() -> None:
    process = compare("my.py:Waits", 8)
    until_waiting(process)
    process.kill()
    process.communicate(timeout=LIMIT_S)


@pytest.mark.long
def test_a_second_interrupt_ends_what_has_begun_too() -> None:
    process = compare("my.py:Waits", 8)
    until_waiting(process)
    end_s = time.monotonic() + LIMIT_S
    while process.poll() is None:
        assert time.monotonic() < end_s
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    process.communicate(timeout=LIMIT_S)
    assert process.returncode != 0


INTERRUPTED_AT_BIRTH = """
import os, signal
from ipa.studies.many.workers import run_all

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

def square(number):
    return number * number

os.register_at_fork(after_in_parent=interrupt, after_in_child=interrupt)
try:
    run_all(square, range(100), {jobs}, lambda place, result: None)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
@pytest.mark.parametrize("jobs", [2, 5])
def test_an_interrupt_of_the_whole_group_while_the_workers_start(jobs: int) -> None:
    """One as each worker is born, in it and in its parent: the first is an interrupt, the others are second ones."""
    command = [sys.executable, "-c", INTERRUPTED_AT_BIRTH.format(jobs=jobs)]
    with interruptible():
        ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "interrupted\n", "")


@pytest.mark.long
def test_a_run_of_a_study_that_is_killed_again_by_itself_has_failed_and_the_others_are_kept(here: Path) -> None:
    """16 seeds, of which the last kills its process."""
    pytest.importorskip("plotly")
    (here / "study.yaml").write_text(
        "schema_version: 1\nkind: study\npipeline: video\nworkloads: [constant:5:30]\nseeds: 16\n"
        "systems: {dies: {policy: 'my.py:Dies', set: {engine: simpy}}}\n"
    )
    process = start("study", "study.yaml", "--out", "out", "-q", "--jobs", 2)
    errors = process.communicate(timeout=LIMIT_S)[1]
    assert process.returncode == 1
    assert errors.startswith("Error: 1 of 16 runs failed"), errors
    (failed,) = json.loads((here / "out" / "manifest.json").read_text())["failed_runs"]
    assert "the process of the run was killed, in each of 2 attempts: SIGKILL (out of memory?)" in str(failed)
    (here / "go").touch()
    assert ipa("study", "study.yaml", "--out", "out", "-q", "--jobs", 1).exit_code == 0
    assert json.loads((here / "out" / "manifest.json").read_text())["fresh_runs"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_strikes_in_a_finaliser_is_not_lost(number: signal.Signals) -> None:
    """Python swallows what a finaliser raises. A second signal raises at once, and the handlers of before are back."""

    class Held:
        def __del__(self) -> None:
            signal.raise_signal(number)

    with workers.terminable():
        before = signal.getsignal(number)
        with workers.interrupt_noted() as is_interrupted:
            assert not is_interrupted()
            held = Held()
            del held
            assert is_interrupted()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
        assert signal.getsignal(number) == before


def test_jobs_are_at_most_two_a_core(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 3)
    assert [at_once(jobs) for jobs in (None, 1, 6)] == [3, 1, 6]
    assert capsys.readouterr().err == ""
    assert at_once(100_000) == 6
    assert capsys.readouterr().err == "--jobs 100000: running 6 at a time, 2 per core; more gain nothing\n"


EXITS = (
    POLICIES
    + """

import os


class Exits(Hold):
    def decide(self, observation, memory):
        if observation.seed == 2:
            os._exit(3)
        return super().decide(observation, memory)
"""
)


def test_a_policy_s_exit_does_not_end_the_command_without_a_word(elsewhere: Path) -> None:
    """One run at a time is made in the command's own process."""
    (elsewhere / "my.py").write_text(EXITS)
    compared = ipa("compare", "video", "--policy", "my.py:Exits", *SHORT, "--seeds", 3, "--jobs", 1, "--out", "out")
    assert (compared.exit_code, compared.stdout) == (2, "")
    assert re.search(r"Error: my.py:Exits, seed 2: .* os\._exit\(3\) was called", compared.stderr)
    assert 1 in kept()  # what had finished is kept
    sweep = ("--vary", "seed=1,2,3", "--set", "policy=my.py:Exits", "--jobs", 1, "--out", "swept")
    swept = ipa("sweep", "video", *SHORT, *sweep)
    assert swept.exit_code == 1
    assert re.search(r"1 run failed: .* os\._exit\(3\) was called", swept.stdout)


# ---- the machine ----


@pytest.mark.parametrize(
    ("own", "quotas", "allowed"),
    [
        ("0::/", {"": "200000 100000"}, 2),
        ("0::/", {"": "max 100000"}, 8),
        ("0::/", {"": "50000 100000"}, 1),
        ("0::/pod/container", {"pod": "150000 100000", "pod/container": "400000 100000"}, 2),  # one and a half above it
        ("0::/gone", {}, 8),
        ("4:cpu,cpuacct:/", {"cpu,cpuacct": "200000 100000"}, 2),  # control groups of version 1
        ("4:cpu,cpuacct:/pod", {"cpu": "-1 100000", "cpu/pod": "150000 50000"}, 3),
        ("4:cpu:/docker/x", {"cpu": "250000 100000"}, 3),  # a container that sees its own group as the top
        ("4:cpu:/\n0::/", {"cpu": "600000 100000", "": "400000 100000"}, 4),  # both
        ("4:cpuset:/", {"cpuset": "200000 100000"}, 8),
    ],
)
def test_the_cores_are_no_more_than_the_containers_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, quotas: dict[str, str], allowed: int
) -> None:
    for group, quota in quotas.items():
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if group.startswith("cpu") else ("cpu.max",)
        for name, value in zip(names, quota.split(maxsplit=len(names) - 1), strict=True):
            (tmp_path / group / name).write_text(f"{value}\n")
    (tmp_path / "own").write_text(f"9:name=systemd:/\n{own}\n")
    monkeypatch.setattr(workers, "CGROUPS", tmp_path)
    monkeypatch.setattr(workers, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert workers.cores() == allowed


NOTEBOOK = """
import os, sys, threading, types
sys.modules["IPython"] = types.ModuleType("IPython")
lock, held = threading.Lock(), threading.Event()
os.chdir(sys.argv[1])

def holds():
    with lock:
        held.set()
        threading.Event().wait()

threading.Thread(target=holds, daemon=True).start()
held.wait()
os.register_at_fork(after_in_child=lambda: lock.acquire())  # as a library does that resets itself
from ipa.studies.many import opened, workers
workers.run_all(os.path.abspath, ["a", "b"], 2, lambda place, found: print(place, found))
"""


def test_workers_of_a_notebook_do_not_wait_for_locks_that_its_threads_held(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, tmp_path], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.stderr == ""
    assert sorted(done.stdout.splitlines()) == [f"0 {tmp_path}/a", f"1 {tmp_path}/b"]


def test_too_few_open_files_for_workers_are_told_with_the_limit_and_what_to_do() -> None:
    limited = ["sh", "-c", f'ulimit -n 14; exec "{sys.executable}" -m ipa.studies compare video --jobs 2 --quiet']
    ended = subprocess.run(limited, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ended.returncode == 1
    assert (
        "at most 14 files may be open at once here; 2 workers need 24: raise the limit with `ulimit -n 24`"
        in ended.stderr
    )
