"""Views of runs are kept: what a question shares with earlier ones is not made again, and never of another file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ipa.studies.explore import Explorer, views
from ipa.studies.explore.views import Plan, Views, planned_view
from ipa.studies.many import Keys, Standing
from ipa.studies.scenario import ScenarioError, find
from tests.command import PIPELINE
from tests.studies.explore.conftest import WRONG

pytest.importorskip("plotly")

SHORT = {"trace": "constant:5:30"}


def answered(explorer: Explorer, tab: str, number: int, what: str, policies: Sequence[str] = (), **more: Any) -> Any:
    question = {"what": what, "policies": list(policies), "seeds": 2, "values": SHORT}
    return explorer.answer({"tab": tab, "number": number, "question": question, **more})


def made(answer: Any) -> dict[str, list[float]]:
    """By policy, what the clock said of each run: it is the same for the same run only."""
    return {row["policy"]: [run["wall_s"] for run in row["runs"]] for row in answer["policies"]}


def test_only_the_policy_that_has_changed_is_run_again(explorer: Explorer) -> None:
    first = made(answered(explorer, "kept", 1, "video", ["rate margin=0.11", "ipa alpha=11", "hpa"]))
    second = made(answered(explorer, "kept beside", 1, "video", ["rate margin=0.12", "ipa alpha=11", "hpa"]))
    assert {policy: second[policy] for policy in ("ipa alpha=11", "hpa")} == {
        policy: first[policy] for policy in ("ipa alpha=11", "hpa")
    }
    assert made(answered(explorer, "kept", 2, "video", ["rate margin=0.11"])) == {
        "rate margin=0.11": first["rate margin=0.11"]
    }


def test_a_file_that_has_changed_is_read_again_and_a_pin_stays_what_it_was(explorer: Explorer, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(PIPELINE)
    before = answered(explorer, "kept file", 1, str(path), ["scale-only:low"])
    path.write_text(PIPELINE.replace("value: 0.8,", "value: 0.7,"))
    pinned = {"number": 1, "question": {"what": str(path), "policies": ["scale-only:low"], "seeds": 2, "values": SHORT}}
    now = answered(explorer, "kept file", 2, str(path), ["scale-only:low"], pinned=pinned)
    (difference,) = now["differences"]
    (accuracy,) = [figure for figure in difference["figures"] if figure["name"] == "PAS"]
    assert accuracy["values"] == pytest.approx([-10.0, -10.0])
    path.write_text(PIPELINE)
    assert made(answered(explorer, "kept file", 3, str(path), ["scale-only:low"])) == made(before)


def plan_of(*levels: float) -> Plan:
    keys = Keys()
    scenarios = [find("video", {**SHORT, "policy": f"rate margin={level}"}) for level in levels]
    return [(each.policy.title, planned_view(keys, each, "drawn")) for each in scenarios]


def test_the_oldest_views_go_first_and_the_folder_with_the_server(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, kept = Standing(explorer.processes, lambda: False), Views()
    folder = Path(kept._folder.name)

    def clock(*levels: float) -> list[float]:
        return [run.summary["wall_s"] for run in kept.of(lambda: plan_of(*levels), executor)[0]]

    first, second = clock(0.31), clock(0.32)
    assert clock(0.31, 0.32) == [*first, *second]
    (size,) = [path.stat().st_size for path in folder.iterdir()]
    monkeypatch.setattr(views, "MOST_BYTES", size // 2)
    third = clock(0.33)
    monkeypatch.undo()
    assert clock(0.33) == third
    assert clock(0.31) != first
    kept.close()
    assert not folder.exists()


def test_a_run_of_a_file_that_changes_meanwhile_is_not_kept(explorer: Explorer, tmp_path: Path) -> None:
    """Planned of one file and made of another, it would be taken for the run of the first."""
    path, executor, kept = tmp_path / "mine.yaml", Standing(explorer.processes, lambda: False), Views()
    path.write_text(PIPELINE)

    def plan() -> Plan:
        return [("", planned_view(Keys(), find(str(path), {**SHORT, "policy": "scale-only:low"}), "summary"))]

    def plan_and_change() -> Plan:
        planned = plan()
        path.write_text(PIPELINE.replace("value: 0.8,", "value: 0.7,"))
        return planned

    assert kept.of(plan_and_change, executor)[0][0].summary["pas_mean"] == pytest.approx(70.0)
    path.write_text(PIPELINE)
    assert kept.of(plan, executor)[0][0].summary["pas_mean"] == pytest.approx(80.0)
    kept.close()


@pytest.mark.long
def test_a_run_that_fails_is_named_and_made_again_for_the_next_question(explorer: Explorer) -> None:
    wrong = f"{WRONG}Raises"
    for _ in range(2):
        with pytest.raises(ScenarioError, match=r"policies.py:Raises, seed 1: .*no idea"):
            answered(explorer, "kept wrong", 1, "video", ["rate", wrong])
