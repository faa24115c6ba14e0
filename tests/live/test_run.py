"""`ipa live run` from end to end, on processes: its results, the law L10, and every way to end. Runs take seconds."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import shutil
import signal
import socket
import sys
import tempfile
import termios
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("aiohttp")

from ipa.live.plane import free_port
from ipa.live.server_answers import DEFAULT_BODY
from ipa.policies import Applied, read_journal
from ipa.studies import Scenario, replay, results, simulate
from ipa.studies.runs.live_runs import checks
from ipa.studies.runs.results.atomic import put_table
from tests.command import contents, interruptible, ipa, refusal, start
from tests.live.serving.serving_plane import call
from tests.live.world import PATIENCE_S, descendants, is_alive, of_environment, pipeline_file, sort, until_now

pytestmark = pytest.mark.usefixtures("elsewhere")

LOAD = ("--trace", "constant:20:4", "--set", "interval_s=1", "--set", "controller.decision_timeout_s=60")
"""80 requests in 4 s, three decisions, or fewer where the machine stands still meanwhile."""
LONG = ("--trace", "constant:20:60", "--set", "interval_s=1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a run, in which the pipeline stands too, and what the command said."""
    folder = tmp_path_factory.mktemp("finished")
    result = ipa("live", "run", pipeline_file(folder), *LOAD, "--out", folder / "run", "--json")
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


def simulated(folder: Path) -> Any:
    return simulate(Scenario(pipeline=str(folder / "tiny.yaml"), trace="constant:20:4", interval_s=1.0))


# ---- results ----
@pytest.mark.long
def test_guards_and_limits_hold_live_as_in_a_simulation(tmp_path: Path) -> None:
    """Six replicas are wanted; of the two nodes with one core each, one is needed for each of two. And L10 holds."""
    keys = ("--set", "limits.node_cores=[1,1]", "--set", "guards.hysteresis=0.2", "--set", "interval_s=1")
    load = ("--trace", "constant:5:4", "--set", "controller.decision_timeout_s=60")
    file = pipeline_file(tmp_path)
    result = ipa("live", "run", file, "--policy", "static:6", *load, *keys, "--out", "run", "-q")
    assert result.exit_code == 0, result.output
    entries = list(read_journal(Path("run/journal.jsonl").read_text(encoding="utf-8").splitlines()))
    assert {stage.replicas for each in entries for stage in each.decision.configuration.values()} == {2}
    assert "nodes: sort 6 -> 2 replicas" in entries[0].decision.notes
    assert replay(Path("run/journal.jsonl"), results.read_run("run").scenario).equal == len(entries)


SWITCH = """
class Switch:
    def __init__(self, pipeline):
        pass

    def decide(self, seen, memory):
        from ipa.policies import Decision, ReplicaCounts, StageConfiguration

        stage = seen.stages["sort"]
        variant = stage.configuration.variant
        if stage.replicas.get(variant, ReplicaCounts()).ready:
            variant = {"small": "large", "large": "small"}[variant]
        cores = {"small": 1, "large": 2}[variant]
        return Decision({"sort": StageConfiguration(variant, 1, 1, 0.0, cores)}, memory)
"""
"""A small replica and a large one of two cores, in turns, each once the one before is ready."""


