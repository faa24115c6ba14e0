"""What is added to pods arrives there, and what keeps them from coming is named when it appears: on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes")

from ipa.live.errors import LiveError, RunError
from ipa.live.kubernetes import deploy, names, overview
from ipa.live.kubernetes.api import connect
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import Look
from tests.live.kubernetes.test_cluster import WITHIN_S
from tests.live.kubernetes.world import IMAGE, own_namespace, quota, settings_of, tiny
from tests.live.world import sort

pytestmark = pytest.mark.cluster


@pytest.fixture
def namespace() -> Iterator[str]:
    """A namespace of the test's own."""
    with own_namespace(WITHIN_S) as name:
        yield name


@pytest.fixture
def limited(namespace: str) -> Iterator[str]:
    """One in which a quota asks a CPU limit of every container."""
    with quota(connect(), namespace, WITHIN_S, **{"limits.cpu": "16"}):
        yield namespace


def laid_out(folder: Path, namespace: str, **sections: Any) -> Deployed:
    layout = settings_of(
        image__name=IMAGE, image__pull="Never", cluster__ready_within_s=WITHIN_S, cluster__pods=sections
    )
    return tiny(folder, namespace, settings=layout)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"spec": {"nodeselector": {"a": "b"}}}, "nodeselector"),
        ({"spec": {"tolerations": [{"key": "a", "efect": "NoSchedule"}]}}, "efect"),
        ({"spec": {"tolerations": [{"effect": "Noschedule"}]}}, "Noschedule"),
        ({"metadata": {"labels": {"team": "a b"}}}, "a b"),
    ],
)
def test_the_server_s_dry_run_judges_what_is_added_to_pods(
    namespace: str, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    deployed = laid_out(tmp_path, namespace, gateway=given)
    with pytest.raises(LiveError) as refused:
        deploy.plan(connect(), deployed, sort())
    assert said in str(refused.value)
    assert connect().list("Deployment", namespace)["items"] == []


def limited_to_2(*names: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name, "resources": {"limits": {"cpu": "2"}}} for name in names]}}


LIMIT, OF_GATEWAY = limited_to_2("model-server"), limited_to_2("gateway", "replica-lister")


def test_a_quota_on_cpu_limits_that_only_the_gateway_breaks_is_named_at_once(limited: str, tmp_path: Path) -> None:
    deployed = laid_out(tmp_path, limited, models=LIMIT)
    at_once = r"the gateway: pods .*forbidden: failed quota: meanwhile: must specify limits\.cpu"  # by no deadline
    with pytest.raises(RunError, match=at_once):
        deploy.up(connect(), deployed, sort())
    found = overview.status(connect(), deployed)
    assert not found["gateway_ready"]
    assert "must specify limits.cpu" in found["gateway_problem"]
    # What the old template's pod was refused for says nothing of the new one's.
    mended = replace(
        deployed, settings=settings_of(deployed.settings, cluster__pods={"models": LIMIT, "gateway": OF_GATEWAY})
    )
    deploy.up(connect(), mended, sort(), within_s=2 * WITHIN_S)
    assert overview.status(connect(), mended)["gateway_ready"]


def test_with_a_limit_of_the_gateway_the_same_quota_lets_all_come_and_another_layout_is_rolled_out(
    limited: str, tmp_path: Path
) -> None:
    deployed = laid_out(tmp_path, limited, models=LIMIT, gateway=OF_GATEWAY)
    deploy.up(connect(), deployed, sort(), within_s=2 * WITHIN_S)
    gateway = pods_of(deployed, "gateway")
    assert [limits(pod) for pod in gateway] == [{"gateway": "2", "replica-lister": "2"}]
    found = overview.status(connect(), deployed)
    assert (found["gateway_ready"], found["gateway_problem"]) == (True, "")
    labelled = {**OF_GATEWAY, "metadata": {"labels": {"a": "b"}}}
    another = replace(
        deployed,
        settings=settings_of(
            deployed.settings,
            cluster__pods={"models": LIMIT, "gateway": labelled},
        ),
    )
    steps = {(step.kind, step.name): step.action for step in deploy.plan(connect(), another, sort())}
    assert steps["Deployment", deployed.gateway_name] == "change"
    assert steps["Deployment", deployed.stage_name("sort")] == "keep"
    deploy.up(connect(), another, sort(), within_s=2 * WITHIN_S)
    assert "b" in {pod["metadata"]["labels"].get("a") for pod in pods_of(deployed, "gateway")}
    assert {step.action for step in deploy.plan(connect(), another, sort())} == {"keep"}


def test_what_is_given_for_a_part_arrives_on_its_pods(namespace: str, tmp_path: Path) -> None:
    taint = {"key": "dedicated", "operator": "Equal", "value": "models", "effect": "NoSchedule"}
    sections = {
        "pods": {"metadata": {"labels": {"team": "vision"}, "annotations": {"example.com/note": "some text"}}},
        "models": {"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": [taint]}},
        "stages": {"sort": {"metadata": {"labels": {"heavy": "yes"}}}},
    }
    deployed = laid_out(tmp_path, namespace, **sections)
    deploy.up(connect(), deployed, sort(), within_s=2 * WITHIN_S)
    (gateway,), (server,) = pods_of(deployed, "gateway"), pods_of(deployed, "model-server")
    for pod in (gateway, server):
        assert pod["metadata"]["labels"]["team"] == "vision"
        assert pod["metadata"]["annotations"]["example.com/note"] == "some text"
    assert (gateway["metadata"]["labels"].get("heavy"), server["metadata"]["labels"]["heavy"]) == (None, "yes")
    assert (gateway["spec"].get("nodeSelector"), server["spec"]["nodeSelector"]) == (
        None,
        {"kubernetes.io/os": "linux"},
    )
    assert (taint in gateway["spec"]["tolerations"], taint in server["spec"]["tolerations"]) == (False, True)
    assert {step.action for step in deploy.plan(connect(), deployed, sort())} == {"keep"}


def test_what_may_pass_is_told_while_up_waits(namespace: str, tmp_path: Path) -> None:
    """No node has the label; one that has it may still come."""
    deployed = laid_out(tmp_path, namespace, models={"spec": {"nodeSelector": {"disk": "none-has-it"}}})
    told: list[str] = []

    def note(look: Look) -> None:
        told.append(look.waits_for)
        if "no node takes it" in look.waits_for:
            raise KeyboardInterrupt  # seen: no need to wait for the deadline

    with pytest.raises(KeyboardInterrupt):
        deploy.up(connect(), deployed, sort(), note)
    assert told[-1].startswith("sort: variant small: no node takes it: 0/")


def pods_of(deployed: Deployed, component: str) -> list[dict[str, Any]]:
    selector = names.as_query(names.selector(deployed.instance, component))
    found: list[dict[str, Any]] = connect().list("Pod", deployed.namespace, selector)["items"]
    return found


def limits(pod: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["resources"]["limits"]["cpu"] for each in pod["spec"]["containers"]}
