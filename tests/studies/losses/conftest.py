"""The oracle of these tests tries a few plans only: `tests/studies/test_hindsight.py` has all of them."""

from __future__ import annotations

import pytest

from ipa.studies.runs import hindsight


@pytest.fixture(autouse=True)
def few_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hindsight, "WAIT_SHARES", (0.1,))
    monkeypatch.setattr(hindsight, "LOAD_MARGINS", (0.0, 0.25))
