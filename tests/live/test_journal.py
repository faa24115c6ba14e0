"""The journal of a live controller: whole at every moment, on the disk before anything is applied, one writer."""

from __future__ import annotations

import errno
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from ipa.live.errors import LiveError, RunError
from ipa.live.journal import FileJournal, open_journal
from ipa.policies import (
    Applied,
    Decision,
    Entry,
    Journal,
    PolicyError,
    read_journal,
)
from tests.live.world import until_now
from tests.tiny import SMALL_ONES, observation

CONTROLLER = """
import sys
from pathlib import Path
from ipa.live.journal import FileJournal
from ipa.policies import Controller
from tests.live.clockwork import PIPELINE, Clockwork, Counts
journal = FileJournal(Path(sys.argv[1]))
controller = Controller(PIPELINE, Counts(), journal, journal.entries[-1].decision.memory if journal.entries else {})
backend = Clockwork({})
step = journal.entries[-1].observation.step if journal.entries else 0
while True:
    step += 1
    backend.begin_step(step)
    controller.step(backend)
"""


def entries_of(path: Path) -> list[Entry]:
    journal = FileJournal(path)
    journal.close()
    return journal.entries


def test_a_controller_that_is_killed_goes_on_from_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    counts = []
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", CONTROLLER, str(path)]) as process:
            written = path.stat().st_size if path.exists() else 0
            until_now(lambda least=written + 5000: path.exists() and path.stat().st_size > least, "some steps")  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
        counts.append(len(entries_of(path)))
    entries = entries_of(path)
    assert counts == sorted(set(counts))  # each of the three added to it
    assert [entry.observation.step for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry.decision.memory["steps"] for entry in entries] == list(range(1, len(entries) + 1))
    assert all(entry.outcome == Applied(True) for entry in entries[: counts[0] - 1])


def test_an_entry_is_on_the_disk_before_it_is_applied(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "journal.jsonl")
    entry = Entry(observation(), Decision(SMALL_ONES, {}))
    journal.decided(entry)
    assert (tmp_path / "journal.jsonl").read_text().count('"outcome":null') == 1
    journal.answered(Applied(True))
    journal.close()
    assert entries_of(tmp_path / "journal.jsonl") == [replace(entry, outcome=Applied(True))]


def test_a_line_that_was_cut_short_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = FileJournal(path)
    journal.decided(Entry(observation(), Decision(SMALL_ONES, {})))
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    assert len(entries_of(path)) == 1
    assert path.read_bytes() == whole


@pytest.mark.parametrize("cut", [0, 200])
def test_nuls_that_a_power_cut_has_left_at_the_end_are_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    journal = FileJournal(path)
    journal.decided(Entry(observation(), Decision(SMALL_ONES, {})))
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:cut] + bytes(4096))
    assert len(entries_of(path)) == 1
    assert path.read_bytes() == whole


def test_a_decision_that_comes_to_nothing_has_failed_in_the_file_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = FileJournal(path)
    for step in (1, 2):
        journal.decided(Entry(replace(observation(), step=step), Decision(SMALL_ONES, {})))
        journal.answered(Applied(True))
    journal.failed(1, "rolled back")
    journal.close()
    outcomes = [(entry.observation.step, entry.outcome) for entry in entries_of(path)]
    assert outcomes == [(1, Applied(False, "rolled back")), (2, Applied(True))]


def test_only_what_was_accepted_comes_to_nothing(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "journal.jsonl")
    outcomes = (Applied(True), Applied(False, "held"), None)
    for step, outcome in enumerate(outcomes, start=1):
        journal.decided(Entry(replace(observation(), step=step), Decision(SMALL_ONES, {})))
        if outcome is not None:
            journal.answered(outcome)
        journal.failed(step, "rolled back")
    journal.close()
    found = [entry.outcome for entry in entries_of(tmp_path / "journal.jsonl")]
    assert found == [Applied(False, "rolled back"), Applied(False, "held"), None]


def lines_of(path: Path) -> list[tuple[int, Applied | None]]:
    """Step and outcome of every line."""
    with path.open(encoding="utf-8") as lines:
        return [(entry.observation.step, entry.outcome) for entry in read_journal(lines)]


def many_steps(journal: Journal, first: int, last: int) -> None:
    for step in range(first, last + 1):
        journal.decided(Entry(replace(observation(), step=step), Decision(SMALL_ONES, {"steps": step})))
        journal.answered(Applied(True))


def test_a_journal_without_end_holds_the_latest_steps_alone_in_memory_and_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = FileJournal(path, kept=1, kept_in_file=3)
    many_steps(journal, 1, 6)
    assert [step for step, _ in lines_of(path)] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    many_steps(journal, 7, 7)  # more than twice three: the latest three are left, a line each
    assert lines_of(path) == [(5, Applied(True)), (6, Applied(True)), (7, Applied(True))]
    many_steps(journal, 8, 8)
    assert lines_of(path)[3:] == [(8, None), (8, Applied(True))]
    assert [entry.observation.step for entry in journal.entries] == [8]
    with pytest.raises(LiveError, match="another controller is writing this journal"):
        FileJournal(path)
    journal.close()
    resumed = FileJournal(path, kept=1, kept_in_file=3)
    assert [(entry.observation.step, entry.decision.memory) for entry in resumed.entries] == [(8, {"steps": 8})]
    many_steps(resumed, 9, 12)
    resumed.close()
    assert [entry.observation.step for entry in entries_of(path)] == [9, 10, 11, 12]
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_without_tables_keeps_its_latest_entry_alone_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipa.live.journal.KEPT_IN_FILE", 3)
    for state in (None, tmp_path / "bounded.jsonl"):
        with open_journal(state, has_tables=False, has_end=False) as journal:
            many_steps(journal, 1, 7)
            assert [entry.observation.step for entry in journal.entries] == [7]
    assert len(lines_of(tmp_path / "bounded.jsonl")) == 3
    with open_journal(tmp_path / "whole.jsonl", has_tables=False) as journal:
        many_steps(journal, 1, 7)
        assert len(journal.entries) == 1
    assert len(entries_of(tmp_path / "whole.jsonl")) == 7


