"""A short chaos on the cluster, with all that may happen to one; `make chaos ON=cluster-alone` takes half an hour."""

from __future__ import annotations

import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from tests.live.chaos.run import chaos, surroundings
from tests.live.chaos.schedule import lines

pytestmark = [pytest.mark.cluster, pytest.mark.alone]


def test_every_invariant_holds_under_faults_on_the_cluster() -> None:
    verdict = chaos(surroundings("cluster-alone"), seed=5, seconds=60.0)
    assert verdict.broken == [], lines(verdict.faults)
    assert verdict.figures["answers"]["200"] > 0
