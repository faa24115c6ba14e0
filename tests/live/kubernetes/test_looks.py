"""What is logged of one look at the cluster after another."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytest.importorskip("kubernetes")

from ipa.live.kubernetes.reconcile import log_news
from ipa.live.kubernetes.stage_state import Look
from ipa.live.log_lines import Lines


def test_what_a_stage_waits_for_is_logged_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    one, other = (Look(delays={"sort": why}) for why in ("no node takes it", "not ready"))
    for before, look in pairwise((Look(), one, one, other, Look(), other)):
        log_news(before, look)
    assert [Lines().format(record).partition(" ")[2] for record in caplog.records] == [
        f"warning: a stage waits: stage: sort; problem: {why}" for why in ("no node takes it", "not ready", "not ready")
    ]
