"""A gateway's limits are those that whoever runs it has set: on this machine, and in the manifests for a cluster."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import pytest

from ipa import profiles
from ipa.live.errors import LiveError
from ipa.live.gateway_settings import GatewayLimits
from ipa.live.kubernetes.gateway_manifests import gateway_deployment
from ipa.live.kubernetes.settings import Layout
from ipa.live.plane import Plane, gateway_settings
from ipa.live.serving import gateway
from ipa.studies import prepare, scenario
from ipa.studies.runs.live_runs import Live, LiveCluster
from ipa.studies.runs.live_runs.checks import check_live, plane_of
from tests.live.kubernetes.world import tiny
from tests.live.world import pipeline_file

SET = GatewayLimits(most_items=50, most_json_bytes=1000, most_recorded_bytes=2000)


def understood(arguments: list[str]) -> dict[str, Any]:
    """What a gateway's process makes of its arguments, of the limits."""
    with click.Context(gateway.main) as context:
        gateway.main.parse_args(context, arguments)
        return {each.name: context.params[each.name] for each in fields(GatewayLimits)}


@pytest.mark.parametrize("limits", [SET, GatewayLimits()])
def test_a_gateway_on_this_machine_has_the_limits_of_its_run(tmp_path: Path, limits: GatewayLimits) -> None:
    path = pipeline_file(tmp_path)
    plane = Plane(profiles.load(str(path)), str(path), limits=limits)
    arguments = gateway_settings(plane, str(path), "token").arguments()
    assert GatewayLimits(**understood(arguments)) == limits


def test_a_gateway_on_a_cluster_has_the_limits_of_its_layout(tmp_path: Path) -> None:
    limits = {each.name: getattr(SET, each.name) for each in fields(GatewayLimits)}
    layout = Layout(**limits)
    assert Layout.from_text(layout.as_text()) == layout
    deployed = gateway_deployment(tiny(tmp_path, layout=layout))
    arguments = deployed["spec"]["template"]["spec"]["containers"][0]["args"]
    assert GatewayLimits(**understood(arguments)) == SET


def test_the_limits_of_a_run_are_for_this_machine() -> None:
    prepared = prepare(scenario.find("video", {"trace": "constant:1", "policy": "rate", "window": "0:10"}))
    live = Live(limits=replace(SET))
    check_live(live, prepared)
    assert plane_of(prepared, live).limits == SET
    with pytest.raises(LiveError, match="--most-items 50: on a cluster, give it to ipa live up"):
        check_live(replace(live, cluster=LiveCluster()), prepared)
