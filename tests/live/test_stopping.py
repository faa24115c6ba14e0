"""What ends a live run early: work, or a signal, or a failure, whichever comes first."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from ipa.live.errors import RunError
from ipa.live.stopping import Interrupts, Stopping
from tests.command import interruptible
from tests.live.world import until


@pytest.fixture(autouse=True)
def as_from_a_terminal() -> Iterator[None]:
    """What ignores a signal since its start, as the tests do under `nohup`, has it ignored."""
    with interruptible():
        yield


@asynccontextmanager
async def stopping(log: list[str] | None = None) -> AsyncIterator[tuple[Stopping, asyncio.Future[None]]]:
    """One that logs when everything is to end at once, and the future that fails it."""
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    made = Stopping()
    made.follow(failed, lambda: log is not None and log.append("at once"))  # type: ignore[func-returns-value]
    try:
        yield made, failed
    finally:
        made.close()


async def forever(log: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        log.append("cancelled")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_the_work_that_is_being_done(number: signal.Signals) -> None:
    async def story() -> list[str]:
        log: list[str] = []
        async with stopping() as (it, _):
            asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), number)
            assert not await it.finishes(forever(log))
            assert it.why == "interrupted"
            with pytest.raises(KeyboardInterrupt):
                await it.must_finish(forever(log))
        return log

    assert asyncio.run(story()) == ["cancelled"]  # the second work never began


def test_a_terminal_that_is_closed_may_say_so_twice() -> None:
    async def story() -> list[str]:
        log: list[str] = []
        async with stopping(log) as (it, _):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGHUP)
                assert not await it.sleep(60.0)
            assert it.why == "interrupted"
        return log

    with Interrupts() as interrupts:
        assert asyncio.run(story()) == []
        for _ in range(2):  # while the results are written
            os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.has_begun


def test_work_that_is_done_in_time_is_done() -> None:
    async def story() -> None:
        async with stopping() as (it, _):
            assert await it.finishes(asyncio.sleep(0.01))
            await it.must_finish(asyncio.sleep(0.01))
            assert await it.sleep(0.01)
            it.check()
            assert it.why == ""

    asyncio.run(story())


def test_a_failure_is_raised_and_goes_before_a_signal() -> None:
    async def story() -> None:
        async with stopping() as (it, failed):
            failed.set_exception(RunError("the gateway has ended"))
            os.kill(os.getpid(), signal.SIGTERM)
            assert not await it.sleep(60.0)
            assert it.why == "the gateway has ended"
            with pytest.raises(RunError, match="the gateway has ended"):
                it.check()

    asyncio.run(story())


def test_what_the_work_raises_is_raised() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    async def story() -> None:
        async with stopping() as (it, _):
            with pytest.raises(ZeroDivisionError):
                await it.finishes(fails())

    asyncio.run(story())


def test_a_second_signal_ends_the_program_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    monkeypatch.setattr(os, "_exit", lambda code: log.append(f"exit {code}"))

    async def story() -> None:
        async with stopping(log) as (it, _):
            os.kill(os.getpid(), signal.SIGINT)
            assert not await it.sleep(60.0)
            assert log == []
            os.kill(os.getpid(), signal.SIGINT)
            await until(lambda: log, "the end of the program")

    asyncio.run(story())
    assert log == ["at once", "exit 1"]


def test_what_the_process_ignores_since_its_start_it_still_ignores() -> None:
    """As `nohup ipa live run &` in a script, and as with `ipa study`."""

    async def story() -> None:
        async with stopping() as (it, _):
            os.kill(os.getpid(), signal.SIGINT)
            assert await it.sleep(0.05)
            os.kill(os.getpid(), signal.SIGTERM)
            assert not await it.sleep(60.0)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(story())
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        with Interrupts():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_before_a_run_a_signal_ends_the_program_and_after_its_beginning_one_is_borne(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []
    monkeypatch.setattr(os, "_exit", lambda code: log.append(f"exit {code}"))

    async def story() -> None:
        async with stopping() as (it, _):
            assert await it.sleep(0.0)

    with Interrupts(lambda: log.append("cursor")):
        os.kill(os.getpid(), signal.SIGINT)
        assert log == ["cursor", "exit 1"]
        asyncio.run(story())
        os.kill(os.getpid(), signal.SIGINT)
        assert log == ["cursor", "exit 1"]
        os.kill(os.getpid(), signal.SIGTERM)
        assert log == ["cursor", "exit 1"] * 2
