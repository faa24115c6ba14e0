"""How far systems are from the one that bounds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ipa.studies.formatting import MINUS
from ipa.studies.many import Running
from ipa.studies.many.study import schema, sheets
from ipa.studies.many.study.bounds import bounded
from ipa.studies.many.study.conclusions import StudyFindings
from ipa.studies.many.study.run import conduct, prepare
from ipa.studies.scenario import ScenarioError

STUDY = """\
schema_version: 1
kind: study
pipeline: video
workloads: ["constant:12:60"]
systems:
  steady: {policy: "static:yolov5n:1:3,resnet18:1:2"}
  oracle: {policy: oracle, set: {policy.alpha: 2, policy.beta: 1}}
bound: oracle
"""


def run(folder: Path, bound: str = "oracle", load: str = "constant:12:60", text: str = STUDY) -> StudyFindings:
    path = folder / "study.yaml"
    text = text.replace("constant:12:60", load).replace("bound: oracle", f"bound: {bound}")
    path.write_text(text, encoding="utf-8")
    wanted = prepare(str(path), (), 2)
    return conduct(wanted, Running(folder / "out", 1))


def test_the_distance_is_that_of_the_objectives_that_came_out(tmp_path: Path) -> None:
    """A static configuration of 5 cores: 2 x 0.457 x 0.6975 - 5."""
    findings = run(tmp_path).findings[0]
    (row,) = bounded(findings, "default")
    (steady,) = row.others
    expected = 2 * 0.457 * 0.6975 - 5.0
    assert steady.objective is not None
    assert row.objective + steady.objective.mean == pytest.approx(expected)
    assert steady.objective.mean < 0.0
    assert not steady.breaks_more
    assert row.bound.mean("sla_violation_rate") == 0.0


def test_a_system_that_violates_the_sla_more_often_is_marked(tmp_path: Path) -> None:
    found = run(tmp_path, load="constant:60:60")
    (row,) = sheets.bounds(found, "default").rows
    assert row[-1].endswith("*")
    assert row[-1].startswith(("+", MINUS))


@pytest.mark.long
def test_where_the_bound_violates_the_sla_more_often_that_is_marked_too(tmp_path: Path) -> None:
    """An oracle that starts with nothing ready but one replica of each stage, beside 12 that stand ready."""
    cold: dict[str, Any] = {
        "start": "configured",
        "initial": {
            "object-detection": {"variant": "yolov5n", "replicas": 1},
            "image-classification": {"variant": "resnet18", "replicas": 1},
        },
    }
    cold["policy.alpha"], cold["policy.beta"] = 2, 1
    text = STUDY.replace("{policy.alpha: 2, policy.beta: 1}", json.dumps(cold)).replace(
        ":3,resnet18:1:2", ":6,resnet18:1:6"
    )
    (row,) = sheets.bounds(run(tmp_path, load="constant:30:60", text=text), "default").rows
    assert float(row[4]) > 1.0
    assert row[-1].endswith("†")


def test_a_bound_has_a_programme(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"bound: steady has the policy static:.*which does not use the optimiser"):
        run(tmp_path, bound="steady")


def test_a_bound_that_is_no_system_is_refused_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("bound: oracle", "bound: oracel"), encoding="utf-8")
    with pytest.raises(
        ScenarioError, match=r"study.yaml:8: bound: system: unknown name 'oracel'; did you mean 'oracle'\?"
    ):
        schema.load(path)


def test_a_study_without_a_bound_has_no_such_table(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("bound: oracle\n", ""), encoding="utf-8")
    found = conduct(prepare(str(path), (), 1), Running(tmp_path / "out", 1))
    assert not sheets.bounds(found, "default").rows
    assert "What bounds" not in (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
