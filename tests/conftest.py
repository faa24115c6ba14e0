"""Fixtures that several test modules use."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

# Several processes run tests, and threads of numerical libraries wait for each other by spinning: that took five times
# the work. Set before anything loads such a library, and inherited by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

with suppress(ImportError):  # as where only some tests are run
    from hypothesis import settings

    settings.register_profile("untimed", deadline=None)  # no test asserts how long something takes
    settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches the tests, and what they start, as from a terminal, however they were started themselves.

    A process inherits an ignored signal, and this project leaves ignored what it finds ignored.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_collection_finish() -> None:
    """What collecting has made stays to the end, and garbage collection need not go through it a thousand times."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder: what a command leaves there, no other test has written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def engine_sought_anew() -> Iterator[None]:
    """Whether the compiled engine can run here is found out once in a process; within the test, and after it, anew."""
    from ipa.sim import engines  # here, as it loads a numerical library

    engines._obstacle.cache_clear()
    engines._warn.cache_clear()
    yield
    engines._obstacle.cache_clear()
    engines._warn.cache_clear()


@pytest.fixture
def without_numba(engine_sought_anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba cannot be imported."""
    for name in [name for name in sys.modules if name.startswith("ipa.sim.compiled")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delattr("ipa.sim.compiled", raising=False)
