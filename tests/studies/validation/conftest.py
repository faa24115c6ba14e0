"""A validation all of whose answers are known."""

from __future__ import annotations

import pytest

from ipa.studies.validation.run import conduct
from ipa.studies.validation.validation import Validation
from tests.studies.validation.worlds import world


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> Validation:
    """The validation of a world that is just as its calibration says."""
    experiment, run_live = world()
    return conduct(experiment, run_live, tmp_path_factory.mktemp("known") / "out", repeats=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First come the runs on real processes: the longest of all tests, they would hold up the end."""
    items.sort(key=lambda item: item.path.name != "test_live.py")
