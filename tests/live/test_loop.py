"""The live loop before a backend whose time is made of numbers: resuming, skipped steps, and every way to end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import replace

import pytest

from ipa.live.controller_metrics import ControllerMetrics
from ipa.live.errors import RunError
from ipa.live.live_controller import LiveController
from ipa.live.loop import Setup, run_without_load
from ipa.policies import (
    Applied,
    Configuration,
    Decision,
    Entry,
    Journal,
    Observation,
)
from tests.live.clockwork import PIPELINE, Clockwork, Counts
from tests.tiny import SMALL_ONES, observation


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


def test_a_controller_goes_on_from_what_is_recalled_once_its_backend_is_open(
    standing: tuple[Setup, list[Standing]],
) -> None:
    """Another has decided its sixth step while this one waited for the Lease with an empty journal."""
    setup, made = standing
    journal = Journal()
    controller = LiveController(PIPELINE, Counts(), 5.0, journal)

    def recall(to: Journal) -> None:
        made[0].log.append("recall")
        to.decided(with_six_steps().entries[0])

    def on_step(entry: Entry) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    run_without_load(setup, controller, SMALL_ONES, on_step=on_step, recall=recall)
    assert made[0].log == ["open", "recall", "start", "close"]
    assert [(each.observation.step, each.decision.memory["steps"]) for each in controller.entries] == [(7, 7)]


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
