"""Policies written as manifests: what is read again is the same policy, and guesses are marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ipa.policies import PolicyError, create, describe, format_of, read_settings, write_settings
from tests.tiny import published, two_by_two

PIPELINE = two_by_two(published(accuracy="sum"))

POLICIES: list[tuple[str, str, dict[str, Any]]] = [
    ("hpa", "hpa", {"target": 0.6, "max_replicas": 9}),
    ("hpa", "hpa", {"metric": "rps", "target": {"a": 2.5, "b": 4.0}, "max_replicas": {"a": 9, "b": 3}}),
    ("hpa", "hpa", {"metric": "concurrency", "target": 3.0, "external": True, "max_replicas": 9}),
    (
        "hpa",
        "hpa",
        {
            "max_replicas": 9,
            "target": 0.5,
            "scale_up_window_s": 30,
            "scale_down_window_s": 60,
            "scale_up_rules": [{"pods": 2, "period_s": 60.0}, {"percent": 50.0, "period_s": 30.0}],
            "scale_down_rules": [{"percent": 10.0, "period_s": 60.0}],
            "scale_down_select": "min",
            "scale_up_select": "disabled",
            "scale_up_tolerance": 0.05,
            "scale_down_tolerance": 0.2,
        },
    ),
    ("keda", "hpa", {"metric": "rps", "target": 8.5, "external": True, "max_replicas": 30}),
    ("keda", "hpa", {"metric": "concurrency", "target": 4, "external": True, "max_replicas": 30, "min_replicas": 2}),
    ("keda", "hpa", {"target": 0.75, "max_replicas": 30, "scale_down_window_s": 10}),
]


@pytest.mark.parametrize(("wanted", "name", "parameters"), POLICIES)
def test_what_is_written_is_read_as_the_same_policy(
    tmp_path: Path, wanted: str, name: str, parameters: dict[str, Any]
) -> None:
    """Twice: what has been read is written and read again as it was."""
    path, policy = tmp_path / "settings.yaml", create(name, PIPELINE, parameters)
    for _ in range(2):
        path.write_text(write_settings(policy, PIPELINE, wanted), encoding="utf-8")
        settings = read_settings(path)
        again = create(settings.policy, PIPELINE, settings.parameters)
        assert effective(again) == effective(policy)
        policy = again


def effective(policy: object) -> dict[str, Any]:
    """What a policy goes by, stage by stage."""
    described = describe(policy)["parameters"]
    by_stage = ("target", "min_replicas", "max_replicas")
    spread = {
        key: {stage: value[stage] if isinstance(value, dict) else value for stage in "ab"}
        for key, value in described.items()
        if key in by_stage
    }
    own = {f"scale_{way}_tolerance": described.get("tolerance") for way in ("up", "down") if "tolerance" in described}
    given = {key: value for key, value in described.items() if key not in by_stage and value is not None}
    return {**own, **given, **spread}


def test_what_is_left_to_the_stage_is_written_out() -> None:
    """The small variants carry 10 rps with batches of 1, of which the target is 0.8; the batch, for concurrency."""
    by_rps = yaml.safe_load(write(create("hpa", PIPELINE, {"metric": "rps", "batch": 1, "max_replicas": 9})))
    by_batch = yaml.safe_load(write(create("hpa", PIPELINE, {"metric": "concurrency", "batch": 1, "max_replicas": 9})))
    targets = [
        manifest["items"][0]["spec"]["metrics"][0]["pods"]["target"]["averageValue"] for manifest in (by_rps, by_batch)
    ]
    assert targets == ["8", "1"]


def write(policy: object, wanted: str | None = None) -> str:
    return write_settings(policy, PIPELINE, wanted or format_of(policy))


def test_guesses_are_marked_and_comments_stand_above() -> None:
    policy = create("hpa", PIPELINE, {"metric": "rps", "target": 8.5, "external": True, "max_replicas": 30})
    text = write_settings(policy, PIPELINE, "keda", ["one", "two"])
    assert text.startswith("# one\n# two\napiVersion: v1\n")
    marked = [line.strip() for line in text.splitlines() if "  # a guess: " in line]
    assert len(marked) == 6  # of each of two stages the Deployment, the query and Prometheus
    assert marked[0] == "name: a  # a guess: the Deployment's name"
    assert '"' in marked[2]
    assert "# a guess: what the cluster measures" in marked[2]
    assert yaml.safe_load(text)["items"][0]["spec"]["triggers"][0]["metadata"]["threshold"] == "8.5"


def test_what_is_not_whole_is_rounded_and_says_so() -> None:
    policy = create("hpa", PIPELINE, {"target": 0.8564, "scale_down_window_s": 226.3, "max_replicas": 9})
    lines = [line.strip() for line in write(policy).splitlines()]
    assert lines.count("averageUtilization: 86  # rounded from 85.64") == 2
    assert lines.count("stabilizationWindowSeconds: 226  # rounded from 226.3") == 2


@pytest.mark.parametrize(
    ("wanted", "name", "parameters", "message"),
    [
        ("hpa", "hpa", {}, "maxReplicas: an HPA needs one; give the policy max_replicas"),
        ("keda", "hpa", {}, "maxReplicaCount: without one KEDA's is 100"),
        ("keda", "hpa", {"metric": "rps", "max_replicas": 9}, "metric=rps: KEDA's metrics are external"),
    ],
)
def test_what_a_format_cannot_say_is_refused(wanted: str, name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError) as refused:
        write_settings(create(name, PIPELINE, parameters), PIPELINE, wanted)
    assert message in str(refused.value)


def test_only_autoscalers_have_settings() -> None:
    with pytest.raises(PolicyError, match="no autoscaler's settings say what it does; allowed: hpa"):
        format_of(create("ipa", PIPELINE))
