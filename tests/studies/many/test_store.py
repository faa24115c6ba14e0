"""The store: what is damaged on the disk is noticed, a reader is waited for, and one command at a time makes runs."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ipa.studies.many import FinishedRun, opened, store
from ipa.studies.scenario.errors import ScenarioError

RUN = FinishedRun({"cost_mean_cores": 1.25}, {"one": b"first file", "two": b"second"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with the run `a`."""
    path = tmp_path / "store"
    with opened(path) as kept:
        kept.keep([("a", RUN)])
    return path


@pytest.mark.parametrize(
    "change",
    [
        "runs SET summary = replace(summary, '1.25', '1.35')",
        "runs SET summary = CAST(replace(summary, '1.25', '1.2' || x'b5') AS TEXT)",
        "runs SET key = 'b'",
        "files SET content = CAST('First file' AS BLOB) WHERE name = 'one'",
        "files SET name = 'three' WHERE name = 'two'",
    ],
)
def test_one_flipped_digit_is_noticed_and_the_run_made_again(path: Path, change: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {change}")
    connection.close()
    said: list[str] = []
    (key,) = ["b" if "key" in change else "a"]
    with opened(path, said.append) as kept:
        with pytest.raises(ScenarioError, match="store: a run was damaged on the disk; repeat the command that made"):
            kept.outcome(key)
        assert kept.among([key], kept.last()) == {}
        assert said == [f"{path}: 1 of the runs kept there was damaged on the disk and is made again"]
        kept.keep([(key, RUN)])
        assert kept.summaries([key]) == {key: RUN.summary}
        assert kept.outcome(key) == RUN


def test_a_reader_is_waited_for_and_that_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_S", 0.01)
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT key FROM runs").fetchone()
    said: list[str] = []

    def let_go(text: str) -> None:
        said.append(text)
        reader.close()

    with opened(path, let_go) as kept:
        kept.keep([("b", RUN)])
        assert kept.count(["a", "b"]) == 2
    assert said == [f"{path} is being read by another program; waiting until it lets go of it"]


def test_a_reader_that_never_lets_go_ends_it_and_nothing_is_kept_by_halves(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BUSY_S", 0.01)
    monkeypatch.setattr(store, "PATIENCE_S", 0.0)
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT key FROM runs").fetchone()
    with pytest.raises(ScenarioError, match="store: database is locked"), opened(path) as kept:
        kept.keep([("b", RUN), ("c", "oh")])
    reader.close()
    with opened(path) as kept:
        assert kept.summaries(["a", "b", "c"]) == {"a": RUN.summary}


def test_one_command_at_a_time_makes_runs_and_others_may_read(path: Path) -> None:
    with opened(path, alone=True):
        with pytest.raises(ScenarioError, match="another command is making its runs"), opened(path, alone=True):
            pass
        with opened(path) as read:
            assert read.count(["a"]) == 1
    with opened(path, alone=True):
        pass
