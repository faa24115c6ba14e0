"""The live control loop: its clock, its deadline, its journal. Time is made of numbers here; little is waited for."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from ipa.live.controller_metrics import ControllerMetrics
from ipa.live.deadline import Deadline
from ipa.live.errors import LiveError, RunError
from ipa.live.journal import FileJournal, open_journal
from ipa.live.live_controller import LiveController
from ipa.live.run import run_without_load
from ipa.live.setup import Setup
from ipa.live.steps import take_steps
from ipa.policies import (
    Applied,
    Configuration,
    Controller,
    Decision,
    Entry,
    Journal,
    Memory,
    Observation,
    PolicyError,
    read_journal,
)
from tests.live.world import until_now
from tests.tiny import SMALL_ONES, configuration, observation, published, two_by_two

PIPELINE = two_by_two(published())
LARGER = configuration(a=("large", 1, 1, 2), b=("small", 1, 1, 1))


class Counts:
    """A policy that counts its steps in its memory and nowhere else."""

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        return Decision(observation.configuration, {"steps": memory.get("steps", 0) + 1})


class Clockwork:
    """A backend whose clock moves by sleeping, and in some steps by how long they last."""

    def __init__(self, lasting_s: Mapping[int, float]) -> None:
        self.now_s = 0.0
        self.lasting_s = lasting_s
        self.step, self.late = 0, ""
        self.begun: list[tuple[int, float]] = []

    def begin_step(self, step: int, late: str = "") -> None:
        self.step, self.late = step, late
        self.begun.append((step, self.now_s))

    def observe(self) -> Observation:
        return replace(observation(), step=self.step, time_s=self.now_s)

    def apply(self, configuration: Configuration) -> Applied:
        self.now_s += self.lasting_s.get(self.step, 0.0)
        return Applied(True, self.late)

    async def sleep(self, seconds: float) -> bool:
        self.now_s += seconds
        return True


def steps(lasting_s: Mapping[int, float], duration_s: float = 60.0, first: int = 1) -> tuple[Clockwork, list[Entry]]:
    backend, journal = Clockwork(lasting_s), Journal()
    controller = Controller(PIPELINE, Counts(), journal)
    how = {"first": first, "since_s": 0.0, "until_s": duration_s}
    asyncio.run(take_steps(lambda: controller.step(backend), backend, 10.0, backend.sleep, **how))  # type: ignore[arg-type]
    return backend, journal.entries


# ---- the clock ----


def test_steps_are_due_at_every_interval_before_the_end() -> None:
    backend, entries = steps({})
    assert backend.begun == [(1, 10.0), (2, 20.0), (3, 30.0), (4, 40.0), (5, 50.0)]
    assert [entry.outcome for entry in entries] == [Applied(True)] * 5


def test_a_step_that_lasts_does_not_shift_those_after_it() -> None:
    assert steps({2: 4.0})[0].begun == [(1, 10.0), (2, 20.0), (3, 30.0), (4, 40.0), (5, 50.0)]


def test_steps_that_would_be_late_are_skipped_and_the_journal_says_so() -> None:
    backend, entries = steps({2: 23.0})  # 20 to 43: the moments of 3 and 4 have passed
    assert backend.begun == [(1, 10.0), (2, 20.0), (5, 50.0)]
    assert [entry.observation.step for entry in entries] == [1, 2, 5]
    assert entries[-1].outcome == Applied(True, "steps 3 to 4 were skipped: step 2 took too long")
    assert entries[-1].decision.memory == {"steps": 3}


def test_one_late_step_alone_is_skipped() -> None:
    assert steps({3: 11.0})[1][-1].outcome == Applied(True, "step 4 was skipped: step 3 took too long")


def test_a_controller_that_goes_on_numbers_its_steps_on() -> None:
    assert steps({}, duration_s=25.0, first=8)[0].begun == [(8, 10.0), (9, 20.0)]


def test_without_an_end_steps_go_on_until_told_to_stop_on_a_clock_that_began_long_before() -> None:
    """It is 28,803 s there; step 42 at 28,820 lasts until 28,845, and step 45 is the last."""
    backend, journal = Clockwork({42: 25.0}), Journal()
    backend.now_s = 28_803.0
    controller = Controller(PIPELINE, Counts(), journal)

    async def sleep(seconds: float) -> bool:
        return await backend.sleep(seconds) and backend.step < 45

    how = {"first": 41, "since_s": 28_800.0, "until_s": inf}
    asyncio.run(take_steps(lambda: controller.step(backend), backend, 10.0, sleep, **how))  # type: ignore[arg-type]
    assert backend.begun == [(41, 28_810.0), (42, 28_820.0), (45, 28_850.0)]
    assert journal.entries[-1].outcome == Applied(True, "steps 43 to 44 were skipped: step 42 took too long")


class Standing(Clockwork):
    """What a controller finds on a cluster; its gateway has run for eight hours."""

    def __init__(self, lasting_s: Mapping[int, float]) -> None:
        super().__init__(lasting_s)
        self.now_s = 28_803.0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.log: list[str] = []

    async def open(self, initial: Configuration) -> None:
        self.log.append("open")

    async def start(self, origin_s: float) -> None:
        self.log.append("start")

    def observe(self) -> Observation:
        return replace(super().observe(), load_rps=(3.0,))

    async def close(self) -> None:
        self.log.append("close")


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> tuple[Setup, list[Standing]]:
    """A setup whose backend passes the time by sleeping, and the backends that it has made."""
    made: list[Standing] = []

    def make(**_: object) -> Standing:
        made.append(Standing({8: 15.0}))
        monkeypatch.setattr(asyncio, "sleep", made[0].sleep)
        return made[0]

    return Setup(PIPELINE, make, 10.0), made  # type: ignore[arg-type]


def with_six_steps() -> Journal:
    """The journal of a controller that has ended after its sixth step."""
    journal = Journal()
    journal.decided(Entry(replace(observation(), step=6), Decision(SMALL_ONES, {"steps": 6}), Applied(True)))
    return journal


def test_a_controller_on_a_cluster_resumes_and_skips_late_steps_and_its_journal_and_metrics_say_so(
    standing: tuple[Setup, list[Standing]],
) -> None:
    """Its journal has six steps. Step 8 lasts 15 s, so that 9 is skipped. SIGTERM ends it after 10."""
    setup, made = standing
    journal, metrics = with_six_steps(), ControllerMetrics(PIPELINE)

    def on_step(entry: Entry) -> None:
        metrics.step(entry, 0.01)
        if entry.observation.step == 10:
            os.kill(os.getpid(), signal.SIGTERM)

    run_without_load(setup, LiveController(PIPELINE, Counts(), 5.0, journal), SMALL_ONES, on_step=on_step)
    assert made[0].begun[:3] == [(7, 28_810.0), (8, 28_820.0), (10, 28_840.0)]
    why = "step 9 was skipped: step 8 took too long"
    assert [entry.outcome for entry in journal.entries[1:4]] == [Applied(True), Applied(True), Applied(True, why)]
    assert [entry.decision.memory["steps"] for entry in journal.entries[:4]] == [6, 7, 8, 9]
    assert 'ipa_steps_skipped_total{pipeline="tiny"} 1.0' in metrics.of_process.text().decode()
    assert made[0].log == ["open", "start", "close"]


def test_a_failure_ends_a_controller_after_the_step_that_has_begun(standing: tuple[Setup, list[Standing]]) -> None:
    setup, made = standing
    journal = Journal()

    def on_step(entry: Entry) -> None:
        if entry.observation.step == 2:
            made[0].failed.set_exception(RunError("another controller has taken over"))

    with pytest.raises(RunError, match="another controller has taken over"):
        run_without_load(setup, LiveController(PIPELINE, Counts(), 5.0, journal), SMALL_ONES, on_step=on_step)
    assert [entry.outcome for entry in journal.entries][:2] == [Applied(True)] * 2
    assert made[0].log == ["open", "start", "close"]


def test_a_signal_while_a_backend_is_opened_ends_a_controller_before_its_first_step(
    standing: tuple[Setup, list[Standing]], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, made = standing

    async def opening(self: Standing, initial: Configuration) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    monkeypatch.setattr(Standing, "open", opening)
    journal = Journal()
    run_without_load(setup, LiveController(PIPELINE, Counts(), 5.0, journal), SMALL_ONES)
    assert (journal.entries, made[0].log) == ([], ["close"])


# ---- the deadline ----


class Stuck:
    """A policy that decides once it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked = 0

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        self.asked += 1
        self.go.wait()
        return Decision(LARGER, {"decided": self.asked})


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    policy = Stuck()
    yield policy
    policy.go.set()


