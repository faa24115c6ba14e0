"""Profiles in haste: nothing here depends on how well the figures are known."""

from __future__ import annotations

import pytest

from ipa.live.profiling import measuring


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server that does nothing takes is measured for a moment."""
    monkeypatch.setattr(measuring, "OVERHEAD_S", 0.05)
