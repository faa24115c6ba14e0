"""The JSON Schemas: every file that is shipped fits, and what is wrong does not."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

from ipa.profiles import read_yaml
from ipa.studies.commands import schema as schemas
from ipa.studies.scenario import choices
from tests.command import answer

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
KINDS = get_args(choices.FileKind)
FILES = [
    path
    for folder in ("profiles/library", "studies/examples", "studies/paper")
    for path in sorted((ROOT / folder).rglob("*.yaml"))
]


def data(path: Path) -> dict[str, Any]:
    return read_yaml(path, kind=KINDS).data


@cache
def validator(kind: str | None) -> Any:
    schema = schemas.json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def problems(value: object, kind: str | None) -> list[str]:
    return [error.message for error in validator(kind).iter_errors(value)]


@pytest.mark.long
def test_every_shipped_file_fits_the_schema_of_its_kind_and_that_of_all() -> None:
    seen = set()
    for path in FILES:
        content = data(path)
        seen.add(content["kind"])
        for kind in (None, content["kind"]):
            assert problems(content, kind) == [], (path, kind)
    assert seen == set(KINDS) - {"deployment"}


SCENARIO = {"schema_version": 1, "kind": "scenario", "pipeline": "video"}


@pytest.mark.parametrize(
    "more",
    [
        {"policy": "scale-only:low"},
        {"policy": {"name": "ipa", "beta": 2}},
        {"window": "0:300"},
        {"window": ["0:300", [600, 900]]},
        {"engine": "simpy", "drop_limits_s": {"object-detection": 3}},
        {"sla_s": "500 ms", "history_s": "2 min", "drop_limits_s": {"object-detection": "1.5s"}},
        {"guards": {"hysteresis": "5 %"}, "profile_factors": {"object-detection": {"yolov5n": "50%"}}},
    ],
)
def test_what_a_scenario_may_say_fits(more: dict[str, Any]) -> None:
    assert problems({**SCENARIO, **more}, "scenario") == problems({**SCENARIO, **more}, None) == []


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"policies": "ipa"}, "'policies' was unexpected"),
        ({"engine": "fast"}, "'fast' is not one of ['auto', 'simpy', 'compiled']"),
        ({"interval_s": 0}, "0 is less than or equal to the minimum of 0"),
        ({"policy": 3}, "3 is not valid under any of the given schemas"),
        ({"interval_s": "5 %"}, "'5 %' does not match"),
        ({"interval_s": "fast"}, "'fast' does not match"),
        ({"kind": "scenery"}, "'scenery' is not one of"),
    ],
)
def test_what_a_scenario_may_not_say_does_not_fit(more: dict[str, Any], text: str) -> None:
    (problem,) = problems({**SCENARIO, **more}, None)
    assert text in problem


@pytest.mark.parametrize("key", ["schema_version", "kind"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_needs_its_header(kind: str, key: str) -> None:
    assert any(f"'{key}' is a required property" in problem for problem in problems({}, kind))


def test_a_title_may_be_a_number() -> None:
    study = data(ROOT / "studies/paper/video.yaml") | {"title": 2000}
    assert problems(study, "study") == []


def test_the_columns_of_tables_are_printed_with_their_units() -> None:
    columns = answer("schema", "tables")
    assert columns["requests"]["latency_s"] == {"unit": "s", "meaning": "end - arrival, for completed requests"}
    assert {"stages", "decisions", "summary", "manifest", "live"} <= set(columns)
