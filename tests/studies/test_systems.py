"""What a comparison compares: policies with keys and labels of their own, and parameters for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipa.studies import Scenario, ScenarioError, compare, find
from ipa.studies.many.systems import choose

VIDEO = find("video")

PREDICTOR = """
class Forty:
    def predict(self, observation):
        return 40.0
"""


def told(chosen: list[Scenario]) -> list[tuple[str, str, dict[str, Any]]]:
    """The title, the name and the parameters beside the name of each."""
    return [(each.policy.title, each.policy.name, each.policy.parameters) for each in chosen]


# ---- each its own ----


def test_the_scenarios_own_policy_keeps_its_parameters_and_the_others_have_none() -> None:
    base = find("video", {"policy.beta": 0.5})
    assert told(choose(base, ["ipa", "switch-only", "ipa alpha=3"])) == [
        ("ipa", "ipa", {"beta": 0.5}),
        ("switch-only", "switch-only", {}),
        ("ipa alpha=3", "ipa alpha=3", {}),
    ]
    assert told(choose(base, ["ipa label=Ours"])) == [("Ours", "ipa", {"beta": 0.5})]
    with pytest.raises(
        ScenarioError, match=r"parameters of 'ipa' \(beta\), which is not compared; compared: switch-on"
    ):
        choose(base, ["switch-only"])


def test_a_mapping_means_the_same_as_a_text() -> None:
    mapping = {"name": "ipa", "label": "IPA, bold", "predictor": {"name": "mean", "factor": 1.2}, "rounding": "none"}
    text = 'ipa predictor={name: mean, factor: 1.2} rounding=none label="IPA, bold"'
    assert choose(VIDEO, [mapping]) == choose(VIDEO, [text])
    assert choose(VIDEO, [{"name": "ipa"}]) == choose(VIDEO, ["ipa"])


@pytest.mark.parametrize(
    ("policies", "text"),
    [
        (["ipa", "switch-only", "ipa"], "--policy ipa: given twice; a comparison runs each policy once per seed."),
        (["ipa", "ipa label=B"], "--policy 'ipa' and 'B' are the same policy with the same parameters"),
        (["ipa accuracy='sum'", 'ipa  accuracy="sum"'], "are the same policy with the same parameters; leave one out"),
        (["ipa alpha=1 beta=2", {"name": "ipa", "beta": 2.0, "alpha": 1}], "are the same policy with the same par"),
        (["ipa alpha=1 label=X", "rate label=X"], "label 'X': is of 'ipa alpha=1' and of 'rate'; give each its own"),
        (["ipa alpha=1 label=rate", "rate"], "label 'rate': is of 'ipa alpha=1' and of 'rate'"),
        (["ipa label="], "label should be a line of text of at most 80 characters; given ''"),
        ([f"ipa label={'x' * 81}"], "label should be a line of text of at most 80 characters"),
        (["ipa label=[a]"], "label should be a line of text of at most 80 characters; given ['a']"),
        ([{"name": "ipa label=A", "label": "B"}], "label: given twice, 'A' and 'B'"),
    ],
)
def test_entries_that_are_equal_or_cannot_be_told_apart_are_refused(policies: list[Any], text: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        choose(VIDEO, policies)
    assert text in str(refused.value)


# ---- parameters for all ----


def test_a_parameter_reaches_every_policy_that_has_it_and_which_have_not_is_said() -> None:
    said: list[str] = []
    policies = ["ipa", "scale-only:low", "hpa:high", "rate", "oracle"]
    chosen = choose(VIDEO, policies, parameters={"predictor.name": "mean", "predictor.factor": 1.1}, log=said.append)
    reached = {"predictor": {"name": "mean", "factor": 1.1}}
    assert [each.policy.parameters for each in chosen] == [reached, reached, {}, reached, {}]
    assert said == ["policy.predictor does not reach hpa:high, oracle, which have no such parameter"]


def test_a_policys_own_key_comes_before_that_of_all_and_the_files_does_not() -> None:
    base = find("video", {"policy.alpha": 7})
    chosen = choose(base, ["ipa", "switch-only alpha=3", "switch-only"], parameters={"alpha": 5})
    assert [(each.policy.name, each.policy.parameters) for each in chosen] == [
        ("ipa", {"alpha": 5}),
        ("switch-only alpha=3", {}),
        ("switch-only", {"alpha": 5}),
    ]
    with pytest.raises(ScenarioError, match="'ipa' and 'ipa alpha=5' are the same policy"):
        choose(VIDEO, ["ipa", "ipa alpha=5"], parameters={"alpha": 5})


def test_a_parameter_that_no_policy_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(ScenarioError, match=r"policy.predictro: none of .* ipa, rate; did you mean 'policy.predictor'"):
        choose(VIDEO, ["ipa", "rate"], parameters={"predictro": "max"})
    with pytest.raises(ScenarioError, match=r"policy\.predictor: none of the compared policies has it: hpa$"):
        choose(VIDEO, ["hpa"], parameters={"predictor": "max"})


def test_a_class_in_a_file_is_reached_where_it_names_the_parameter(tmp_path: Path) -> None:
    file = tmp_path / "my.py"
    body = "        pass\n\n    def decide(self, observation, memory):\n        raise NotImplementedError\n\n"
    file.write_text(
        f"class Has:\n    def __init__(self, pipeline, predictor='max'):\n{body}"
        f"class Any:\n    def __init__(self, pipeline, **anything):\n{body}"
        f"class Lacks:\n    def __init__(self, pipeline):\n{body}"
    )
    policies = [f"{file}:{name}" for name in ("Has", "Any", "Lacks")]
    chosen = choose(VIDEO, policies, parameters={"predictor": "mean"})
    assert [each.policy.parameters for each in chosen] == [{"predictor": "mean"}, {"predictor": "mean"}, {}]


# ---- what comes of it ----


def test_a_comparison_of_predictors_is_kept_resumed_and_shown_by_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 rps take more cores than 5; a predictor of one's own always says 40."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(PREDICTOR)
    short = find("video", {"trace": "constant:5:20", "hop_s": 0.01})
    both, low = ("max", "my.py:Forty"), "scale-only:low"
    policies = [
        *(f"ipa predictor={each} label='IPA <a> {each}'" for each in both),
        *(f"{low} predictor={each}" for each in both),
    ]
    policies.append("static")
    varied: dict[str, Any] = {"parameters": {"alpha": 0}, "jobs": 1}
    comparison = compare(short, policies, folder="out", **varied)
    names = [
        *("IPA <a> max", "IPA <a> my.py:Forty"),
        *("scale-only:low predictor=max", "scale-only:low predictor=my.py:Forty", "static"),
    ]
    assert comparison.policies == names
    assert list(comparison.summary.index) == names
    planned = [run.summary["planned_cost_mean_cores"] for run in comparison.runs]
    assert planned[1] > planned[0]
    assert planned[3] > planned[2]
    assert "IPA &lt;a&gt; max" in comparison._repr_html_()
    assert "IPA <a>" not in comparison._repr_html_()

    monkeypatch.setattr("ipa.studies.many.making.simulate", pytest.fail)
    assert [run.summary for run in compare(short, policies, folder="out", **varied).runs] == [
        run.summary for run in comparison.runs
    ]
    (tmp_path / "my.py").write_text(PREDICTOR.replace("40", "12"))
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    changed = compare(short, policies, folder="out", **varied)
    assert [run.summary["planned_cost_mean_cores"] for run in changed.runs][1] < planned[1]
