"""What stands before any test of studies and commands."""

from __future__ import annotations

import pytest

from ipa import sim
from ipa.studies import Scenario, simulate


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """The engine is compiled, so that no command says that this comes first."""
    if sim.must_compile("auto"):
        simulate(Scenario(pipeline="video", trace="constant:5:10"))
