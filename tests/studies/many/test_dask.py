"""Sweeps on a real Dask cluster on this machine: a scheduler and two workers, some of which die."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import house
from tests.command import ipa, start
from tests.studies.many.slow_network import slowed
from tests.studies.many.waiting import FAILED, LIMIT_S, command, finished, until, until_waiting

pytestmark = [
    pytest.mark.long,
    pytest.mark.alone,
    pytest.mark.skipif(find_spec("distributed") is None, reason="distributed is not installed"),
]


class Cluster:
    """A scheduler at `address`, HOST:PORT, and its workers."""

    def __init__(self, folder: Path, workers: int = 2, **environment: str) -> None:
        self._environment = {**os.environ, **environment}
        self._file = folder / "scheduler.json"
        self._file.unlink(missing_ok=True)
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._started("scheduler", "--host", "127.0.0.1", "--port", "0")
        self.address = until(self._address, "the scheduler's address").removeprefix("tcp://")
        for _ in range(workers):
            self.add_worker()

    def add_worker(self) -> None:
        self.workers.append(self._started("worker", "--nthreads", "1", "--no-nanny"))

    def _started(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--scheduler-file", str(self._file)]
        away = self.folder / "away"  # where there is neither the policy nor anything else
        away.mkdir(exist_ok=True)
        with (self.folder / "dask.log").open("ab") as log:
            command = [*program, "--no-dashboard", *options]
            return subprocess.Popen(command, cwd=away, stdout=log, stderr=log, env=self._environment)

    def _address(self) -> str | None:
        with suppress(OSError, ValueError):
            return str(json.loads(self._file.read_text())["address"])
        return None

    def there(self) -> list[str]:
        """The workers of which the scheduler knows."""
        return re.findall(r"Register worker addr: (\S+)", (self.folder / "dask.log").read_text())

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def loud(words: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(word for word in words if word != "-q")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("dask"))
    yield made
    made.end()


def test_the_bytes_are_those_of_one_and_of_two_processes(here: Path, whole: bytes, cluster: Cluster) -> None:
    """The workers have neither the user's policy nor the folder; the error names the file as it is called here."""
    (here / "go").touch()
    two = start(*command(here, "two", "--jobs", 2))
    two.communicate(timeout=LIMIT_S)
    assert (here / "two" / "runs.parquet").read_bytes() == whole
    far = start(*command(here, "out", "--on", f"dask://{cluster.address}"))
    assert far.communicate(timeout=LIMIT_S)[1] == FAILED
    assert (here / "out" / "runs.parquet").read_bytes() == whole
    assert json.loads((here / "out" / "manifest.json").read_text())["ran_on"].endswith(cluster.address)


@pytest.mark.parametrize("its", ["child", "own"])
def test_a_worker_that_is_killed_in_the_middle_costs_nothing(
    here: Path, whole: bytes, cluster: Cluster, its: str
) -> None:
    """Its own process, or that in which it makes runs."""
    far = start(*command(here, "out", "--on", f"dask://{cluster.address}"))
    (child,) = until_waiting(far, here)
    os.kill(child if its == "child" else parent_of(child), signal.SIGKILL)
    (here / "go").touch()
    assert far.communicate(timeout=LIMIT_S)[1] == FAILED
    assert (here / "out" / "runs.parquet").read_bytes() == whole


def test_a_worker_that_stopped_before_anybody_came_is_said_and_the_other_does_all(
    here: Path, whole: bytes, cluster: Cluster
) -> None:
    (here / "go").touch()
    until(lambda: len(cluster.there()) == 2, "two workers")
    cluster.workers[0].send_signal(signal.SIGSTOP)
    far = start(*loud(command(here, "out", "--on", f"dask://{cluster.address}")))
    errors = far.communicate(timeout=LIMIT_S)[1]
    assert re.search(r"Worker tcp://\S+ has not been heard of for \d+ s; its runs go to others", errors), errors
    assert errors.endswith(FAILED)
    assert (here / "out" / "runs.parquet").read_bytes() == whole


def test_a_worker_that_stops_in_the_middle_gives_its_runs_to_the_other(
    here: Path, whole: bytes, cluster: Cluster
) -> None:
    far = start(*loud(command(here, "out", "--on", f"dask://{cluster.address}")))
    (child,) = until_waiting(far, here)
    os.kill(parent_of(child), signal.SIGSTOP)
    (here / "go").touch()
    errors = far.communicate(timeout=LIMIT_S)[1]
    assert re.search(r"Worker tcp://\S+ has not been heard of for \d+ s; its runs go to others", errors), errors
    assert (here / "out" / "runs.parquet").read_bytes() == whole


def test_a_scheduler_that_stopped_is_waited_for_and_an_interrupt_is_not_kept_waiting(
    here: Path, cluster: Cluster
) -> None:
    far = start(*loud(command(here, "out", "--on", f"dask://{cluster.address}")))
    until_waiting(far, here)
    cluster.scheduler.send_signal(signal.SIGSTOP)
    assert far.stderr is not None
    said = ""
    while "does not answer; the runs wait up to 60 s for it" not in said:
        said = far.stderr.readline()
        assert said, "it has ended"
    far.send_signal(signal.SIGINT)
    assert far.communicate(timeout=LIMIT_S)[1].endswith(
        "Error: interrupted; finished runs are kept in out: repeat the command to resume\n"
    )
    (here / "go").touch()


