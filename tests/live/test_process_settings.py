"""What whoever starts a gateway or a replica has set is what its process reads."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

from ipa.live.gateway_settings import GatewaySettings
from ipa.live.process_settings import ProcessSettings
from ipa.live.server_settings import ServerSettings
from ipa.live.serving import gateway, server

GATEWAY = GatewaySettings(
    limits='{"most_items":50}',
    pipeline="my pipeline.yaml",
    sla_s=0.1 + 0.2,
    drop_limits_s=(("detect", 1e-3), ("classify", 2.5)),
    drop="deadline",
    removal="lose",
    host="::",
    port=8000,
    control_host="::1",
    control_port=8001,
    control_token_file=Path("a token"),
    control_names=("control", "control.default"),
    data_token_file=Path("tokens"),
    data_names=("data",),
    data_origins=("https://page", "https://another"),
    replica_networks=("10.0.0.0/8", "fd00::/8"),
    replica_port=9000,
    bound_s=12.0,
    replica_timeout_s=3.0,
    linger_s=0.0,
    most_inside_bytes=10**9,
    records=7,
    waits_for_start=True,
    seed=3,
    is_leased=True,
    log_level="warning",
)
SERVER = ServerSettings(
    backend="folder",
    model="yolo",
    file=Path("folder"),
    digest="abc",
    check=True,
    pipeline="video",
    stage="detect",
    variant="yolov5n",
    cores=2,
    seed=4,
    factor=1.5,
    start_up_s=0.0,
    stop_s=0.25,
    created_s=123456.789,
    host="::",
    port=8000,
    log_level="error",
)


def read(command: click.Command, arguments: list[str]) -> dict[str, Any]:
    with click.Context(command) as context:
        command.parse_args(context, arguments)
        return context.params


@pytest.mark.parametrize(("command", "settings"), [(gateway.main, GATEWAY), (server.main, SERVER)])
def test_a_process_reads_what_whoever_starts_it_has_set(command: click.Command, settings: ProcessSettings) -> None:
    of = type(settings)
    unset = [each.name for each in fields(of) if getattr(settings, each.name) == each.default]  # type: ignore[arg-type]
    assert unset == []  # every setting is tried
    assert of(**read(command, settings.arguments())) == settings


def test_what_is_at_its_default_is_left_out() -> None:
    assert GatewaySettings(pipeline="video").arguments() == ["--pipeline", "video"]
    assert ServerSettings(**read(server.main, [])) == ServerSettings()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "Missing option '--pipeline'"),
        (["--pipeline", "video", "--drop-limit", "detect"], "'detect' should be STAGE=SECONDS"),
        (["--pipeline", "video", "--drop-limit", "detect=0"], "'detect=0' should be STAGE=SECONDS"),
        (["--pipeline", "video", "--drop-limit", "detect=nan"], "'detect=nan' should be STAGE=SECONDS"),
        (["--pipeline", "video", "--replica-network", "10.0.0.1/8"], "allowed: 10.0.0.0/8, fd00::/8 and the like"),
        (["--pipeline", "video", "--port", "70000"], "70000 is not in the range 0<=x<=65535"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(arguments: list[str], problem: str) -> None:
    with pytest.raises(click.UsageError) as refusal:
        read(gateway.main, arguments)
    assert problem in refusal.value.format_message()
