"""What is logged of one look at the cluster after another."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytest.importorskip("kubernetes")

from ipa.live.kubernetes.events import log_news
from ipa.live.kubernetes.stage_state import Look
from ipa.live.logs import LineFormatter

LEFT = "HorizontalPodAutoscaler web keeps setting its replicas; they are set back when ..."


@pytest.mark.parametrize(
    ("looks", "lines"),
    [
        pytest.param(
            [Look(delays={"sort": why} if why else {}) for why in ("no node", "no node", "not ready", "", "not ready")],
            [f"warning: a stage waits: stage: sort; problem: {why}" for why in ("no node", "not ready", "not ready")],
            id="what a stage waits for, when it changes",
        ),
        pytest.param(
            [Look(stopped={"sort": "paused"}), Look(stopped={"sort": "paused"}), Look()],
            [
                "error: stopped: nothing is changed here until somebody acts: stage: sort; problem: paused",
                "warning: goes on: stage: sort",
            ],
            id="what stops it until somebody acts, and that it goes on",
        ),
        pytest.param(
            [Look(stopped={"sort": LEFT}, foreign={"sort": LEFT})],
            [f"warning: another sets replicas: stage: sort; problem: {LEFT}"],
            id="replicas that are left to another for a while need nobody",
        ),
        pytest.param(
            [Look(error="HTTP 503"), Look(), Look(error="HTTP 409", is_contested=True)],
            [
                "error: the cluster could not be read or changed: problem: HTTP 503",
                "warning: the cluster answers again",
                "error: another keeps changing what is to be changed: problem: HTTP 409",
            ],
            id="a cluster that does not answer, and another who keeps writing",
        ),
    ],
)
def test_what_changes_from_look_to_look_is_logged_once(
    caplog: pytest.LogCaptureFixture, looks: list[Look], lines: list[str]
) -> None:
    for before, look in pairwise((Look(), *looks)):
        log_news(before, look)
    assert [LineFormatter().format(record).partition(" ")[2] for record in caplog.records] == lines
