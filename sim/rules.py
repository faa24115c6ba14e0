"""The model's rules as pure functions of numbers.

They are written once: the SimPy engine calls them, the compiled engine compiles them unchanged, and the live gateway
follows them on a real clock. All times are absolute seconds. Every comparison uses a single addition, so that all
callers get the same double.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

COMPLETION, DELIVERY, REPLICA, ROOM, CONTROL, APPLICATION, TIMER, CLOSING = range(8)
"""The order of events within one instant, first to last."""

NEVER = float("inf")
"""The time of an event that never happens."""


def is_expired(now_s: float, arrival_s: float, limit_s: float) -> bool:
    """Whether a request that reached the pipeline at `arrival_s` is too old to be served."""
    return now_s > arrival_s + limit_s


def stay_s(waiting: int, ready: int, batch: int, latency_s: float) -> float:
    """The expected stay [s] of a request that joins a stage: the time to serve the waiting requests, then one batch.

    `waiting` requests are not being served yet; `ready` replicas serve them in batches of `batch`, each in `latency_s`.
    If no replica is ready, one is counted, as it is expected soon.
    """
    return latency_s + waiting * latency_s / (batch * (ready if ready > 0 else 1))


def deadline_limit_s(limit_s: float, sla_s: float, ahead_s: float) -> float:
    """By deadline, the largest age [s] of a request that is expected to need `ahead_s` until its completion.

    An older one cannot keep the SLA, or is older than the drop limit `limit_s`.
    """
    left_s = sla_s - ahead_s
    return left_s if left_s < limit_s else limit_s


def due_s(enqueue_s: float, batch_timeout_s: float) -> float:
    """When a batch whose first request was enqueued at `enqueue_s` starts even if it is not full."""
    return enqueue_s + batch_timeout_s


def must_wait(is_full: bool, now_s: float, due_at_s: float) -> bool:
    """Whether a batch is neither full nor due. Expired requests behind the head count as part of it."""
    return not is_full and now_s < due_at_s


def dispatch_size(batch: int, max_batch: int) -> int:
    """The most requests that one dispatch takes: the stage's batch size, or the largest profiled for the replica."""
    return batch if batch < max_batch else max_batch


def finish_s(start_s: float, latency_s: float, factor: float) -> float:
    """When a batch that starts at `start_s` finishes."""
    return start_s + latency_s * factor


def step_s(base_s: float, per_token_s: float, per_cached_token_s: float, tokens: int, cached_tokens: int) -> float:
    """How long a step of a language model takes that computes so many tokens and reads so many cached ones."""
    return base_s + per_token_s * tokens + per_cached_token_s * cached_tokens


def blocks_for(tokens: int, block_tokens: int) -> int:
    """The blocks that the keys and values of so many tokens need."""
    return (tokens + block_tokens - 1) // block_tokens


def fits(input_tokens: int, output_tokens: int, blocks: int, block_tokens: int) -> bool:
    """Whether a replica with so many blocks can serve a request at all; its last token is never computed."""
    return input_tokens + output_tokens - 1 <= blocks * block_tokens


def waiting(entered: int, dropped: int, started: int) -> int:
    """How many requests wait at a stage, in its queue or in batches formed at replicas."""
    return entered - dropped - started


def gone_s(removed_s: float, busy_until_s: float, stop_s: float) -> float:
    """When a removed replica is gone and its cost ends: it finishes its batch, then takes `stop_s` to stop."""
    return (removed_s if removed_s > busy_until_s else busy_until_s) + stop_s


def bound_s(sla_s: float) -> float:
    """How long a run may go on after its duration: ten SLAs. Requests that have not ended by then are unfinished."""
    return 10.0 * sla_s


def default_max_surge(desired: int) -> int:
    """A quarter of the desired replicas, rounded up, as a Kubernetes Deployment does by default."""
    return (desired + 3) // 4


def budgets_within(limit: int, existing: Sequence[int], desired: Sequence[int]) -> list[int]:
    """The most cores, or GPUs, that each stage may have from this decision to the next; together at most `limit`.

    `existing`: those that exist at each stage, of starting and draining replicas too, which no stage has to give back.
    `desired`: those of its desired replicas. What is left of the limit goes to the stages in their order: first up to
    what they desire, then as much more, so that a rollout can add before it removes.
    """
    spare = max(limit - sum(existing), 0)
    budgets = list(existing)
    for ahead in (False, True):
        for stage, enough in enumerate(desired):
            most = enough + existing[stage] if ahead else enough
            addition = min(max(most - budgets[stage], 0), spare)
            budgets[stage] += addition
            spare -= addition
    return budgets


def must_replace(
    starting_current: int,
    ready_obsolete: int,
    current: tuple[int, ...],
    staying: tuple[int, ...],
    one: tuple[int, ...],
    budget: tuple[int, ...],
) -> bool:
    """Whether a stage without room for one more replica removes an obsolete ready one first.

    It does so one after the other, while none of its current replicas is starting; not if the replicas that drain
    already make room, and not if there would be none without all the obsolete ones. The tuples are of each limited
    resource, cores or GPUs: those of its current replicas, of all that are not draining, of one more, and its budget.
    """
    is_full = False
    for k in range(len(budget)):
        if current[k] + one[k] > budget[k]:
            return False
        is_full = is_full or staying[k] + one[k] > budget[k]
    return is_full and starting_current == 0 and ready_obsolete > 0


class Rollout(NamedTuple):
    """The numbers of replicas that one rollout step removes and creates; `removal_order` says which ones go.

    `lacking`: how many more it would create if there were room.
    """

    remove_starting_obsolete: int
    remove_current: int
    create: int
    remove_ready_obsolete: int
    lacking: int


def rollout(
    desired: int,
    max_surge: int,
    max_unavailable: int,
    starting_current: int,
    starting_obsolete: int,
    ready_current: int,
    ready_obsolete: int,
    room: int,
) -> Rollout:
    """One rollout step, repeated until nothing changes, as in the controller of a Kubernetes Deployment.

    The counts are of one stage's replicas: current ones have the configured variant and cores, all others are
    obsolete; draining ones are not counted. `max_unavailable` limits only the removal of ready obsolete replicas,
    `max_surge` only creation. Their sum must be at least 1, or no rollout could make progress. `room`: the most
    replicas that can be created now.
    """
    remove_starting_obsolete = starting_obsolete
    remove_current = 0
    create = 0
    remove_ready_obsolete = 0
    while True:
        surplus = starting_current + ready_current - desired
        if surplus > 0:
            from_starting = surplus if surplus < starting_current else starting_current
            starting_current -= from_starting
            ready_current -= surplus - from_starting
            remove_current += surplus
        current = starting_current + ready_current
        missing = min(desired - current, desired + max_surge - current - ready_obsolete)
        created = min(missing, room)
        if created > 0:
            starting_current += created
            create += created
            room -= created
        allowed = min(ready_obsolete, ready_current + ready_obsolete - (desired - max_unavailable))
        if allowed > 0:
            ready_obsolete -= allowed
            remove_ready_obsolete += allowed
        if surplus <= 0 and created <= 0 and allowed <= 0:
            lacking = missing if missing > 0 else 0
            return Rollout(remove_starting_obsolete, remove_current, create, remove_ready_obsolete, lacking)


def removal_order(is_starting: bool, is_busy: bool, number: int) -> tuple[int, int]:
    """The sort key of removal: starting replicas first, then idle, then busy ones; in each, the highest number first.

    `number` must be a signed integer.
    """
    return 0 if is_starting else 2 if is_busy else 1, -number