@pytest.mark.long
def test_a_limit_of_cores_holds_for_what_exists_and_the_run_says_when_room_was_lacked(tmp_path: Path) -> None:
    """Within two cores no small one can be there beside a large one: each goes before the other comes."""
    (tmp_path / "switch.py").write_text(SWITCH)
    policy = ("--policy", f"{tmp_path / 'switch.py'}:Switch", "--set", "limit_cores=2")
    result = ipa("live", "run", pipeline_file(tmp_path), *LOAD, *policy, "--out", "run", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    replicas = pd.read_parquet("run/replicas.parquet")
    assert {"small", "large"} == set(replicas["variant"])
    assert said["live"]["broken_laws"] == []  # L14 among them
    assert said["room_lacked"] >= 1
    assert said["room_lacked_s"] > 0.0
    successors = replicas[replicas["created_s"] > 0.0]["created_s"]
    assert list(replicas["gone_s"][: len(successors)] <= successors.to_numpy()) == [True] * len(successors)


LANGUAGE = """\
schema_version: 1
kind: pipeline
name: talk
description: A language model; every second prompt has more tokens than its blocks hold.
provenance: {guess: {kind: assumed, why: an example}}
stages:
  - name: answer
    task: answers
    kind: llm
    sla: {pinned_s: 5, why: an example}
    tokens: {table: [[10, 5], [40, 5]], from: guess}
    variants:
      - name: tiny
        accuracy: {value: 0.5, from: guess}
        step: {base_s: 0.005, per_token_s: 1.0e-5, from: guess}
        sequences: 8
        kv_blocks: 2
"""


@pytest.mark.long
def test_why_a_request_failed_is_in_both_tables_of_requests() -> None:
    Path("talk.yaml").write_text(LANGUAGE)
    result = ipa("live", "run", "talk.yaml", *LOAD, "--policy", "static:2", "--out", "run", "-q")
    assert "40 input and 5 output tokens have no room in its 2 blocks of 16 tokens" in result.stderr  # half are lost
    requests, load = (pd.read_parquet(f"run/{name}.parquet") for name in ("requests", "load"))
    failed = requests["outcome"] == "failed"
    assert 0 < failed.sum() < len(requests)
    assert list(requests["reason"][failed]) == list(load["reason"][failed])
    assert requests["reason"][failed].str.contains("have no room in its 2 blocks").all()
    assert requests["reason"][~failed].isna().all()


def test_a_live_run_says_what_a_simulated_one_says(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, said = finished
    live = said.pop("live")
    assert list(said) == list(simulated(folder).summary)
    assert (said["engine"], said["requests"], said["completed"]) == ("live", 80, 80)
    assert said["decisions"] == len(pd.read_parquet(folder / "run" / "decisions.parquet"))  # of the one stage
    assert said["cost_core_s"] >= 4.0  # at least one replica of a core for four seconds
    assert live["broken_laws"] == []
    assert (live["ended"], live["foreign_requests"], live["records_lost"]) == ("", 0, 0)


@pytest.mark.long
def test_requests_of_others_with_the_same_ids_are_not_the_run_s(tmp_path: Path) -> None:
    """Another client sends requests 0 to 19 to its gateway, as `ipa live load` would."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/v2/models/tiny/infer"

    def is_served(number: int) -> bool:
        try:
            return call("POST", url, {"id": str(number), **DEFAULT_BODY})[0] == 200
        except OSError:
            return False

    def send_others() -> int:
        until_now(lambda: is_served(0), "the run has begun")
        return 1 + sum(pool.map(is_served, range(1, 20)))  # at once, so that none comes after the run's end

    with ThreadPoolExecutor(20) as pool:
        others = pool.submit(send_others)
        result = ipa(
            "live",
            "run",
            pipeline_file(tmp_path),
            *LOAD,
            "--set",
            f"gateway.port={port}",
            "--out",
            tmp_path / "run",
            "--json",
        )
        served = others.result()
    said = json.loads(result.stdout)
    assert (said["requests"], said["live"]["foreign_requests"]) == (80, served)
    run = results.read_run(tmp_path / "run")
    stages, load = run.tables["stages"], pd.read_parquet(tmp_path / "run" / "load.parquet")
    assert (load["sent_s"].to_numpy() <= stages["enqueue_s"].to_numpy()).all()
    assert (stages["enqueue_s"].to_numpy() <= load["end_s"].to_numpy()).all()


def test_its_tables_are_those_of_a_simulation_of_the_same_requests(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, said = finished
    run = results.read_run(folder / "run")
    other = simulated(folder)
    for name, table in other.tables.items():
        assert list(run.tables[name].columns) == list(table.columns)
        assert run.tables[name].dtypes.astype(str).tolist() == table.dtypes.astype(str).tolist()
    requests = run.tables["requests"]
    assert requests["arrival_s"].tolist() == other.tables["requests"]["arrival_s"].tolist()
    assert requests["request"].tolist() == list(range(80))
    assert said["latency_mean_s"] == pytest.approx(requests["latency_s"].mean())
    load = pd.read_parquet(folder / "run" / "load.parquet")
    assert (load["arrival_s"] <= load["sent_s"]).all()
    stages = run.tables["stages"].set_index("request")
    assert (load["sent_s"].to_numpy() <= stages["enqueue_s"].to_numpy()).all()
    assert (requests["end_s"].to_numpy() <= load["end_s"].to_numpy()).all()


def test_a_batch_takes_what_the_simulator_draws_for_it(finished: tuple[Path, dict[str, Any]]) -> None:
    """The tiny pipeline's service times do not vary: a batch takes its profiled time, and what a hop costs."""
    folder, _ = finished
    run = results.read_run(folder / "run")
    stages = run.tables["stages"]
    replicas = run.tables["replicas"].set_index("replica")["variant"]
    one = stages[(stages["batch_size"] == 1) & (stages["replica"].map(replicas).astype(str) == "small")]
    service_s = (one["finish_s"] - one["start_s"]).to_numpy()
    assert len(one)
    assert (service_s >= 0.02).all()


def test_law_l10_a_recorded_journal_gives_the_same_decisions_offline(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished
    replayed = replay(folder / "run" / "journal.jsonl", results.read_run(folder / "run").scenario)
    recorded = replayed.recorded
    assert [entry.decision for entry in replayed.replayed] == [entry.decision for entry in recorded]
    steps = [entry.observation.step for entry in recorded]
    assert steps[:2] == [0, 1]
    assert steps[2:] in ([2, 3], [2], [3], [])  # one that would be late is skipped
    assert all(entry.outcome is not None and entry.outcome.accepted for entry in recorded)


def test_what_is_observed_has_all_fields_and_exact_seconds(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished
    lines = (folder / "run" / "journal.jsonl").read_text().splitlines()
    last = list(read_journal(lines))[-1].observation
    assert last.time_s >= last.step
    assert last.latency is not None
    assert last.latency.p50_s > 0.02
    (sort,) = last.stages.values()
    assert sort.busy_fraction is not None
    assert 0.0 < sort.busy_fraction <= 1.0
    # Before t = 0 the load's first seconds stand for the history, as in a simulation; since then what the gateway saw.
    run = results.read_run(folder / "run")
    came_s = run.tables["stages"]["enqueue_s"].to_numpy()
    assert len(last.load_rps) == 120
    seconds = range(int(last.time_s))
    assert list(last.load_rps[-len(seconds) :]) == [np.count_nonzero(came_s.astype(int) == each) for each in seconds]


@pytest.mark.skipif(find_spec("plotly") is None, reason="plotly is not installed")
def test_a_live_run_can_be_drawn(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished
    result = ipa("report", folder / "run")
    assert result.exit_code == 0, result.output
    assert "tiny" in (folder / "run" / "report.html").read_text()


def test_files_and_facts_are_documented(finished: tuple[Path, dict[str, Any]]) -> None:
    from ipa.studies.runs.columns import COLUMNS, LIVE
    from tests.test_docs import named, table_rows

    folder, _ = finished
    files = {named(row[0]) for row in table_rows("scenarios.md", "Results", "| file |")}
    there = {f"{path.name}{'/' * path.is_dir()}" for path in (folder / "run").iterdir()}
    assert there - {"report.html"} <= files
    assert list(LIVE) == list(json.loads((folder / "run" / "manifest.json").read_text())["live"])
    assert list(COLUMNS["load"]) == list(pd.read_parquet(folder / "run" / "load.parquet").columns)


# ---- real models ----

PICKY = """\
class Model:
    def metadata(self):
        return {"inputs": [{"name": "x", "datatype": "INT32", "shape": [-1, 3]}], "outputs": []}

    def predict(self, inputs):
        if inputs["x"].max() > 6:
            raise ValueError("too large")
        return {"y": inputs["x"].sum(axis=1, keepdims=True)}
"""
FEW = ("--trace", "constant:20:1", "--set", "interval_s=1", "--policy", "static:1", "-q")


@pytest.fixture
def picky(tmp_path: Path) -> tuple[str, ...]:
    """A live run of a model that takes three small integers, and nothing else."""
    pipeline_file(tmp_path)
    for variant in ("small", "large"):
        folder = Path("models/tiny/sort", variant)
        folder.mkdir(parents=True)
        (folder / "model.py").write_text(PICKY)
    return "live", "run", "tiny.yaml", "--set", "models.source=models", *FEW


@pytest.mark.long
def test_real_models_are_sent_what_their_metadata_ask_for(picky: tuple[str, ...]) -> None:
    result = ipa(*picky, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["requests"], said["completed"], said["live"]["loss"]) == (20, 20, "")


@pytest.mark.long
def test_samples_are_tensors_in_a_file_of_arrays_or_a_request_as_json(picky: tuple[str, ...]) -> None:
    """Of the two rows the model takes the first alone: every other request fails, and the run says so, and why."""
    np.savez("rows.npz", x=np.array([[1, 2, 3], [7, 8, 9]], dtype=np.int32))
    half = ipa(*picky, "--set", "models.samples=rows.npz", "--out", "half")
    assert half.exit_code == 1
    first, *_, last = half.stderr.splitlines()
    assert first == last.removeprefix("Error: ")
    assert first.startswith(
        "10 of 20 requests were lost (10 failed). Why: 10 x HTTP status 502: failed at stage 'sort'"
    )
    load = pd.read_parquet("half/load.parquet").set_index("request")
    assert (load["reason"] != "").tolist() == [number % 2 == 1 for number in load.index]
    tensor = {"name": "x", "datatype": "INT32", "shape": [1, 3], "data": [4, 5, 6]}
    Path("request.json").write_text(json.dumps({"inputs": [tensor]}))
    assert ipa(*picky, "--set", "models.samples=request.json").exit_code == 0
    Path("request.json").write_text("{")
    assert "models.samples request.json:1: not valid JSON" in refusal(*picky, "--set", "models.samples=request.json")
    Path("rows.npz").write_text("PK")
    assert "rows.npz: not a .npz file of arrays" in refusal(*picky, "--set", "models.samples=rows.npz")


@pytest.mark.long
def test_a_run_that_served_nothing_says_so_first_and_why_and_has_failed(picky: tuple[str, ...]) -> None:
    np.savez("rows.npz", y=np.zeros((1, 3), dtype=np.int32))
    result = ipa(*picky, "--set", "models.samples=rows.npz", "--out", "run", "--json")
    assert result.exit_code == 1
    why = json.loads(result.stdout)["live"]["loss"]
    assert why.startswith("Nothing was served: 20 of 20 requests were lost (20 failed). Why: 20 x HTTP status 400: ")
    assert "inputs y; the model takes x" in why
    assert result.stderr.splitlines()[0] == why
    if find_spec("plotly") is not None:
        assert ipa("report", "run", "-q").exit_code == 0
        page = Path("run/report.html").read_text(encoding="utf-8")
        assert "Nothing was served: 20 of 20 requests were lost" in page
        assert ">stable</b>" not in page


# ---- ways to run ----


@pytest.mark.long
def test_advice_changes_nothing_after_the_start(tmp_path: Path) -> None:
    """One replica is there, two are advised, and nothing is done."""
    pipeline_file(tmp_path)
    given = ("--trace", "constant:20:3", "--set", "interval_s=1", "--set", "start=configured", "--policy", "static:2")
    result = ipa("live", "run", "tiny.yaml", *given, "--set", "controller.advise=true", "--out", "run", "--json")
    assert result.exit_code == 0, result.output
    entries = list(read_journal(Path("run/journal.jsonl").read_text().splitlines()))
    assert entries[0].outcome == Applied(False, "advise: nothing is changed")
    assert not any(entry.outcome is None or entry.outcome.accepted for entry in entries)
    assert all(entry.observation.configuration == sort() for entry in entries)
    assert all(entry.decision.configuration == sort(replicas=2) for entry in entries)
    replicas = pd.read_parquet("run/replicas.parquet")
    assert (replicas["created_s"] == 0.0).all()
    assert replicas["gone_s"].isna().all()
    assert pd.read_parquet("run/decisions.parquet")["accepted"].tolist() == [True] + [False] * len(entries)
    summary = json.loads(result.stdout)
    assert (summary["planned_cost_mean_cores"], summary["changes"]) == (1.0, 0)
    assert summary["decisions"] == len(entries)


@pytest.mark.long
def test_a_controller_does_not_go_on_with_what_was_refused(tmp_path: Path) -> None:
    """Advice is in the journal, and no part of it stands when the next controller begins."""
    pipeline_file(tmp_path)
    given = ("--trace", "constant:20:1", "--set", "interval_s=0.5", "--set", "start=configured", "--policy", "static:2")
    for _ in range(2):
        result = ipa(
            "live",
            "run",
            "tiny.yaml",
            *given,
            "--set",
            "controller.advise=true",
            "--set",
            "controller.state=journal.jsonl",
        )
        assert result.exit_code == 0, result.output
    *_, last = read_journal(Path("journal.jsonl").read_text().splitlines())
    assert last.observation.step == 2  # the first run had step 1
    assert last.observation.configuration == sort()
    assert last.decision.configuration == sort(replicas=2)


@pytest.mark.long
def test_a_controller_goes_on_from_its_state(tmp_path: Path) -> None:
    pipeline_file(tmp_path)
    load = ("--trace", "constant:20:1", "--set", "interval_s=0.5")
    for _ in range(2):
        answered = ipa("live", "run", "tiny.yaml", *load, "--set", "controller.state=journal.jsonl", "--json")
        assert answered.exit_code == 0, answered.output
    assert json.loads(answered.stdout)["decisions"] == 1  # the first decision stands in the state
    lines = Path("journal.jsonl").read_text().splitlines()
    steps = [entry.observation.step for entry in read_journal(lines)]
    assert steps == [0, 0, 1, 1, 2, 2]  # each when it was decided, and again when it was answered


def metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as response:
        text: str = response.read().decode()
    return text


@pytest.mark.long
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_policies_may_observe_through_prometheus(tmp_path: Path) -> None:
    pipeline_file(tmp_path)
    load = ("--trace", "constant:20:7", "--set", "interval_s=2", "--set", "controller.source=prometheus")
    assert ipa("live", "run", "tiny.yaml", *load, "--out", "run", "--json").exit_code == 0
    last = list(read_journal(Path("run/journal.jsonl").read_text().splitlines()))[-1].observation
    seconds = np.array(last.load_rps[-6:])
    assert np.isfinite(seconds).sum() >= 3
    assert 5.0 < np.nanmean(seconds) < 40.0  # the latest second may not have been scraped yet
    assert last.stages["sort"].arrivals > 0


# ---- ways to end ----


class started:  # noqa: N801 - reads as a verb in a with statement
    """A live run in a process of its own, in a folder with the pipeline, once its first decision is there."""

    def __init__(self, folder: Path, *options: object, temporary: Path | None = None) -> None:
        self._folder = folder
        self._options = options
        self._temporary = temporary or folder

    def __enter__(self) -> Popen[str]:
        pipeline_file(self._folder)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(self._temporary)}
        self._process = start(
            *("live", "run", "tiny.yaml", *self._options, "--set", "controller.state=state.jsonl"),
            cwd=self._folder,
            env=environment,
        )
        state = self._folder / "state.jsonl"
        until_now(lambda: state.exists() and state.read_text().count("\n") >= 4, "the first step of a live run")
        self.children = descendants(self._process.pid)
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        until_now(lambda: not any(map(is_alive, self.children)), f"the end of {self.children}")


def test_ctrl_c_ends_a_run_and_what_ran_is_written(tmp_path: Path) -> None:
    run = started(tmp_path, *LONG, "--out", "run")
    with run as process:
        assert {"gateway", "load", "sort-0"} <= set(run.children.values())
        until_served(tmp_path)
        process.send_signal(signal.SIGINT)
        said, told = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1
        assert told.splitlines()[-1] == "Error: the run ended early: interrupted"
        assert not any(map(is_alive, run.children))
    stored = results.read_run(tmp_path / "run")
    assert stored.summary["duration_s"] < 60.0
    assert 0 < stored.summary["completed"] <= stored.summary["requests"] < 1200
    assert stored.summary["unfinished"] == 0  # what was inside has been cut off, and is counted as that
    assert "unfinished" not in told
    assert stored.manifest["live"]["requests_sent"] == stored.summary["requests"]
    assert stored.manifest["live"]["ended"] == "interrupted"
    assert "Results: run" in said


@pytest.mark.long
def test_ctrl_c_at_any_moment_leaves_no_traceback_no_process_and_no_half_written_results(
    tmp_path: Path,
) -> None:
    """From the beginning of the command to the end of the interpreter, at moments of a run that is not interrupted."""
    pipeline_file(tmp_path)
    whole_s = interrupted_after(tmp_path, "whole", None)
    for share in np.linspace(0.02, 1.0, 10):
        interrupted_after(tmp_path, f"{share:.2f}", share * whole_s)


def interrupted_after(folder: Path, name: str, seconds: float | None) -> float:
    """A run of one second of load, with Ctrl-C so long after the start of its program; how long it took in all."""
    code = "from ipa.__main__ import main; print(flush=True); main()"
    command = ["live", "run", "tiny.yaml", "--trace", "constant:20:1", "--set", "interval_s=0.5", "--out", name]
    with interruptible():
        process = Popen(
            [sys.executable, "-c", code, *command],
            stdout=PIPE, stderr=PIPE, text=True, cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder), "IPA_TEST": name},
        )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    started_s = time.monotonic()
    if seconds is not None:
        time.sleep(seconds)  # the moment itself is what is tried
        process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in told
    assert process.returncode in ((0,) if seconds is None else (0, 1)), told
    until_now(lambda: not of_environment(f"IPA_TEST={name}"), "the end of the run's processes")
    assert not [path.name for path in folder.iterdir() if path.name.startswith((".", "ipa-live-"))]
    if process.returncode == 0 or (folder / name).exists():
        stored = results.read_run(folder / name)
        assert stored.summary["unfinished"] == 0
        assert stored.summary["requests"] <= 20
        if stored.manifest["live"]["ended"] == "":
            assert stored.summary["completed"] == 20
    return time.monotonic() - started_s


@pytest.mark.long
def test_a_second_ctrl_c_ends_a_controller_and_leaves_no_process(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with started(tmp_path, *LONG, temporary=scratch) as process:
        assert len(list(scratch.iterdir())) == 1
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
        assert process.returncode != 0
    # the block's end waits until every process of the run is gone
    until_now(lambda: not list(scratch.iterdir()), "the removal of what the run kept")


@pytest.mark.long
def test_a_terminal_that_is_closed_ends_a_run_and_what_ran_is_written(tmp_path: Path) -> None:
    """The kernel sends SIGHUP, and nothing can be printed any more."""
    pipeline_file(tmp_path)
    master, slave = pty.openpty()
    with interruptible():
        process = Popen(
            [
                sys.executable,
                "-m",
                "ipa",
                "live",
                "run",
                "tiny.yaml",
                *LONG,
                "--out",
                "run",
                "--set",
                "controller.state=state.jsonl",
            ],
            cwd=tmp_path,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY),
        )
    Thread(target=read_all, args=(master,), daemon=True).start()
    os.close(slave)
    state = tmp_path / "state.jsonl"
    until_now(lambda: state.exists() and state.read_text().count("\n") >= 4, "the first step of a live run")
    until_served(tmp_path)
    children = descendants(process.pid)
    os.close(master)
    assert process.wait(PATIENCE_S) == 1
    until_now(lambda: not any(map(is_alive, children)), f"the end of {children}")
    stored = results.read_run(tmp_path / "run")
    assert stored.manifest["live"]["ended"] == "interrupted"
    assert 0 < stored.summary["requests"] < 1200


def read_all(descriptor: int) -> None:
    """What a terminal shows, until it is closed."""
    with suppress(OSError):
        while os.read(descriptor, 65536):
            pass


@pytest.mark.long
def test_results_that_a_disk_has_no_room_for_are_printed_and_kept_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, elsewhere = tmp_path / "there", tmp_path / "temporary"
    there.mkdir()
    elsewhere.mkdir()

    def put(table: pd.DataFrame, path: Path) -> None:
        if path.is_relative_to(there):
            raise OSError(errno.ENOSPC, "No space left on device")
        put_table(table, path)

    monkeypatch.setattr("ipa.studies.runs.results.folder.put_table", put)
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    out = there / "run"
    ended = ipa("live", "run", pipeline_file(tmp_path), *FEW, "--out", out, "--json")
    assert (ended.exit_code, json.loads(ended.stdout)["requests"]) == (2, 20)
    line = ended.stderr.splitlines()[-1]
    monkeypatch.undo()
    (place,) = elsewhere.glob("ipa-results-*/run")
    assert results.read_run(place).summary["requests"] == 20
    assert line == (
        f"Error: {out}: cannot be written: No space left on device; "
        f"it is in {place} instead: move it where there is room"
    )
    assert list(there.iterdir()) == []


def until_served(folder: Path) -> None:
    """Wait until the run in a folder has taken its second step: it has served for a second."""
    state = folder / "state.jsonl"
    until_now(lambda: state.exists() and state.read_text().count("\n") >= 6, "the second step")


@pytest.mark.long
@pytest.mark.parametrize(("victim", "said"), [("gateway", "the gateway has ended"), ("load", "the load generator")])
def test_a_run_whose_gateway_or_load_dies_says_so(tmp_path: Path, victim: str, said: str) -> None:
    run = started(tmp_path, *LONG, "--out", "run")
    with run as process:
        until_served(tmp_path)
        (pid,) = [pid for pid, name in run.children.items() if name == victim]
        os.kill(pid, signal.SIGKILL)
        _, told = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1
        assert f"the run ended early: {said}" in told
        assert "Traceback" not in told
    stored = results.read_run(tmp_path / "run")
    assert stored.summary["requests"] > 0


# ---- what is refused, before anything starts ----


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--set", "dispatch=eager"), "dispatch: eager: the gateway dispatches centrally; allowed: central"),
        (("--set", "engine=simpy"), "engine: simpy: a live run has no engine; allowed: auto"),
        (("--set", "hop_s=0.1"), "hop_s: 0.1: a live hop takes what it takes; allowed: 0"),
        (("--set", "decision_delay_s=1"), "decision_delay_s: 1.0: a live decision takes what it takes; allowed: 0"),
        (("--set", "service_factor=1.1"), "service_factor: 1.1: the emulated servers take the profiled times"),
        (("--set", "profile_factors.object-detection.yolov5n=2"), "profile_factors: {'object-detection': {'yolov5n':"),
        (("--set", "outages=[[1, 5]]"), "outages: [[1.0, 5.0]]: metrics fail when they do; allowed: none"),
        (("--set", "service_times=mean"), "service_times: mean: the emulated servers take the profiled times"),
        (("--set", "metrics_delay_s=10"), "metrics_delay_s: 10.0: metrics are as old as they are; allowed: 0"),
        (("--policy", "ipa predictor=oracle"), "policy ipa predictor=oracle: it or its predictor reads the future"),
        (("--policy", "oracle"), "policy oracle: it or its predictor reads the future load"),
        (("--set", "controller.source=guess"), "controller.source: should be 'gateway' or 'prometheus'; given 'guess'"),
        (
            ("--set", "controller.prometheus=http://localhost:9090"),
            "controller.prometheus: needs controller.source: prometheus",
        ),
        (("--set", """controller.prometheus_match='a="b"'"""), "controller.prometheus_match: needs controller.source:"),
        (("--duration", "0.5"), "--duration 0.5: should be at least 1 second"),
        (("--policy", "ipb"), "unknown policy 'ipb'"),
    ],
)
def test_what_only_a_simulation_can_have_is_refused_by_name(given: tuple[str, ...], message: str) -> None:
    assert message in refusal("live", "run", "video", *given)


