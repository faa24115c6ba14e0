"""The lease of two gateways: who may serve, until when, and what a model server makes of a late batch."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from ipa.live.serving.lease import FENCED_S, LEASE_HEADER, Address, Fence, ServingLease
from ipa.live.serving.lease_file import HOLDS_S, RENEWED_EVERY_S, LeaseFile, identity, is_running

OTHER = Address("http://10.0.0.2:8080", "http://10.0.0.2:8081")


class Clock:
    """A clock that a test sets."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def leased(clock: Clock) -> tuple[ServingLease, list[str]]:
    """A lease, and what it calls back."""
    lease, told = ServingLease(clock), list[str]()
    lease.on_taken, lease.on_lost = lambda: told.append("taken"), lambda: told.append("lost")
    return lease, told


def test_a_right_begins_once_and_ends_by_the_clock_alone() -> None:
    clock = Clock()
    lease, told = leased(clock)
    assert not lease.serves
    assert lease.grant(1, 108.0, 0)
    assert lease.grant(1, 110.0, 0)
    assert lease.grant(1, 109.0, 0)  # an older one that came late takes nothing away
    clock.now_s = 109.9
    assert lease.serves
    assert lease.finishes
    clock.now_s = 110.0
    assert not lease.serves
    assert not lease.finishes
    assert not lease.grant(1, 110.0, 0)  # it was for a time that is over
    assert lease.grant(1, 118.0, 0)  # nobody else has taken it meanwhile
    assert told == ["taken"]


def test_another_one_s_later_term_ends_a_right_and_late_words_change_nothing() -> None:
    clock = Clock()
    lease, told = leased(clock)
    lease.grant(3, 108.0, 0)
    assert not lease.follow(2, OTHER)
    assert not lease.follow(3, OTHER)
    assert lease.serves
    assert lease.follow(4, OTHER)
    assert (lease.serves, lease.server, told) == (False, OTHER, ["taken", "lost"])
    assert not lease.grant(3, 120.0, 0)
    assert not lease.grant(4, 120.0, 0)  # that term is the other one's
    assert lease.grant(5, 120.0, 0)
    assert (lease.serves, lease.server, told) == (True, None, ["taken", "lost", "taken"])


def test_who_has_promised_to_wait_does_unless_the_lease_was_released() -> None:
    clock = Clock()
    lease, _ = leased(clock)
    assert lease.follow(1, OTHER, for_s=10.0)
    assert lease.promised_s == 10.0
    assert not lease.grant(2, 120.0, fence=2)  # taken, since it had run out
    assert lease.grant(2, 120.0, fence=0)  # released
    lease.follow(3, OTHER, for_s=10.0)
    clock.now_s = 110.0
    assert lease.grant(4, 120.0, fence=4)


def test_who_leaves_finishes_what_was_admitted_and_never_serves_again() -> None:
    clock = Clock()
    lease, told = leased(clock)
    lease.grant(1, 108.0, 0)
    lease.leave(30.0)
    assert (lease.serves, lease.finishes) == (False, True)
    assert not lease.grant(1, 120.0, 0)
    lease.follow(2, OTHER)
    assert (lease.server, lease.finishes, told) == (OTHER, True, ["taken"])
    assert lease.mark == {LEASE_HEADER: "1 0"}  # its batches are those of its own term
    clock.now_s = 130.0
    assert not lease.finishes


def test_what_waits_for_a_change_goes_on_with_it() -> None:
    async def story() -> None:
        lease = ServingLease(Clock())
        waiting = asyncio.create_task(lease.change(60.0))
        await asyncio.sleep(0)
        lease.follow(1, OTHER)
        await waiting

    asyncio.run(story())


# ---- the fence ----


def test_a_batch_of_a_gateway_that_has_lost_the_lease_is_too_late() -> None:
    clock = Clock()
    fence = Fence(clock)
    assert fence.admits("")  # of a gateway that serves alone
    assert fence.admits("5 3")
    assert fence.admits("6 3")  # the lease was released to it
    assert fence.admits("5 3")  # and the one before finishes what it had admitted
    assert fence.admits("7 7")  # this one took it
    assert not fence.admits("6 3")
    assert not fence.admits("5 3")
    assert fence.admits("7 7")


