"""The control loop: the policy's memory goes round, the journal comes before the backend, mistakes name their step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
    StageConfiguration,
    check_configuration,
    create,
    lightest_configuration,
)
from ipa.sim import Planned, decisions_table
from ipa.sim.tables import configured_accuracy
from tests.tiny import SMALL_ONES, configuration, observation, published, two_by_two

PIPELINE = two_by_two(published())


class Counts:
    """A policy that counts its steps in its memory and nowhere else."""

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        steps = memory.get("steps", 0) + 1
        return Decision(observation.configuration, {"steps": steps, "seen": (observation.step,)})


@dataclass
class World:
    """A backend that keeps a log of what happens to it."""

    log: list[object] = field(default_factory=list)
    answer: Callable[[], Applied] = lambda: Applied(accepted=True)

    def observe(self) -> Observation:
        self.log.append("observe")
        return observation()

    def apply(self, configuration: Configuration) -> Applied:
        self.log.append("apply")
        return self.answer()


class LoggedJournal(Journal):
    def __init__(self, log: list[object]) -> None:
        super().__init__()
        self.log = log

    def decided(self, entry: Entry) -> None:
        self.log.append("decided")
        super().decided(entry)

    def answered(self, outcome: Applied) -> None:
        self.log.append("answered")
        super().answered(outcome)


def test_a_step_observes_decides_journals_applies_and_journals_the_answer() -> None:
    world = World()
    journal = LoggedJournal(world.log)
    entry = Controller(PIPELINE, Counts(), journal).step(world)
    assert world.log == ["observe", "decided", "apply", "answered"]
    assert journal.entries == [entry]
    assert (entry.decision.configuration, entry.outcome) == (SMALL_ONES, Applied(accepted=True))


def test_a_refusal_of_the_backend_is_kept() -> None:
    journal = Journal()
    refused = Applied(accepted=False, reason="no room")
    entry = Controller(PIPELINE, Counts(), journal).step(World(answer=lambda: refused))
    assert entry.outcome == refused


def test_what_was_planned_is_what_came_in_force() -> None:
    """Large ones are decided at 10 and at 20 s and refused at 10: 2 cores for 20 s, then 4 for 20 s."""
    large = configuration(a=("large", 1, 1, 2), b=("large", 1, 1, 2))
    refused, accepted = (
        Entry(replace(observation(time_s=time_s), step=step), Decision(large, {}), outcome)
        for step, time_s, outcome in ((1, 10.0, Applied(False, "no room")), (2, 20.0, Applied(True)))
    )
    planned = Planned.of(PIPELINE, SMALL_ONES, [refused, accepted])
    assert (planned.mean_cores(40.0), planned.mean_accuracy(40.0)) == (3.0, pytest.approx((0.3 + 0.72) / 2))
    assert (planned.decisions, planned.changes) == (2, 1)
    table = decisions_table(PIPELINE, SMALL_ONES, [refused, accepted])
    assert table[["step", "stage", "accepted"]].to_dict("tight")["data"] == [
        *([0, "a", True], [0, "b", True]),
        *([1, "a", False], [1, "b", False]),
        *([2, "a", True], [2, "b", True]),
    ]


def test_a_policy_cannot_change_what_it_has_decided() -> None:
    """It puts 2, 3 and 4 replicas into one mapping of its own; the other stage has one."""
    own, journal = dict(SMALL_ONES), Journal()

    class Reuses:
        def decide(self, observation: Observation, memory: Memory) -> Decision:
            own["a"] = replace(own["a"], replicas=own["a"].replicas + 1)
            return Decision(own, {})

    controller = Controller(PIPELINE, Reuses(), journal)
    planned = Planned(PIPELINE)
    for step in range(3):
        planned.stands(controller.step(World()).decision.configuration, 10.0 * step)
    assert [entry.decision.configuration["a"].replicas for entry in journal.entries] == [2, 3, 4]
    assert (planned.mean_cores(30.0), planned.changes) == (4.0, 2)


def test_a_controller_that_is_killed_while_applying_goes_on_from_its_journal() -> None:
    def killed() -> Applied:
        raise ConnectionError

    journal = Journal()
    controller = Controller(PIPELINE, Counts(), journal)
    controller.step(World())
    with pytest.raises(ConnectionError):
        controller.step(World(answer=killed))
    last = journal.entries[-1]
    assert (last.decision.memory["steps"], last.outcome) == (2, None)
    resumed = Controller(PIPELINE, Counts(), journal, memory=last.decision.memory)
    assert resumed.step(World()).decision.memory["steps"] == 3


def test_memory_goes_from_step_to_step_as_a_journal_holds_it() -> None:
    """A tuple comes back as a list in the running controller too, so that a resumed one sees the same."""
    policy, journal = Counts(), Journal()
    for controller in (Controller(PIPELINE, policy, journal), Controller(PIPELINE, policy, Journal())):
        memories = [controller.step(World()).decision.memory for _ in range(3)]
        assert memories == [{"steps": steps, "seen": [3]} for steps in (1, 2, 3)]


def test_a_memory_of_any_kind_comes_back_as_its_json_does() -> None:
    deep: Any = 1.5
    for _ in range(300):
        deep = [deep]
    memory = {
        "plain": [1, -0.0, 0.1, 1e300, "\u00e9\ud800", True, None],
        "nested": ({"a": (1, 2)}, [[], {}, ()]),
        "numbers": {1: np.float64(0.1), 2.5: 10**30, None: HTTPStatus.OK},
        "deep": deep,
    }

    class Keeps(Counts):
        def decide(self, observation: Observation, memory: Memory) -> Decision:
            return Decision(observation.configuration, kept)

    kept: dict[str, Any] = memory
    step = Controller(PIPELINE, Keeps(), Journal()).step
    assert json.dumps(step(World()).decision.memory) == json.dumps(json.loads(json.dumps(memory)))
    wrongs: list[Any] = [{"x": [inf]}, {"x": {1, 2}}, {"x": np.int64(1)}, {(1, 2): 3}]
    for wrong in wrongs:
        kept = wrong
        with pytest.raises(PolicyError, match="what JSON can hold"):
            step(World())
    kept = {"itself": []}
    kept["itself"].append(kept)
    with pytest.raises(PolicyError, match="what JSON can hold"):
        step(World())


def test_a_policy_cannot_change_its_memory_behind_the_journal() -> None:
    held: dict[str, Any] = {"list": []}

    class Leaks:
        def decide(self, observation: Observation, memory: Memory) -> Decision:
            held["list"].append(observation.step)
            return Decision(observation.configuration, held)

    controller = Controller(PIPELINE, Leaks(), Journal())
    first = controller.step(World())
    controller.step(World())
    assert first.decision.memory == {"list": [3]}


def test_what_was_right_before_is_checked_again_where_it_has_changed() -> None:
    """A policy may answer with the same mapping each time, and put something else into it."""
    own = dict(SMALL_ONES)
    controller = Controller(PIPELINE, Answers(Decision(own, {})), Journal())
    controller.step(World())
    controller.step(World())
    own["b"] = replace(own["b"], replicas=2.0)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match=r"stage 'b': replicas 2.0; allowed: whole numbers"):
        controller.step(World())
    own["b"] = own["a"]
    own["c"] = own["a"]
    with pytest.raises(PolicyError, match=r"names the stages \['a', 'b', 'c'\]"):
        controller.step(World())


def test_the_accuracy_planned_is_that_of_the_stages_in_whatever_order_a_policy_names_them() -> None:
    small_first = configuration(a=("small", 1, 1, 1), b=("large", 1, 1, 2))
    large_first = configuration(b=("small", 1, 1, 1), a=("large", 1, 1, 2))
    planned = Planned(PIPELINE)
    planned.stands(small_first, 0.0)
    planned.stands(large_first, 10.0)
    accuracies = [configured_accuracy(PIPELINE, each) for each in (small_first, large_first)]
    assert accuracies[0] != accuracies[1]
    assert planned.mean_accuracy(20.0) == pytest.approx(sum(accuracies) / 2)


class Answers:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        answer: Decision = self.answer
        return answer


def test_a_wrong_answer_names_its_step_and_reaches_neither_journal_nor_backend() -> None:
    world, journal = World(), Journal()
    wrong = Decision(configuration(a=("small", 3, 1, 1), b=("small", 1, 1, 1)), {})
    with pytest.raises(
        PolicyError, match=r"step 3 \(at 30 s\): stage 'a': batch 3; allowed for 'small': whole numbers from 1 to 2"
    ):
        Controller(PIPELINE, Answers(wrong), journal).step(world)
    assert (world.log, journal.entries) == (["observe"], [])


def test_an_error_in_a_users_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "my.py"
    file.write_text(
        "import json\n\n\nclass Mine:\n    def __init__(self, pipeline):\n        pass\n\n"
        "    def decide(self, observation, memory):\n        return json.loads('{')\n"
    )
    controller = Controller(PIPELINE, create(f"{file}:Mine", PIPELINE), Journal())
    with pytest.raises(PolicyError) as caught:
        controller.decide(observation())
    assert str(caught.value).startswith(f"step 3 (at 30 s): {file}:9: JSONDecodeError: Expecting property name")
    assert type(caught.value.__cause__).__name__ == "JSONDecodeError"


def test_an_error_that_is_not_of_a_users_file_keeps_its_traceback() -> None:
    class Breaks:
        def decide(self, observation: Observation, memory: Memory) -> Decision:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Controller(PIPELINE, Breaks(), Journal()).decide(observation())


def test_the_lightest_configuration_can_be() -> None:
    lightest = lightest_configuration(PIPELINE)
    assert lightest == SMALL_ONES
    check_configuration(PIPELINE, lightest)


SMALL = StageConfiguration("small", 1, 1, 0.0, 1)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (replace(SMALL, variant="smal"), r"stage 'b': unknown variant 'smal' \(did you mean 'small'\?\); allowed"),
        (replace(SMALL, cores=2), "stage 'b': 2 cores are not profiled for 'small'; allowed: 1"),
        (replace(SMALL, batch=3), "stage 'b': batch 3; allowed for 'small': whole numbers from 1 to 2"),
        (replace(SMALL, batch=1.0), "stage 'b': batch 1.0; allowed"),  # type: ignore[arg-type]
        (replace(SMALL, replicas=-1), "stage 'b': replicas -1; allowed: whole numbers from 0 to 10000"),
        (replace(SMALL, batch_timeout_s=-0.1), "stage 'b': batch_timeout_s -0.1; allowed: finite seconds from 0"),
        (None, "stage 'b': None is not an ipa.policies.StageConfiguration"),
    ],
)
def test_a_configuration_that_cannot_be_is_answered_with_what_can(wrong: Any, text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        check_configuration(PIPELINE, {"a": SMALL, "b": wrong})
