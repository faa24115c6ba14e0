"""What the libraries of a cluster say of themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from ipa.studies.many.remote import silence_threads

FAILS = """
def fails(call=None):
    if call is not None:
        call()
    raise ValueError("the channel is closed")
"""


def fails_in(module: str) -> Callable[..., None]:
    """A function that fails and is of that module."""
    names: dict[str, Any] = {"__name__": module}
    exec(FAILS, names)
    fails: Callable[..., None] = names["fails"]
    return fails


@pytest.mark.parametrize(
    ("target", "calls", "is_told"),
    [
        (fails_in("grpc._channel"), None, False),
        (fails_in("grpc._channel"), fails_in("ray.util.client"), False),
        (fails_in("grpc._channel"), fails_in("mine"), True),
        (fails_in("grpcs"), None, True),
    ],
)
def test_a_thread_of_a_library_alone_ends_in_silence(
    target: Callable[..., None], calls: Callable[..., None] | None, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    silence_threads("grpc", "ray")
    thread = threading.Thread(target=target, args=(calls,))
    thread.start()
    thread.join()
    assert bool(told) is is_told
