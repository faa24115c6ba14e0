"""Fixtures that several test modules use."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder: what a command leaves there, no other test has written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
