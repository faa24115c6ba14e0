"""What another policy would have decided on a run's observations."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa.studies import Scenario, ScenarioError, read_run, replay, simulate, write_run


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with free cores, which takes the most accurate variants."""
    folder = tmp_path_factory.mktemp("free") / "run"
    write_run(simulate(Scenario(pipeline="video", trace="constant:5:30").with_values({"policy.beta": 0})), folder)
    return folder


def test_a_policy_decides_again_with_the_settings_of_the_run_and_differently_with_others(free: Path) -> None:
    run = read_run(free)
    same = replay(run.journal, run.scenario)
    assert (same.policy, same.equal, len(same.recorded), len(list(same.lines()))) == ("ipa", 3, 3, 3)
    for values in ({"policy.beta": 1}, {"sla_s": 0.6}, {"policy": "scale-only:low"}):
        other = replay(run.journal, run.scenario.with_values(values))
        assert (other.equal, len(other.replayed)) == (0, 3)


def test_of_several_lines_of_a_step_the_latest_counts(free: Path, tmp_path: Path) -> None:
    """As of a live controller, which writes a line when it has decided, and another with the answer."""
    run = read_run(free)
    lines = run.journal.read_text(encoding="utf-8").splitlines()
    doubled = tmp_path / "journal.jsonl"
    doubled.write_text("\n".join(line for line in lines for _ in range(2)), encoding="utf-8")
    assert len(replay(doubled, run.scenario).recorded) == 3


def test_what_is_no_journal_of_the_pipeline_is_refused(free: Path, tmp_path: Path) -> None:
    run = read_run(free)
    empty = tmp_path / "journal.jsonl"
    empty.write_text("")
    with pytest.raises(ScenarioError, match="holds no entries"):
        replay(empty, run.scenario)
    with pytest.raises(ValueError, match="the journal is of 'video'"):
        replay(run.journal, Scenario(pipeline="sum-qa"))
