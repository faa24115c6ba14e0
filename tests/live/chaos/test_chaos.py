"""A short chaos on this machine; `make chaos` takes half an hour."""

from __future__ import annotations

import pytest

pytest.importorskip("aiohttp")

from tests.live.chaos.run import chaos, surroundings
from tests.live.chaos.schedule import lines


@pytest.mark.long
@pytest.mark.alone
def test_every_invariant_holds_under_faults_on_this_machine() -> None:
    verdict = chaos(surroundings("loopback"), seed=5, seconds=25.0)
    assert verdict.broken == [], lines(verdict.faults)
    assert verdict.figures["answers"]["200"] > 0
