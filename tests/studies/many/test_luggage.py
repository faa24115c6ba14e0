"""What goes along to a cluster, and what its workers have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipa.studies import Scenario, find
from ipa.studies.many import Bundle, FinishedRun, PlannedRun, summary_of
from ipa.studies.many.bundle import ChunkAnswer, Unpacked, VersionCheck, program, work
from ipa.studies.many.executor import Done, make
from ipa.studies.scenario import WorkerError
from ipa.studies.scenario.loads import brought, find_trace
from ipa.traces import constant
from tests.command import PIPELINE, POLICIES


@pytest.fixture
def here(elsewhere: Path) -> Path:
    """A folder with a pipeline, a policy and a trace."""
    (elsewhere / "mine.yaml").write_text(PIPELINE)
    (elsewhere / "my.py").write_text(
        POLICIES + "\n\nclass Bad(Hold):\n    def decide(self, observation, memory):\n        1 / 0\n"
    )
    (elsewhere / "load.csv").write_text("time_s\n" + "".join(f"{k / 5}\n" for k in range(1, 150)))
    return elsewhere


def scenario(policy: str) -> Scenario:
    return find("mine.yaml", {"policy": policy, "trace": "./load.csv", "records": "none", "engine": "simpy"})


def test_a_worker_without_the_files_gives_the_same_answer(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [scenario("my.py:Hold level=2"), scenario("my.py:Bad")]
    luggage = Bundle.of(chosen)
    assert sorted(luggage.files) == ["./load.csv", "mine.yaml", "my.py"]
    asked = [PlannedRun(str(number), each.as_dict()) for number, each in enumerate(chosen)]
    ours = make(summary_of, "here", asked).ended
    (here / "far").mkdir()
    monkeypatch.chdir(here / "far")
    for name in ("mine.yaml", "my.py", "load.csv"):
        (here / name).unlink()
    theirs = work(luggage, summary_of, asked).done.ended
    (_, one), (_, error) = theirs
    assert isinstance(one, FinishedRun)
    assert isinstance(ours[0][1], FinishedRun)
    assert {**one.summary, "wall_s": 0} == {**ours[0][1].summary, "wall_s": 0}
    assert error == ours[1][1]
    assert "my.py:" in str(error)


def test_names_are_changed_where_they_stand_alone(here: Path) -> None:
    unpacked = Unpacked(Bundle({"my.py": {"my.py": b""}}, {}, ""))
    data = {"policy": {"name": "my.py:A predictor=my.py:P", "label": "tiny.py my.pyx"}, "other": ["my.py", 3]}
    there = unpacked.renamed(PlannedRun("", data)).data
    path = there["other"][0]
    assert Path(path).read_bytes() == b""
    assert there["policy"] == {"name": f"{path}:A predictor={path}:P", "label": "tiny.py my.pyx"}
    done = unpacked.returned(
        Done(
            [
                ("", f"{path}:3: oh"),
                ("", FinishedRun({"policy": path}, {"manifest.json": json.dumps({"files": {path: "1"}}).encode()})),
            ],
            0.0,
        )
    )
    assert [each if isinstance(each, str) else each.summary for _, each in done.ended] == [
        "my.py:3: oh",
        {"policy": "my.py"},
    ]
    ((_, outcome),) = done.ended[1:]
    assert isinstance(outcome, FinishedRun)
    assert json.loads(outcome.files["manifest.json"]) == {"files": {"my.py": "1"}}


def test_a_load_that_was_brought_is_found_by_its_name() -> None:
    load = constant(5.0, 30)
    with brought({"twitter:bursty": load}):
        assert find_trace("twitter:bursty", 1) is load
    with brought({}), pytest.raises(ValueError, match="unknown trace 'nowhere'"):
        find_trace("nowhere", 1)


def answer(**other: str) -> ChunkAnswer:
    return ChunkAnswer("far", {**program(), **other}, Done([], 0.0))


def test_a_worker_with_another_version_of_this_program_is_refused_by_name() -> None:
    said: list[str] = []
    customs = VersionCheck(said.append)
    assert customs.passed(answer()) == Done([], 0.0)
    with pytest.raises(WorkerError, match=r"worker far has ipa-pipelines 0\.0\.1 \(source \w+\), this machine has"):
        customs.passed(answer(**{"ipa-pipelines": "0.0.1"}))
    with pytest.raises(WorkerError, match=r"\(source another.*install the same version there"):
        customs.passed(answer(source="another!"))
    assert said == []


def test_another_version_of_a_library_is_told_once() -> None:
    said: list[str] = []
    customs = VersionCheck(said.append)
    for _ in range(2):
        customs.passed(answer(numpy="1.0"))
    assert said == [f"Worker far has numpy 1.0 (here {program()['numpy']}): figures may differ in the last digits"]
