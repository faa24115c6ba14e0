"""A file or a folder appears whole or not at all, and what cannot be finished leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa.studies import ScenarioError
from ipa.studies.runs.results import check_writable, whole_file, whole_folder, write_json, write_table, write_text
from tests.command import contents

WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: write_text("new", path),
    "json": lambda path: write_json({"new": 1}, path),
    "table": lambda path: write_table(pd.DataFrame({"new": [1]}), path),
}
WRITERS_TESTED = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())


def on_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write stops after its first half."""

    def text(path: Path, data: str, **_: Any) -> int:
        path.write_bytes(data.encode()[: len(data) // 2])
        raise OSError(28, "No space left on device")

    def parquet(_: pd.DataFrame, path: Path, **__: Any) -> None:
        path.write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", text)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", parquet)


@WRITERS_TESTED
def test_a_file_is_replaced_whole(write: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    write(tmp_path / "file")
    assert b"new" in (tmp_path / "file").read_bytes()
    assert os.listdir(tmp_path) == ["file"]


@WRITERS_TESTED
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    on_a_full_disk(monkeypatch)
    with pytest.raises(ScenarioError, match="file: cannot be written: No space left on device"):
        write(tmp_path / "file")
    assert contents(tmp_path) == {"file": b"old"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_whatever_ends_the_writing_nothing_is_left(error: type[BaseException], tmp_path: Path) -> None:
    def half_a_file() -> None:
        with whole_file(tmp_path / "file") as part:
            part.write_text("half")
            raise error

    def half_a_folder() -> None:
        with whole_folder(tmp_path / "folder") as fresh:
            (fresh / "half").write_text("half")
            raise error

    for write in (half_a_file, half_a_folder):
        with pytest.raises(error):
            write()
        assert contents(tmp_path) == {}


def test_what_a_killed_program_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from ipa.studies.runs.results import whole_file, whole_folder
with whole_file(Path({str(tmp_path / "file")!r})) as part, whole_folder(Path({str(tmp_path / "folder")!r})) as fresh:
    part.write_text("half")
    (fresh / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len(os.listdir(tmp_path)) == 2
    write_text("all", tmp_path / "file")
    with whole_folder(tmp_path / "folder") as fresh:
        (fresh / "file").write_text("all")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_what_another_program_is_writing_stays(tmp_path: Path) -> None:
    with whole_file(tmp_path / "file") as part:
        part.write_text("half")
        code = f"from pathlib import Path; from ipa.studies.runs.results import write_text; \
write_text('theirs', Path({str(tmp_path / 'file')!r}))"
        subprocess.run([sys.executable, "-c", code], check=True)
        assert part.read_text() == "half"
    assert (tmp_path / "file").read_text() == "half"


def test_a_folder_appears_with_all_that_is_in_it(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "deep" / "folder") as fresh:
        (fresh / "file").write_text("all")
        assert not (tmp_path / "deep" / "folder").exists()
    assert contents(tmp_path) == {"deep": None, "deep/folder": None, "deep/folder/file": b"all"}


def test_a_folder_on_a_full_disk_does_not_appear(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on_a_full_disk(monkeypatch)
    with (
        pytest.raises(ScenarioError, match="folder: cannot be written: No space left on device"),
        whole_folder(tmp_path / "folder") as fresh,
    ):
        (fresh / "file").write_text("all")
    assert contents(tmp_path) == {}


def test_a_folder_that_holds_something_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    with pytest.raises(ScenarioError, match="folder: cannot be written"), whole_folder(tmp_path / "folder"):
        pass
    assert contents(tmp_path) == {"folder": None, "folder/mine": b"mine"}


def test_a_file_within_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in WRITERS.values():
        with pytest.raises(ScenarioError, match="file/inner: cannot be written"):
            write(tmp_path / "file" / "inner")
    with pytest.raises(ScenarioError, match="--out x: cannot be written"):
        check_writable(tmp_path / "file" / "inner", "--out x")
