"""Autoscalers' settings in commands: read where a policy stands, shown, written and tuned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ipa import policies as ipa_policies
from ipa.studies.commands import policy
from tests.command import ipa, refusal

HPA = """apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {name: web}
  minReplicas: 2
  maxReplicas: 9
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}
"""
SHORT = ("--trace", "constant:5:40", "--quiet")


@pytest.fixture
def hpa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("hpa.yaml").write_text(HPA, encoding="utf-8")
    return tmp_path


def test_a_file_stands_where_a_policy_does(hpa: Path) -> None:
    """Under its own name, with the outcomes of the policy that it is; further parameters win."""
    by_name = "hpa min_replicas=2 max_replicas=9 metric=utilisation target=0.6 label=same"
    chosen = ["hpa.yaml", by_name, "hpa.yaml min_replicas=4 label=more"]
    options = [text for policy in chosen for text in ("--policy", policy)]
    result = ipa("compare", "video", *SHORT, *options[:2], *options[4:], "--jobs", 1, "--json")
    assert result.exit_code == 0, result.output
    read, more = json.loads(result.stdout)
    assert (read["policy"], more["policy"]) == ("hpa.yaml", "more")
    (named,) = json.loads(ipa("compare", "video", *SHORT, *options[2:4], "--jobs", 1, "--json").stdout)
    assert read["cost_mean_cores"] == named["cost_mean_cores"] < more["cost_mean_cores"]


def test_a_scenario_file_has_it_beside_itself(hpa: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a run that is made again needs the file no more."""
    text = "schema_version: 1\nkind: scenario\npipeline: video\npolicy: hpa.yaml\ntrace: 'constant:5:40'\n"
    Path("mine.yaml").write_text(text, encoding="utf-8")
    (hpa / "elsewhere").mkdir()
    monkeypatch.chdir(hpa / "elsewhere")
    assert ipa("simulate", "../mine.yaml", "--quiet", "--out", "out").exit_code == 0
    (hpa / "hpa.yaml").unlink()
    again = ipa("simulate", "out", "--quiet")
    assert again.exit_code == 0, again.output


def test_from_yaml_shows_the_policy(hpa: Path) -> None:
    spec = ipa("policy", "from-yaml", "hpa.yaml").stdout
    assert spec == "hpa min_replicas=2 max_replicas=9 metric=utilisation target=0.6\n"
    document = json.loads(ipa("policy", "from-yaml", "hpa.yaml", "--json").stdout)
    assert (document["policy"], document["notes"]) == ("hpa", [])


def test_what_has_no_counterpart_is_said_where_it_is_used(hpa: Path) -> None:
    Path("hpa.yaml").write_text(HPA.replace("minReplicas: 2", "minReplicas: 0"), encoding="utf-8")
    said = "hpa.yaml: spec.minReplicas: no stage goes down to 0 here"
    assert said in ipa("policy", "from-yaml", "hpa.yaml").stderr
    assert said in ipa("compare", "video", "--trace", "constant:5:40", "--policy", "hpa.yaml", "--jobs", 1).stderr


def test_to_yaml_writes_a_manifest_by_stage(hpa: Path) -> None:
    written = ipa("policy", "to-yaml", "hpa.yaml", "--pipeline", "video", "--trace", "constant:5:40").stdout
    assert "# Simulated: hpa.yaml on video, constant:5: 40 s, seed 1." in written
    names = [item["metadata"]["name"] for item in yaml.safe_load(written)["items"]]
    assert names == ["object-detection", "image-classification"]
    Path("two.yaml").write_text(written, encoding="utf-8")
    assert ipa("policy", "from-yaml", "two.yaml").stdout == ipa("policy", "from-yaml", "hpa.yaml").stdout


def test_tune_writes_its_best_setting(hpa: Path) -> None:
    options = (
        "--vary",
        "policy.target=0.5,0.7",
        "--minimise",
        "cost_mean_cores",
        "--windows",
        2,
        "--seeds",
        1,
        "--trials",
        2,
    )
    tuned = ("tune", "video", "--trace", "constant:5:80", *options, "--jobs", 1, "--quiet", "--write", "best.yaml")
    result = ipa(*tuned, "--policy", "hpa.yaml")
    assert result.exit_code == 0, result.output
    text = Path("best.yaml").read_text(encoding="utf-8")
    assert text.startswith("# hpa")
    assert "video on constant:5:80: " in text
    chosen = yaml.safe_load(result.stdout)["policy"]["target"]
    percent = yaml.safe_load(text)["items"][0]["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"]
    assert percent == round(100 * chosen)
    assert "no autoscaler's settings say what it does" in refusal(*tuned, "--policy", "ipa")


def test_the_formats_offered_are_those_that_are_written() -> None:
    assert tuple(ipa_policies.FORMATS) == policy.FORMATS


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("compare", "video", "--policy", "none.yaml"), "none.yaml: cannot be read"),
        (("simulate", "video", "--policy", "bad.yaml"), "bad.yaml: spec.maxReplicas: is missing"),
        (("policy", "from-yaml", "bad.yaml"), "bad.yaml: spec.maxReplicas: is missing"),
        (("policy", "to-yaml", "ipa", "--pipeline", "video"), "no autoscaler's settings say what it does"),
        (("policy", "to-yaml", "hpa", "--pipeline", "video"), "maxReplicas: an HPA needs one"),
        (("policy", "to-yaml", "hpa", "--pipeline", "video", "--as", "ray"), "'ray' is not one of 'hpa', 'keda'"),
    ],
)
def test_what_cannot_be_is_refused(hpa: Path, command: tuple[str, ...], message: str) -> None:
    Path("bad.yaml").write_text(HPA.replace("  maxReplicas: 9\n", ""), encoding="utf-8")
    assert message in refusal(*command)
