"""Scenarios: one value, whether from a file, the command line or Python; wrong ones are answered by line and key."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ipa import policies
from ipa.studies import Scenario, ScenarioError, find, load, prepare, simulate
from tests.command import PIPELINE, POLICIES, SHORT, answer, refusal

HEAD = "schema_version: 1\nkind: scenario\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IPA_TRACE", raising=False)
    return tmp_path


def written(text: str, path: str = "scenario.yaml") -> str:
    Path(path).write_text(HEAD + text)
    return path


def test_a_file_the_command_line_and_python_say_the_same() -> None:
    path = written(
        "pipeline: video\ntrace: constant:5\nwindow: 0:30,60:90\nscale: 2\npolicy: {name: ipa, beta: 0.5}\n"
        "guards: {max_replicas: 3}\ndrop_limits_s: {object-detection: 3}\n"
    )
    in_python = Scenario(
        pipeline="video",
        trace="constant:5",
        window=((0.0, 30.0), (60.0, 90.0)),
        scale=2.0,
        policy={"name": "ipa", "beta": 0.5},  # type: ignore[arg-type]
        guards={"max_replicas": 3},  # type: ignore[arg-type]
        drop_limits_s={"object-detection": 3.0},
    )
    settings = {
        "trace": "constant:5",
        "window": "0:30,60:90",
        "scale": 2,
        "policy.beta": 0.5,
        "guards.max_replicas": 3,
        "drop_limits_s.object-detection": 3,
    }
    assert load(path) == in_python == find("video").with_values(settings) == find("video", settings)
    assert load(path).digest == in_python.digest
    assert simulate(in_python).summary["requests"] == 600  # 2 x 5 rps for 60 s


def test_everything_written_down_comes_back() -> None:
    scenario = find("video", {"window": "10:20", "policy.beta": 0.5, "start": "configured"})
    assert Scenario.model_validate(scenario.as_dict()) == scenario
    assert scenario.with_values({}) == scenario


def test_values_are_read_as_in_a_file_and_win_over_it() -> None:
    path = written("pipeline: video\nseed: 3\npolicy: {name: ipa, beta: 0.5, gamma: 0}\n")
    scenario = find(path, {"seed": 4, "policy.beta": 2})
    assert (scenario.seed, scenario.policy.parameters) == (4, {"beta": 2, "gamma": 0})
    assert find(path, {"policy": "switch-only"}).policy.parameters == {}
    assert find(path, {"policy": "static", "policy.planned_load_rps": 2}).policy.parameters == {"planned_load_rps": 2}


def test_paths_in_a_file_are_beside_it_wherever_one_works(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The load is 4 rps for 30 s, the policy holds, the pipeline has one stage of one core."""
    folder = here / "study"
    folder.mkdir()
    (folder / "my.py").write_text(POLICIES)
    (folder / "mine.yaml").write_text(PIPELINE)
    (folder / "load.txt").write_text("4\n" * 30)
    written("pipeline: mine.yaml\ntrace: load.txt\npolicy: {name: 'my.py:Hold', level: 2}\n", "study/one.yaml")
    from_above = answer("simulate", "study/one.yaml", "--json", "-q")
    monkeypatch.chdir(folder)
    beside = answer("simulate", "one.yaml", "--json", "-q")
    monkeypatch.chdir("/")
    from_afar = answer("simulate", folder / "one.yaml", "--json", "-q")
    told = ("pipeline", "requests", "cost_core_s")
    for summary in (from_above, beside, from_afar):
        assert [summary[name] for name in told] == ["mine", 120, 30.0]
    assert beside["policy"] == "my.py:Hold"
    assert from_above["policy"] == "study/my.py:Hold"


