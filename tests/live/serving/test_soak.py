"""A short soak; `make soak` runs it for ten minutes."""

from __future__ import annotations

import pytest

from tests.live.serving.soak import soak


@pytest.mark.long
@pytest.mark.alone
def test_nothing_is_lost_while_replicas_are_killed_and_all_is_reconfigured() -> None:
    figures = soak(seconds=8.0, load_rps=60.0, seed=3)
    assert figures["lost"] == []
    assert figures["kills"] >= 1
    assert figures["configurations"] >= 2
    assert figures["outcomes"]["completed"] > 25