def test_without_its_libraries_live_mode_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "NEEDED", ("no_such_library",))
    wanted = "live mode needs no_such_library: pip install '.[live]' in the checkout"
    assert refusal("live", "run", "video") == wanted


def test_without_the_program_there_is_no_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "apt-get install prometheus" in refusal("live", "run", "video", "--set", "controller.source=prometheus")


def test_a_metrics_port_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal("live", "run", "video", "--set", f"controller.metrics_port={port}")
        elsewhere = refusal(
            "live",
            "run",
            "video",
            "--set",
            f"controller.metrics_port={port}",
            "--set",
            "controller.metrics_host=192.0.2.1",
        )
    assert said == f"controller.metrics_port: 127.0.0.1 port {port}: Address already in use"
    assert elsewhere == f"controller.metrics_port: 192.0.2.1 port {port}: Cannot assign requested address"


def test_results_are_never_overwritten(tmp_path: Path) -> None:
    Path("run").mkdir()
    Path("run/notes").write_text("mine")
    assert "contains other files" in refusal("live", "run", "video", "--out", "run")
    assert contents(tmp_path / "run") == {"notes": b"mine"}


@pytest.mark.long
def test_the_metrics_of_a_controller_are_served(tmp_path: Path) -> None:
    served = free_port()
    with started(tmp_path, *LONG, "--set", f"controller.metrics_port={served}"):
        until_now(lambda: 'ipa_decisions_total{pipeline="tiny",rung="optimal"}' in metrics(served), "a decision")
        assert 'ipa_replicas{pipeline="tiny",stage="sort",state="ready",variant="' in metrics(served)
