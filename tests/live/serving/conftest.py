"""A gateway of the video pipeline with its replicas, as processes that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.serving.serving_plane import Plane, Process, entry, plane
from tests.live.serving.video_plane import STAGES, configured, listed


@pytest.fixture(scope="package")
def video(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plane, Process]]:
    """The video pipeline with one replica a stage that takes no time."""
    with plane(tmp_path_factory.mktemp("plane")) as up:
        gateway = up.gateway("--pipeline", "video")
        up.listed = {
            stage: [entry(0, up.emulated("video", stage, variant, "--factor", "0").url, variant)]
            for stage, variant in STAGES
        }
        yield up, gateway


@pytest.fixture
def gateway(video: tuple[Plane, Process]) -> Process:
    """Its gateway, configured afresh."""
    up, running = video
    listed(running, up.listed)
    configured(running)
    return running


@pytest.fixture
def in_a_pod(video: tuple[Plane, Process]) -> Process:
    """A gateway of the same replicas with the limits that 512 MiB of memory give; nothing expires there."""
    up, _ = video
    small = up.gateway("--pipeline", "video", "--sla", "600", "--most-inside", str(128 * 2**20))
    listed(small, up.listed)
    return small