SHORT_PATIENCE = """
import sys
from ipa.studies.commands import main
from ipa.studies.many import dask_cluster

dask_cluster.GIVEN_UP_S = 3.0
sys.argv[0] = "ipa"
main()
"""


def test_a_scheduler_that_stays_stopped_is_given_up_and_what_is_finished_is_kept(
    here: Path, whole: bytes, cluster: Cluster
) -> None:
    """Its process is there, and takes connections, but answers nothing; here 3 s stand for the minute."""
    asked = [str(word) for word in command(here, "out", "--on", f"dask://{cluster.address}")]
    far = subprocess.Popen([sys.executable, "-c", SHORT_PATIENCE, *asked], stderr=subprocess.PIPE, text=True)
    until(lambda: finished(here / "out"), "a run that has finished")
    cluster.scheduler.send_signal(signal.SIGSTOP)
    errors = far.communicate(timeout=LIMIT_S)[1]
    assert far.returncode == 1
    assert re.search(
        rf"Error: the Dask scheduler at {cluster.address} has not answered for \d+ s; finished runs are kept in out: "
        r"repeat the command to resume\n$",
        errors,
    ), errors
    kept = len(finished(here / "out"))
    (here / "go").touch()
    assert ipa(*command(here, "out", "--jobs", 1)).exit_code == 1
    assert (here / "out" / "runs.parquet").read_bytes() == whole
    assert json.loads((here / "out" / "manifest.json").read_text())["fresh_runs"] == 24 - kept


def test_after_the_scheduler_is_gone_the_same_command_goes_on(
    here: Path, whole: bytes, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    far = start(*command(here, "out", "--on", f"dask://{cluster.address}"))
    until_waiting(far, here)
    cluster.scheduler.kill()
    errors = far.communicate(timeout=LIMIT_S)[1]
    assert errors == (
        f"Error: the Dask scheduler at {cluster.address} is gone; finished runs are kept in out: repeat the command to "
        "resume\n"
    )
    assert far.returncode == 1
    (here / "go").touch()
    another = Cluster(tmp_path_factory.mktemp("another"), workers=1)
    try:
        again = start(*command(here, "out", "--on", f"dask://{another.address}"))
        assert again.communicate(timeout=LIMIT_S)[1] == FAILED
    finally:
        another.end()
    assert (here / "out" / "runs.parquet").read_bytes() == whole
    assert json.loads((here / "out" / "manifest.json").read_text())["fresh_runs"] < 24


def test_an_interrupt_ends_in_order(here: Path, whole: bytes, cluster: Cluster) -> None:
    far = start(*command(here, "out", "--on", f"dask://{cluster.address}"))
    until_waiting(far, here)
    far.send_signal(signal.SIGINT)
    output, errors = far.communicate(timeout=LIMIT_S)
    assert (far.returncode, output) == (1, "")
    assert errors == "Error: interrupted; finished runs are kept in out: repeat the command to resume\n"
    (here / "go").touch()
    assert ipa(*command(here, "out", "--jobs", 1)).exit_code == 1
    assert (here / "out" / "runs.parquet").read_bytes() == whole


def test_a_slow_network_changes_nothing(here: Path, whole: bytes, cluster: Cluster) -> None:
    """Whatever passes between here and the scheduler is 0.1 s late."""
    (here / "go").touch()
    with slowed(cluster.address, 0.1) as address:
        far = start(*command(here, "out", "--on", f"dask://{address}"))
        assert far.communicate(timeout=LIMIT_S)[1] == FAILED
    assert (here / "out" / "runs.parquet").read_bytes() == whole


def test_a_worker_with_other_source_is_refused_by_name(here: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its package is a copy with one more line in a rule of the model."""
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(house.PACKAGE, other / "ipa", ignore=shutil.ignore_patterns("__pycache__", "*.csv", "*.html"))
    with (other / "ipa" / "sim" / "rules.py").open("a") as rules:
        rules.write("\n")
    cluster = Cluster(tmp_path_factory.mktemp("dask"), workers=1, PYTHONPATH=str(other))
    try:
        far = start(*command(here, "out", "--on", f"dask://{cluster.address}"))
        errors = far.communicate(timeout=LIMIT_S)[1]
    finally:
        cluster.end()
    said = r"Error: worker tcp://\S+ has ipa-pipelines \S+ \(source (\w+)\), this machine has \S+ "
    found = re.match(said + r"\(source (\w+)\): install the same version there", errors)
    assert found, errors
    assert found[1] != found[2]
    assert far.returncode == 1


def test_where_no_scheduler_answers_that_is_said(here: Path) -> None:
    (here / "go").touch()
    far = start(*command(here, "out", "--on", "dask://127.0.0.1:9"))
    assert far.communicate(timeout=LIMIT_S)[1].startswith("Error: no Dask scheduler answers at 127.0.0.1:9: ")
    assert far.returncode == 1