def test_a_fence_is_forgotten_with_the_lease() -> None:
    """As where somebody deletes the Lease, and terms begin again."""
    clock = Clock()
    fence = Fence(clock)
    fence.admits("7 7")
    assert not fence.admits("1 0")
    clock.now_s += FENCED_S + 1.0
    assert fence.admits("1 0")


# ---- the file ----

TWO, ENDED = identity(os.getppid()), "2:1"
"""Another process that runs, and one that does not."""


def kept(folder: Path, clock: Clock, process: str = "") -> tuple[ServingLease, LeaseFile]:
    lease = ServingLease(clock)
    return lease, LeaseFile(folder / "lease", lease, OTHER, process, clock)


def test_one_of_two_takes_the_file_and_the_other_follows(tmp_path: Path) -> None:
    clock = Clock()
    (one, first), (two, second) = kept(tmp_path, clock), kept(tmp_path, clock, TWO)
    first.look()
    second.look()
    assert (one.serves, one.term, two.serves, two.server) == (True, 1, False, OTHER)
    for _ in range(20):
        clock.now_s += RENEWED_EVERY_S
        first.look()
        second.look()
        assert (one.serves, two.serves) == (True, False)


def test_one_that_stands_still_loses_the_lease_when_its_right_is_over_and_not_before(tmp_path: Path) -> None:
    clock = Clock()
    (one, first), (two, second) = kept(tmp_path, clock), kept(tmp_path, clock, TWO)
    first.look()
    clock.now_s += HOLDS_S - 0.01
    second.look()
    assert (one.serves, two.serves) == (True, False)
    clock.now_s += 0.01
    assert not one.serves  # it knows by itself
    second.look()
    assert (two.serves, two.mark) == (True, {LEASE_HEADER: "2 2"})
    first.look()
    assert (one.serves, one.server) == (False, OTHER)


def test_one_that_stood_still_unnoticed_goes_on_in_its_term(tmp_path: Path) -> None:
    clock = Clock()
    one, first = kept(tmp_path, clock)
    first.look()
    clock.now_s += 3 * HOLDS_S
    assert not one.serves
    first.look()
    assert (one.serves, one.term) == (True, 1)


def test_a_lease_that_is_released_or_whose_process_has_ended_is_free_at_once(tmp_path: Path) -> None:
    clock = Clock()
    (_, first), (two, second) = kept(tmp_path, clock), kept(tmp_path, clock, ENDED)
    first.look()
    first.release()
    second.look()
    assert (two.serves, two.mark) == (True, {LEASE_HEADER: "2 0"})
    one, again = kept(tmp_path, clock)
    again.look()
    assert (one.serves, one.mark) == (True, {LEASE_HEADER: "3 3"})


def test_while_one_is_at_the_file_the_other_waits(tmp_path: Path) -> None:
    clock = Clock()
    one, first = kept(tmp_path, clock)
    _, second = kept(tmp_path, clock, TWO)
    with second._locked():
        first.look()
    assert not one.serves
    first.look()
    assert one.serves


def test_a_file_that_was_cut_off_begins_a_term_of_its_own(tmp_path: Path) -> None:
    clock = Clock()
    one, first = kept(tmp_path, clock)
    (tmp_path / "lease").write_text('{"holder": "4')
    first.look()
    assert (one.serves, one.mark) == (True, {LEASE_HEADER: "1 1"})
    assert json.loads((tmp_path / "lease").read_text())["term"] == 1


def test_a_process_is_known_by_its_number_and_its_start() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        name = identity(process.pid)
        assert is_running(name)
        assert not is_running(f"{process.pid}:0")  # an earlier one had its number
        process.kill()
        process.wait()
        assert not is_running(name)
    assert not is_running("")
