"""The model's rules as functions: each at its boundary, and the rollout against its wording, pass by pass."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nextafter

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ipa.sim import rules
from ipa.sim.rules import Rollout


def test_a_request_expires_after_its_limit_not_at_it() -> None:
    assert not rules.is_expired(3.0, arrival_s=1.0, limit_s=2.0)
    assert rules.is_expired(nextafter(3.0, inf), arrival_s=1.0, limit_s=2.0)


def test_expiry_is_one_addition_and_no_subtraction() -> None:
    """At 0.2 + 0.1 = 0.30000000000000004 a request of 0.2 is at its limit of 0.1, though the difference is above it."""
    now_s = 0.2 + 0.1
    assert now_s - 0.2 > 0.1
    assert not rules.is_expired(now_s, arrival_s=0.2, limit_s=0.1)


def test_a_stay_is_those_who_wait_and_a_batch() -> None:
    """Five wait for two replicas that take 3 s for a batch of 4: 5 / 8 of 3 s, then 3 s."""
    assert rules.stay_s(waiting=0, ready=2, batch=4, latency_s=3.0) == 3.0
    assert rules.stay_s(waiting=5, ready=2, batch=4, latency_s=3.0) == 1.875 + 3.0
    assert rules.stay_s(waiting=5, ready=0, batch=4, latency_s=3.0) == rules.stay_s(5, 1, 4, 3.0) == 3.75 + 3.0


@pytest.mark.parametrize(("ahead_s", "limit_s"), [(0.5, 2.0), (1.0, 2.0), (1.25, 1.75), (3.0, 0.0), (4.0, -1.0)])
def test_by_deadline_a_request_may_be_as_old_as_what_is_ahead_allows(ahead_s: float, limit_s: float) -> None:
    """An SLA of 3 s and a drop limit of 2 s."""
    assert rules.deadline_limit_s(2.0, sla_s=3.0, ahead_s=ahead_s) == limit_s


def test_a_batch_waits_until_it_is_full_or_due() -> None:
    due_s = rules.due_s(enqueue_s=1.0, batch_timeout_s=0.5)
    assert due_s == 1.5
    assert rules.must_wait(False, nextafter(due_s, 0.0), due_s)
    assert not rules.must_wait(False, due_s, due_s)
    assert not rules.must_wait(True, 1.0, due_s)


@pytest.mark.parametrize(("batch", "max_batch", "size"), [(1, 8, 1), (8, 8, 8), (9, 8, 8)])
def test_a_dispatch_takes_at_most_what_the_replica_has_profiled(batch: int, max_batch: int, size: int) -> None:
    assert rules.dispatch_size(batch, max_batch) == size


def test_a_batch_takes_its_latency_times_the_factor() -> None:
    assert rules.finish_s(start_s=2.0, latency_s=0.5, factor=1.5) == 2.75


@pytest.mark.parametrize(
    ("removed_s", "busy_until_s", "gone_s"),
    [(3.0, 5.0, 6.0), (3.0, 3.0, 4.0), (3.0, 2.0, 4.0), (3.0, 0.0, 4.0)],
)
def test_a_replica_is_gone_after_its_batch_and_its_stop(removed_s: float, busy_until_s: float, gone_s: float) -> None:
    assert rules.gone_s(removed_s, busy_until_s, stop_s=1.0) == gone_s


def test_by_default_the_surge_is_a_quarter_rounded_up() -> None:
    assert [rules.default_max_surge(desired) for desired in (1, 2, 4, 5, 8, 9, 100)] == [1, 1, 1, 2, 2, 3, 25]


def test_a_run_goes_on_for_ten_slas_at_most() -> None:
    assert rules.bound_s(0.25) == 2.5


def test_replicas_go_starting_then_idle_then_busy_and_the_highest_number_first() -> None:
    """Replicas as (is_starting, is_busy, number)."""
    replicas = [
        (False, True, 0),
        (False, False, 1),
        (True, False, 2),
        (False, True, 3),
        (True, False, 4),
        (False, False, 10),
    ]
    order = sorted(replicas, key=lambda each: rules.removal_order(*each))
    assert [number for _, _, number in order] == [4, 2, 10, 1, 3, 0]


# ---- the rollout ----


@dataclass
class Counts:
    """The replicas of a stage by state, as the rule names them."""

    starting_current: int
    starting_obsolete: int
    ready_current: int
    ready_obsolete: int

    @property
    def existing(self) -> int:  # E
        return self.ready + self.starting_current + self.starting_obsolete

    @property
    def ready(self) -> int:  # R
        return self.ready_current + self.ready_obsolete

    @property
    def current(self) -> int:
        return self.starting_current + self.ready_current


def one_pass(counts: Counts, desired: int, max_surge: int, max_unavailable: int) -> Rollout:
    """(a) to (d) once, every number counted afresh; `counts` is changed in place."""
    obsolete = counts.starting_obsolete  # (a)
    counts.starting_obsolete = 0
    surplus = max(0, counts.current - desired)  # (b), one replica after the other
    for _ in range(surplus):
        if counts.starting_current:
            counts.starting_current -= 1
        else:
            counts.ready_current -= 1
    create = max(0, min(desired - counts.current, desired + max_surge - counts.existing))  # (c)
    counts.starting_current += create
    remove = max(0, min(counts.ready_obsolete, counts.ready - (desired - max_unavailable)))  # (d)
    counts.ready_obsolete -= remove
    return Rollout(obsolete, surplus, create, remove, lacking=0)


def pass_by_pass(counts: Counts, desired: int, max_surge: int, max_unavailable: int) -> Rollout:
    """Passes until one changes nothing; what they did together."""
    done = Rollout(0, 0, 0, 0, 0)
    while any(step := one_pass(counts, desired, max_surge, max_unavailable)):
        done = Rollout(*(sum(both) for both in zip(done, step, strict=True)))
    return done


FEW = st.integers(0, 8)


@given(st.integers(1, 8), FEW, FEW, FEW, FEW, FEW, FEW)
@example(2, 1, 1, 0, 0, 0, 2)  # the second pass creates what the first made room for
@example(1, 0, 1, 0, 0, 0, 1)
@settings(max_examples=1000, derandomize=True, deadline=None)
def test_a_rollout_step_is_its_wording_carried_on_until_nothing_changes(
    desired: int,
    max_surge: int,
    max_unavailable: int,
    starting_current: int,
    starting_obsolete: int,
    ready_current: int,
    ready_obsolete: int,
) -> None:
    assume(max_surge + max_unavailable >= 1)
    counts = Counts(starting_current, starting_obsolete, ready_current, ready_obsolete)
    before = counts.ready
    step = rules.rollout(
        desired, max_surge, max_unavailable, starting_current, starting_obsolete, ready_current, ready_obsolete, desired
    )
    assert step == pass_by_pass(counts, desired, max_surge, max_unavailable)
    # What the rule is for: never too many, and removals of old ones never leave too few ready.
    assert counts.current <= desired
    if step.create:
        assert counts.existing <= max(desired + max_surge, desired)
    if step.remove_ready_obsolete:
        assert counts.ready >= desired - max_unavailable
    assert counts.ready <= before


@given(st.integers(1, 6), st.integers(0, 3), st.integers(0, 3), FEW, FEW)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_a_rollout_ends_with_just_the_desired_replicas(
    desired: int, max_surge: int, max_unavailable: int, ready_current: int, ready_obsolete: int
) -> None:
    """Activating one starting replica after the other always arrives: no choice of bounds gets stuck."""
    assume(max_surge + max_unavailable >= 1)
    counts = Counts(0, 0, ready_current, ready_obsolete)
    activations = 0
    pass_by_pass(counts, desired, max_surge, max_unavailable)
    while counts.starting_current:
        counts.starting_current -= 1
        counts.ready_current += 1
        activations += 1
        step = rules.rollout(
            desired,
            max_surge,
            max_unavailable,
            counts.starting_current,
            0,
            counts.ready_current,
            counts.ready_obsolete,
            desired,
        )
        assert step == pass_by_pass(counts, desired, max_surge, max_unavailable)
    assert counts == Counts(0, 0, desired, 0)
    assert activations == max(0, desired - ready_current)


# ---- room within a limit of cores ----


def test_a_rollout_creates_what_there_is_room_for_and_says_what_is_missing() -> None:
    assert rules.rollout(4, 1, 0, 0, 0, 1, 0, room=2) == (0, 0, 2, 0, 1)
    assert rules.rollout(4, 1, 0, 0, 0, 1, 0, room=3) == (0, 0, 3, 0, 0)
    assert rules.rollout(2, 1, 0, 0, 0, 0, 2, room=0) == (0, 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("limit", "existing", "desired", "budgets"),
    [
        (20, [2, 4], [3, 6], [5, 10]),  # loose: what exists, and all that is desired beside it
        (9, [2, 4], [3, 6], [3, 6]),
        (8, [2, 4], [3, 6], [3, 5]),  # the first stage first
        (10, [2, 4], [3, 6], [4, 6]),  # then room to add before something is removed
        (6, [2, 4], [4, 2], [2, 4]),  # what one gives back is handed on at the next decision
        (3, [2, 4], [4, 2], [2, 4]),  # nothing has to be given back
    ],
)
def test_the_limit_is_divided_by_what_exists_and_what_is_desired(
    limit: int, existing: list[int], desired: list[int], budgets: list[int]
) -> None:
    assert rules.budgets_within(limit, existing, desired) == budgets


def test_one_replica_is_replaced_after_the_other() -> None:
    """Two obsolete replicas of 2 cores each in a budget of 4; a new one has 3."""
    assert rules.must_replace(0, 2, current=(0,), staying=(4,), one=(3,), budget=(4,))
    assert rules.must_replace(0, 1, current=(0,), staying=(2,), one=(3,), budget=(4,))  # one made too little room
    assert not rules.must_replace(0, 1, current=(0,), staying=(2,), one=(2,), budget=(4,))  # what drains makes room
    assert not rules.must_replace(1, 1, current=(2,), staying=(4,), one=(2,), budget=(4,))  # its successor starts
    assert not rules.must_replace(0, 2, current=(0,), staying=(4,), one=(5,), budget=(4,))  # there would be none
    assert not rules.must_replace(0, 0, current=(4,), staying=(4,), one=(2,), budget=(4,))


def test_a_replica_is_replaced_if_either_cores_or_gpus_lack_and_neither_is_too_few_for_one() -> None:
    """Of 9 cores and 2 GPUs, 4 and both are taken; a new one has 2 cores and a GPU, or 3 GPUs, or 6 cores."""
    assert rules.must_replace(0, 2, current=(0, 0), staying=(4, 2), one=(2, 1), budget=(9, 2))
    assert not rules.must_replace(0, 2, current=(0, 0), staying=(4, 2), one=(2, 3), budget=(9, 2))
    assert rules.must_replace(0, 2, current=(0, 0), staying=(4, 2), one=(6, 0), budget=(9, 2))
    assert not rules.must_replace(0, 2, current=(0, 0), staying=(4, 2), one=(2, 0), budget=(9, 2))
