"""Results on disk: whole or not at all, the same when read back, and the same bytes from every run (L6)."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa.policies import read_journal
from ipa.studies import Run, ScenarioError, find, results, simulate
from ipa.studies.runs.tables import TABLES
from tests.command import POLICIES, SHORT, contents, ipa, start, tables

FILES = sorted([*(f"{name}.parquet" for name in (*TABLES, "runs")), "journal.jsonl", "manifest.json"])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_of(**values: Any) -> Run:
    return simulate(find("video", {"trace": "constant:5:30", **values}))


# ---- what is there ----


def test_a_run_leaves_its_tables_its_journal_and_a_manifest(here: Path) -> None:
    run = run_of(seed=7)
    results.write_run(run, here / "deep" / "run")
    assert sorted(path.name for path in (here / "deep" / "run").iterdir()) == FILES
    assert [path.name for path in (here / "deep").iterdir()] == ["run"]
    manifest = json.loads((here / "deep" / "run" / "manifest.json").read_text())
    assert (manifest["schema_version"], manifest["kind"], manifest["seed"]) == (2, "run", 7)
    assert manifest["scenario"] == run.scenario.as_dict()
    assert manifest["scenario_sha256"] == run.scenario.digest
    assert manifest["trace"]["sha256"] == run.trace.sha256
    assert manifest["trace"]["requests"] == 150
    assert manifest["versions"]["ipa-pipelines"]
    assert {"numpy", "pandas", "pyarrow", "scipy", "simpy"} <= set(manifest["versions"])


def test_reading_back_gives_the_same_summary_tables_and_journal(here: Path) -> None:
    """In an overloaded run, so that all outcomes and missing moments are there."""
    run = run_of(trace="constant:60:30", policy="static:2,1", hop_s=0.1)
    results.write_run(run, here / "run")
    stored = results.read_run(here / "run")
    assert stored.summary == run.summary
    assert stored.summary["dropped"] > 0
    assert list(stored.tables) == list(TABLES)
    for name, table in run.tables.items():
        pd.testing.assert_frame_equal(stored.tables[name], table)
    with (here / "run" / "journal.jsonl").open(encoding="utf-8") as lines:
        assert tuple(read_journal(lines)) == run.entries


def test_the_table_of_runs_is_the_summary_without_the_wall_time(here: Path) -> None:
    run = run_of()
    results.write_run(run, here / "run")
    (row,) = pd.read_parquet(here / "run" / "runs.parquet").to_dict("records")
    row["stage_accuracy_mean"] = json.loads(row["stage_accuracy_mean"])  # a mapping, as text in a table
    assert row == {name: value for name, value in run.summary.items() if name != "wall_s"}


def test_no_table_has_a_wall_time(here: Path) -> None:
    results.write_run(run_of(), here / "run")
    for path in (here / "run").glob("*.parquet"):
        assert not [column for column in pd.read_parquet(path).columns if "wall" in column]


def test_a_figure_that_is_not_there_has_the_type_of_one_that_is(here: Path) -> None:
    """Without requests there is no latency: NaN among numbers, not another kind of column."""
    (here / "none.txt").write_text("0\n" * 20)
    none, some = results.runs_table([run_of(trace="none.txt")]), results.runs_table([run_of()])
    assert none.dtypes.to_dict() == some.dtypes.to_dict()
    assert none["latency_p99_s"].isna().all()


def test_the_files_that_a_run_read_are_in_its_manifest(here: Path) -> None:
    (here / "my.py").write_text(POLICIES)
    (here / "load.txt").write_text("5\n" * 20)
    results.write_run(run_of(trace="load.txt", policy="my.py:Hold"), here / "run")
    manifest = json.loads((here / "run" / "manifest.json").read_text())
    assert manifest["files"] == {name: sha256((here / name).read_bytes()).hexdigest() for name in ("my.py", "load.txt")}
    assert manifest["trace"]["sha256"] == manifest["files"]["load.txt"]


# ---- whole or not at all ----


@pytest.mark.parametrize("moment", range(6))
def test_a_folder_that_cannot_be_finished_does_not_appear(
    here: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Interrupted at each of its five tables in turn, then at the renaming."""
    run, calls = run_of(), iter(range(100))

    def interrupting(real: Any) -> Any:
        def interrupted(*args: Any, **options: Any) -> Any:
            if next(calls) == moment:
                raise KeyboardInterrupt
            return real(*args, **options)

        return interrupted

    monkeypatch.setattr(pd.DataFrame, "to_parquet", interrupting(pd.DataFrame.to_parquet))
    monkeypatch.setattr("os.replace", interrupting(os.replace))
    with pytest.raises(KeyboardInterrupt):
        results.write_run(run, here / "run")
    assert contents(here) == {}


def test_a_full_disk_is_told_and_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(ScenarioError, match="run: cannot be written: No space left on device"):
        results.write_run(run_of(), here / "run")
    assert contents(here) == {}


def test_what_is_there_is_not_overwritten(here: Path) -> None:
    (here / "run").mkdir()
    (here / "run" / "notes.txt").write_text("mine")
    with pytest.raises(ScenarioError, match="run: cannot be written"):
        results.write_run(run_of(), here / "run")
    assert contents(here) == {"run": None, "run/notes.txt": b"mine"}


def test_an_empty_folder_may_be_filled(here: Path) -> None:
    (here / "run").mkdir()
    results.write_run(run_of(), here / "run")
    assert results.read_run(here / "run").scenario.pipeline == "video"


# ---- the same bytes ----


@pytest.mark.parametrize(
    "values",
    [
        {"trace": "bursty", "window": "380:440"},
        {"trace": "bursty", "window": "380:440", "policy": "switch-only", "journal": "full"},
        {"scale": 0.7, "scaling": "thin", "arrivals": "clumped", "start_up_extra_s": 0.2, "hop_s": 0.01},
        {"trace": "constant:60:30", "dispatch": "eager", "drop": "batch", "policy": "static:2,2"},
    ],
)
def test_l6_the_same_scenario_gives_the_same_bytes(here: Path, values: dict[str, Any]) -> None:
    for name in ("one", "two"):
        results.write_run(run_of(**values), here / name)
    one, two = tables(here / "one"), tables(here / "two")
    assert list(one) == [name for name in FILES if name != "manifest.json"]
    assert one == two


def test_l6_another_seed_gives_other_requests(here: Path) -> None:
    for seed in (1, 2):
        results.write_run(run_of(seed=seed), here / str(seed))
    assert tables(here / "1")["requests.parquet"] != tables(here / "2")["requests.parquet"]


@pytest.mark.long
def test_l6_another_process_with_other_hashes_gives_the_same_bytes(here: Path) -> None:
    command = ("simulate", "video", "--trace", "bursty", "--window", "400:430", "--set", "journal=full", "--out")
    process = start(*command, "there", env={**os.environ, "PYTHONHASHSEED": "4242"})
    assert ipa(*command, "here").exit_code == 0
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, ""), output
    assert tables(here / "there") == tables(here / "here")


def test_the_report_of_stored_results_is_that_of_the_run(here: Path) -> None:
    assert ipa("simulate", "video", *SHORT, "--out", "run", "--report", "direct.html").exit_code == 0
    assert ipa("report", "run", "--to", "later.html").exit_code == 0
    assert (here / "direct.html").read_bytes() == (here / "later.html").read_bytes()
