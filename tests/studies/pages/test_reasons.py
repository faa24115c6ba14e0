"""What the pointer shows of a decision is what the journal and the optimiser say."""

from __future__ import annotations

from html import unescape

import pytest

from ipa.studies import Run, Scenario, simulate
from ipa.studies.many.comparison import by_policy
from ipa.studies.pages.scene import LINE, Reasons
from ipa.studies.runs.decision import explained, planner
from tests.studies.made import decisions_of, made


@pytest.fixture(scope="module")
def run() -> Run:
    return simulate(Scenario(pipeline="video", window=((400.0, 480.0),)))


def reasons_of(run: Run) -> Reasons:
    return Reasons(by_policy([run])[0])


def test_a_decision_names_forecast_plan_binding_and_runner_up(run: Run) -> None:
    policy, entry = planner(run.scenario), run.entries[-1]
    assert policy is not None
    found = explained(policy, entry)
    assert found is not None
    assert found.runner_up is not None
    lines = unescape(reasons_of(run).of(entry.observation.step)).split("<br>")
    decision = entry.decision
    assert lines[0] == f"forecast {decision.forecast_rps:.1f} rps, planned for {decision.planned_load_rps:.1f}"
    assert any(line.startswith(("bound by", "no limit")) for line in lines)
    said = " ".join(map(str.strip, lines))
    assert f"objective {found.runner_up.difference:.2g} less" in said
    for stage, wanted in found.runner_up.configuration.items():
        told = f"{stage} {wanted.variant} {wanted.replicas}×b{wanted.batch}" in said
        assert told == (wanted != decision.configuration[stage])


def test_a_full_journal_says_what_a_little_more_would_bring() -> None:
    """On 3 cores: a fourth one has its price at the burst."""
    window = ((400.0, 480.0),)
    run = simulate(Scenario(pipeline="video", window=window, journal="full", limit_cores=3))
    reasons = reasons_of(run)
    said = [unescape(reasons.of(entry.observation.step)) for entry in run.entries]
    assert all("one more core: " in lines and "10 ms more of SLA: " in lines for lines in said)
    for entry, lines in zip(run.entries, said, strict=True):
        assert entry.decision.why is not None
        if entry.decision.why["one_more_core"]["configuration"] is None:
            assert "one more core: no other plan" in lines
    assert any("one more core: no other plan" not in lines for lines in said)
    lean = reasons_of(simulate(Scenario(pipeline="video", window=window, limit_cores=3)))
    assert not any("one more core" in lean.of(step) for step in lean.steps)


def test_lines_are_short(run: Run) -> None:
    reasons = reasons_of(run)
    lines = [unescape(line) for step in reasons.steps for line in reasons.of(step).split("<br>")]
    assert max(map(len, lines)) <= LINE


def test_no_code_of_others_is_run_to_explain() -> None:
    assert planner(Scenario(pipeline="video").with_values({"policy": "studies/examples/my_policy.py:Steady"})) is None
    assert planner(Scenario(pipeline="video").with_values({"policy": "hpa"})) is None


def test_a_refused_fallback_is_told_with_its_notes() -> None:
    one = made()
    one.tables["decisions"] = decisions_of((0.0, "small", 1, 2)).assign(
        rung="hold", binding="replicas", feasible=False, accepted=False, notes="no load sample; <b>held</b>"
    )
    assert Reasons(by_policy([one])[0]).of(0).split("<br>") == [
        "forecast 5.0 rps, planned for 5.0",
        "rung: hold",
        "bound by the limit of replicas",
        "load, SLA and limits could not all be met",
        "refused: the configuration before stayed",
        "no load sample",
        "&lt;b&gt;held&lt;/b&gt;",
    ]