def test_a_policy_that_decides_in_time_is_followed(stuck: Stuck) -> None:
    stuck.go.set()
    deadline = Deadline(stuck, PIPELINE, 30.0)
    assert deadline.decide(observation(), {}) == Decision(LARGER, {"decided": 1})
    assert deadline.held == 0


def test_a_policy_that_is_late_changes_nothing_and_keeps_its_memory(stuck: Stuck) -> None:
    decision = Deadline(stuck, PIPELINE, 0.01, first_limit_s=0.01).decide(observation(), {"mine": 1})
    assert (decision.configuration, decision.memory) == (SMALL_ONES, {"mine": 1})
    assert (decision.rung, decision.notes) == ("hold", ("no decision within 0.01 s",))


def test_the_first_decision_may_take_longer(stuck: Stuck) -> None:
    """Libraries are loaded then; the second has the limit."""
    deadline = Deadline(stuck, PIPELINE, 0.01, first_limit_s=30.0)
    threading.Timer(0.1, stuck.go.set).start()
    assert deadline.decide(observation(), {}).rung == "optimal"
    stuck.go.clear()
    assert deadline.decide(observation(), {}).rung == "hold"


def test_a_policy_still_at_an_earlier_decision_is_not_asked_again(stuck: Stuck) -> None:
    deadline = Deadline(stuck, PIPELINE, 0.01, first_limit_s=0.01)
    deadline.decide(observation(), {})
    assert deadline.decide(observation(), {}).notes == ("an earlier decision is not finished",)
    assert (stuck.asked, deadline.held) == (1, 2)
    stuck.go.set()
    until_now(lambda: deadline.decide(observation(), {}).rung == "optimal", "a decision after the policy was let go")


