"""Fixtures that several test modules use."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches the tests, and what they start, as from a terminal, however they were started themselves.

    A process inherits an ignored signal, and this project leaves ignored what it finds ignored.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder: what a command leaves there, no other test has written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