def test_a_predictor_and_its_model_in_a_file_are_beside_it(here: Path) -> None:
    library = Path(policies.__file__).parent / "predictors" / "library"
    (here / "study").mkdir()
    shutil.copy(library / "lstm.npz", here / "study" / "mine.npz")
    (here / "study" / "my.py").write_text("class Flat:\n    def predict(self, observation):\n        return 5.0\n")
    given: dict[str, object] = {
        "{name: lstm, model: mine.npz}": {"name": "lstm", "model": "study/mine.npz"},
        "{name: lstm, model: lstm}": {"name": "lstm", "model": "lstm"},
        "my.py:Flat": "study/my.py:Flat",
    }
    for predictor, found in given.items():
        path = written(f"pipeline: video\npolicy: {{name: ipa, predictor: {predictor}}}\n", "study/one.yaml")
        assert find(path).policy.parameters == {"predictor": found}


def test_the_largest_seed_can_be_written_down() -> None:
    assert load(written("pipeline: video\nseed: 9223372036854775807\n")).seed == 2**63 - 1


def test_a_class_that_is_no_policy_is_told_although_its_file_is_called_like_the_key() -> None:
    Path("policy.py").write_text("class Mine:\n    pass\n")
    for name, wrong in (("policy.py:Mine", "Mine has no method 'decide'"), ("policy.py:Other", "no class 'Other'")):
        for policy in (name, f"{{name: {name}}}"):
            with pytest.raises(ScenarioError, match=rf"scenario.yaml:4: .*policy\.py.*{wrong}"):
                load(written(f"pipeline: video\npolicy: {policy}\n"))


def test_options_may_replace_what_a_file_names_wrongly() -> None:
    path = written("pipeline: video\ntrace: gone.csv\npolicy: ipaa\n")
    assert answer("simulate", path, *SHORT, "--policy", "ipa", "--json")["completed"] == 150


def test_all_that_is_wrong_is_told_at_once() -> None:
    path = written("pipeline: video\nseed: -3\nscale: 0\nhop_s: -1\n")
    assert [line.partition(" ")[0] for line in refusal("simulate", path).splitlines()] == [
        f"scenario.yaml:{line}:" for line in (4, 5, 6)
    ]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"intervals": 2.0}, "intervals: unknown key; did you mean 'interval_s'?"),
        ({"aplha": 1}, "aplha: unknown key; did you mean 'policy.alpha'?"),
        ({"guards": {"min_replica": 2}}, "guards.min_replica: unknown key; did you mean 'min_replicas'?"),
        ({"start": "configured", "initial": {"detect": {"varant": "x"}}}, "initial.detect.varant: unknown key; did"),
        ({"policy": {"nam": "ipa"}}, "policy.name: this key is missing"),
        ({"arrivals": "poison"}, "did you mean 'poisson'?"),
    ],
)
def test_a_scenario_made_in_python_is_answered_as_a_file_is(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(text)) as caught:
        Scenario(pipeline="video", **values)
    assert "validation error" not in str(caught.value)


def test_a_label_is_what_a_policy_is_called_and_none_leaves_no_trace() -> None:
    labelled = find("video", {"policy": 'ipa alpha=2 label="IPA, bold"'})
    assert (labelled.policy.name, labelled.policy.title) == ("ipa alpha=2", "IPA, bold")
    assert labelled == find("video", {"policy": {"name": "ipa alpha=2", "label": "IPA, bold"}})
    assert Scenario(**labelled.as_dict()) == labelled
    assert find("video", {"policy": "ipa"}).as_dict()["policy"] == {"name": "ipa"}
    assert find("video").policy.title == "ipa"


def test_one_start_up_time_holds_for_every_variant_and_policies_know_it() -> None:
    """With 3 s every replica is ready 3 s after its creation, and the pipeline that policies get says so."""
    values = {"trace": "bursty", "window": "340:460", "start_up_s": 3}
    run = simulate(Scenario(pipeline="video").with_values(values))
    replicas = run.tables["replicas"]
    later = replicas[(replicas["created_s"] > 0.0) & replicas["ready_s"].notna()]
    assert len(later)
    assert (later["ready_s"] - later["created_s"]).round(9).eq(3.0).all()
    given = prepare(run.scenario).pipeline
    assert {variant.start_up_s for stage in given.stages for variant in stage.variants} == {3.0}