def test_a_policy_that_fails_changes_nothing() -> None:
    class Fails:
        def decide(self, observation: Observation, memory: Memory) -> Decision:
            raise ZeroDivisionError("by zero")

    decision = Deadline(Fails(), PIPELINE, 30.0).decide(observation(), {})
    assert (decision.configuration, decision.notes) == (SMALL_ONES, ("the policy failed: ZeroDivisionError: by zero",))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (
            Decision(configuration(a=("tiny", 1, 1, 1), b=("small", 1, 1, 1)), {}),
            "PolicyError: stage 'a': unknown variant 'tiny'",
        ),
        (Decision(SMALL_ONES, {}, forecast_rps=float("nan")), "PolicyError: forecast_rps nan"),
        (Decision(SMALL_ONES, {"kept": object()}), "TypeError: Object of type object is not JSON serializable"),
        (None, "PolicyError: decide returned NoneType"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_or_journalled_changes_nothing(wrong: Decision, why: str) -> None:
    class Wrong:
        def decide(self, observation: Observation, memory: Memory) -> Decision:
            return wrong

    held = Deadline(Wrong(), PIPELINE, 30.0).decide(observation(), {})
    assert held.configuration == SMALL_ONES
    assert held.notes[0].startswith(f"the policy failed: {why}")


# ---- the journal ----

CONTROLLER = """
import sys
from pathlib import Path
from ipa.live.journal import FileJournal
from ipa.policies import Controller
from tests.live.test_control import PIPELINE, Clockwork, Counts
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
    with pytest.raises(LiveError, match="another controller writes this journal"):
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
    (tmp_path / "journal.jsonl.new").rmdir()
    many_steps(journal, 9, 12)
    journal.close()
    assert [entry.observation.step for entry in entries_of(path)] == [9, 10, 11, 12]


def test_a_controller_that_waited_for_a_file_that_was_replaced_meanwhile_is_not_its_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "journal.jsonl", tmp_path / "other.jsonl"
    other.touch()
    monkeypatch.setattr("ipa.live.journal.fcntl.flock", lambda *_: other.replace(path))
    with pytest.raises(LiveError, match="another controller writes this journal"):
        FileJournal(path)


def test_a_journal_has_one_writer(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "journal.jsonl")
    with pytest.raises(LiveError, match=r"journal.jsonl: another controller writes this journal"):
        FileJournal(tmp_path / "journal.jsonl")
    journal.close()
    FileJournal(tmp_path / "journal.jsonl").close()


def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    for text in ("dear diary\n", "dear diary"):
        path.write_text(text)
        with pytest.raises(PolicyError, match=r"notes.txt.*: not a"):
            FileJournal(path)
        assert path.read_text() == text
    with pytest.raises(LiveError, match="cannot be written: No such file or directory"):
        FileJournal(tmp_path / "nowhere" / "journal.jsonl")
