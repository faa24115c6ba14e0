"""What stands before any test of studies and commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ipa import sim
from ipa.studies import Scenario, simulate
from tests.studies.browser import Browser, browser


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """The engine is compiled, so that no command says that this comes first."""
    if sim.must_compile("auto"):
        simulate(Scenario(pipeline="video", trace="constant:5:10"))


@pytest.fixture(scope="session")
def shown() -> Iterator[Browser]:
    """A browser; who opens a page in it sets its size and theme."""
    with browser() as found:
        yield found


@pytest.fixture(scope="session", autouse=True)
def few_decisions_timed() -> Iterator[None]:
    """A study times decisions of 4 sizes, not of 25, which takes longer than its runs; `tests/test_docs.py` has all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ipa.studies.many.study.decision_times.SIZES", (1, 3))
        yield