def test_an_outcome_that_comes_late_finds_its_entry_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = FileJournal(path, kept=1, kept_in_file=3)
    many_steps(journal, 1, 8)  # of which 5 to 8 are left
    for step in (4, 5, 8):
        journal.failed(step, "rolled back")
    journal.close()
    late = Applied(False, "rolled back")
    assert journal.entries[-1].outcome == late
    assert lines_of(path)[-2:] == [(5, late), (8, late)]
    outcomes = [(entry.observation.step, entry.outcome) for entry in entries_of(path)]
    assert outcomes == [(5, late), (6, Applied(True)), (7, Applied(True)), (8, late)]


def test_a_journal_that_cannot_be_shortened_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = FileJournal(path, kept=1, kept_in_file=3)
    (tmp_path / "journal.jsonl.new").mkdir()
    many_steps(journal, 1, 8)
    assert [step for step, _ in lines_of(path)][::2] == [1, 2, 3, 4, 5, 6, 7, 8]
    journal.failed(1, "rolled back")  # it is in the file still
    assert lines_of(path)[16:] == [(1, Applied(False, "rolled back"))]
    (tmp_path / "journal.jsonl.new").rmdir()
    many_steps(journal, 9, 10)
    assert len(lines_of(path)) == 21  # it is tried again after as many entries as are kept
    many_steps(journal, 11, 12)
    journal.close()
    assert [entry.observation.step for entry in entries_of(path)] == [9, 10, 11, 12]


def test_a_disk_that_is_full_keeps_no_half_of_a_shorter_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing a file writes what is still to be written, and fails as well."""

    class Full(BytesIO):
        def fileno(self) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            if not self.closed:
                super().close()
                raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path: Path, *mode: str) -> Any:
        if path.suffix != ".new":
            return path_open(path, *mode)
        path.touch()
        return Full()

    path = tmp_path / "journal.jsonl"
    journal = FileJournal(path, kept=1, kept_in_file=3)
    path_open: Any = Path.open
    monkeypatch.setattr(Path, "open", opened)
    many_steps(journal, 1, 8)
    monkeypatch.undo()
    assert [each.name for each in tmp_path.iterdir()] == ["journal.jsonl"]
    assert [step for step, _ in lines_of(path)][::2] == [1, 2, 3, 4, 5, 6, 7, 8]
    journal.close()


def test_a_decision_that_no_disk_has_room_for_is_not_taken_and_the_journal_goes_on_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = FileJournal(path)
    many_steps(journal, 1, 2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, limits[1]))
    try:
        with pytest.raises(RunError, match=r"journal\.jsonl: cannot be written: File too large"):
            many_steps(journal, 3, 3)
        assert [entry.observation.step for entry in journal.entries] == [1, 2]
        journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not path.read_bytes().endswith(b"\n")  # a part of it is there
    journal = FileJournal(path)
    many_steps(journal, 3, 3)
    journal.close()
    assert [entry.observation.step for entry in entries_of(path)] == [1, 2, 3]


def test_a_controller_that_waited_for_a_file_that_was_replaced_meanwhile_is_not_its_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "journal.jsonl", tmp_path / "other.jsonl"
    other.touch()
    monkeypatch.setattr("ipa.live.journal.fcntl.flock", lambda *_: other.replace(path))
    with pytest.raises(LiveError, match="another controller is writing this journal"):
        FileJournal(path)


def test_a_journal_has_one_writer(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "journal.jsonl")
    with pytest.raises(LiveError, match=r"journal.jsonl: another controller is writing this journal"):
        FileJournal(tmp_path / "journal.jsonl")
    journal.close()
    FileJournal(tmp_path / "journal.jsonl").close()


def test_who_waits_gets_the_journal_when_its_writer_has_ended(tmp_path: Path) -> None:
    before = FileJournal(tmp_path / "journal.jsonl")
    ending = Timer(0.5, before.close)
    ending.start()
    FileJournal(tmp_path / "journal.jsonl", within_s=60.0).close()
    ending.join()


def test_a_volume_without_locks_is_told_from_another_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("ipa.live.journal.fcntl.flock", refused)
    with pytest.raises(LiveError, match=r"journal.jsonl: cannot be locked: No locks available"):
        FileJournal(tmp_path / "journal.jsonl", within_s=60.0)


def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    for text in ("dear diary\n", "dear diary"):
        path.write_text(text)
        with pytest.raises(PolicyError, match=r"notes.txt.*: not a"):
            FileJournal(path)
        assert path.read_text() == text
    with pytest.raises(LiveError, match="cannot be written: No such file or directory"):
        FileJournal(tmp_path / "nowhere" / "journal.jsonl")
