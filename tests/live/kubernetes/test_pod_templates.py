"""What people add to our pods: partial pod templates, merged as `kubectl patch` merges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipa.live.kubernetes import controller_manifests, names
from ipa.live.kubernetes.difference import drift
from ipa.live.kubernetes.gateway_manifests import gateway_access, gateway_deployment
from ipa.live.kubernetes.manifests import stage_deployment
from ipa.live.kubernetes.pod_templates import patched
from tests.live.kubernetes.world import settings_of, tiny
from tests.live.world import sort

SMALL, LARGE = sort("small")["sort"], sort("large")["sort"]


def template(folder: Path, part: str = "sort", wanted: Any = SMALL, **pods: Any) -> dict[str, Any]:
    """The pod template of a part of the tiny pipeline with these templates."""
    deployed = tiny(folder, settings=settings_of(cluster__pods=pods))
    if part == "gateway":
        made = gateway_deployment(deployed)
    elif part == "controller":
        made = controller_manifests.controller(deployed, {})[-1]
    else:
        made = stage_deployment(deployed, "sort", wanted)
    found: dict[str, Any] = made["spec"]["template"]
    return found


@pytest.mark.parametrize(
    ("ours", "patch", "both"),
    [
        ({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}, {"a": 1, "b": {"c": 2, "d": 3}}),
        ({"a": 1, "b": 2}, {"b": None}, {"a": 1}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "x", "w": 2}, {"name": "y"}]}, None),
        ({"a": [{"key": "x", "e": 1}]}, {"a": [{"operator": "Exists"}]}, {"a": [{"operator": "Exists"}]}),
        ({}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
    ],
)
def test_a_patch_is_merged_into_plain_data(ours: Any, patch: Any, both: Any) -> None:
    expected = {"a": [{"name": "x", "v": 1, "w": 2}, {"name": "y"}]} if both is None else both
    before = repr(ours)
    assert patched(ours, patch) == expected
    assert repr(ours) == before  # a copy


def test_each_part_gets_what_is_given_for_it_and_for_all(tmp_path: Path) -> None:
    pods: dict[str, Any] = {
        "pods": {"metadata": {"labels": {"team": "vision"}}, "spec": {"imagePullSecrets": [{"name": "registry"}]}},
        "gateway": {"spec": {"priorityClassName": "high"}},
        "models": {"spec": {"nodeSelector": {"disk": "ssd", "zone": "a"}}},
        "stages": {
            "sort": {
                "spec": {"nodeSelector": {"zone": "b"}},
                "variants": {"large": {"spec": {"nodeSelector": {"zone": "c"}}}},
            },
            "other": {"spec": {"nodeSelector": {"zone": "d"}}},
        },
        "controller": {"spec": {"containers": [{"name": "controller", "resources": {"limits": {"memory": "1Gi"}}}]}},
    }
    found = {part: template(tmp_path, part, **pods) for part in ("gateway", "sort", "controller")}
    assert [each["metadata"]["labels"]["team"] for each in found.values()] == ["vision"] * 3
    assert [each["spec"]["imagePullSecrets"] for each in found.values()] == [[{"name": "registry"}]] * 3
    assert [each["spec"].get("priorityClassName") for each in found.values()] == ["high", None, None]
    assert found["sort"]["spec"]["nodeSelector"] == {"disk": "ssd", "zone": "b"}
    assert template(tmp_path, wanted=LARGE, **pods)["spec"]["nodeSelector"] == {"disk": "ssd", "zone": "c"}
    assert "nodeSelector" not in found["gateway"]["spec"]
    limits = found["controller"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "1Gi", "ephemeral-storage": "2Gi"}


def test_what_is_ours_stays_beside_it(tmp_path: Path) -> None:
    """Other tolerations, variables and constraints stay; what pods are found again by cannot be another."""
    gpu = {"key": "gpu", "operator": "Exists"}
    zone = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    added = {
        "metadata": {"labels": {names.STAGE: "mine"}},
        "spec": {
            "tolerations": [gpu],
            "topologySpreadConstraints": [zone],
            "containers": [{"name": "model-server", "env": [{"name": "A", "value": "b"}]}],
        },
    }
    plain, with_ours = template(tmp_path), template(tmp_path, models=added)
    assert with_ours["metadata"]["labels"] == plain["metadata"]["labels"]
    assert with_ours["spec"]["tolerations"] == [*plain["spec"]["tolerations"], gpu]
    assert with_ours["spec"]["topologySpreadConstraints"] == [*plain["spec"]["topologySpreadConstraints"], zone]
    (before,), (after,) = plain["spec"]["containers"], with_ours["spec"]["containers"]
    assert after == {**before, "env": [*before["env"], {"name": "A", "value": "b"}]}
    digests = {each["metadata"]["annotations"][names.TEMPLATE] for each in (plain, with_ours)}
    assert len(digests) == 2  # so that it is rolled out


def test_an_account_of_one_s_own_is_bound_and_not_made(tmp_path: Path) -> None:
    given = {part: {"spec": {"serviceAccountName": "mine"}} for part in ("gateway", "controller")}
    deployed = tiny(tmp_path, settings=settings_of(cluster__pods=given))
    for objects in (gateway_access(deployed), controller_manifests.access(deployed, "ipa-tiny-controller")):
        assert [each["kind"] for each in objects] == ["Role", "RoleBinding"]
        assert objects[1]["subjects"][0]["name"] == "mine"
    for made in (gateway_deployment(deployed), controller_manifests.controller(deployed, {})[-1]):
        assert made["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


def test_quantities_that_a_server_writes_otherwise_are_no_difference(tmp_path: Path) -> None:
    limits = {"containers": [{"name": "model-server", "resources": {"limits": {"cpu": "1000m"}}}]}
    deployed = tiny(tmp_path, settings=settings_of(cluster__pods={"models": {"spec": limits}}))
    made = stage_deployment(deployed, "sort", SMALL)
    there = template(tmp_path, models={"spec": limits})
    there["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "1"
    assert drift(made, {**made, "spec": {**made["spec"], "template": there}}) == []
