"""The rules of the model as short stories that a reader can check by hand.

A story is a world in a few numbers and everything that must become of it. It knows no engine: whatever serves requests
in the model's way (simulated, or live in virtual time) can be driven with the same table, `STORIES`.

All stories share the variants below. Times are seconds since the start; requests, replicas and stages are numbered from
0, requests in order of arrival, replicas of a stage in order of creation. Expected logs are complete: batches and drops
by stage, then in order of time; replicas by stage, then by number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ipa.policies import StageConfiguration


@dataclass(frozen=True)
class Model:
    """A variant: per number of cores the seconds for batches of 1, 2, ...; and the seconds from creation to ready."""

    latency_s: Mapping[int, tuple[float, ...]]
    start_up_s: float


VARIANTS: Mapping[str, Model] = {
    "small": Model({1: (1.0, 1.0, 1.0, 1.0), 2: (0.5, 0.5, 0.5, 0.5)}, start_up_s=2.0),
    "large": Model({2: (2.0, 2.0, 2.0, 2.0)}, start_up_s=3.0),
    "steep": Model({1: (1.0, 1.5, 2.0, 2.5)}, start_up_s=2.0),
    "narrow": Model({1: (1.0, 1.0)}, start_up_s=2.0),
    "instant": Model({1: (1.0, 1.0, 1.0, 1.0)}, start_up_s=0.0),
}


class Batch(NamedTuple):
    """A batch served; `finish_s` is None where the run ended before."""

    start_s: float
    finish_s: float | None
    replica: int
    requests: tuple[int, ...]
    stage: int = 0


class Drop(NamedTuple):
    """A request dropped."""

    time_s: float
    request: int
    stage: int = 0


class Replica(NamedTuple):
    """A replica's life; None for what had not come when the run ended."""

    variant: str
    created_s: float
    ready_s: float | None
    removed_s: float | None = None
    gone_s: float | None = None
    cores: int = 1
    stage: int = 0


class Seen(NamedTuple):
    """What a control step sees of a stage: counts since the step before, and how things stand."""

    time_s: float
    arrivals: int
    completions: int
    drops: int
    queue_length: int
    in_service: int
    starting: int
    ready: int
    draining: int
    stage: int = 0


@dataclass(frozen=True)
class Story:
    """One rule at work. `initial` stands ready at 0, stage by stage; the last stage's completions end a request.

    `decisions` hold the time of a control step and what it decides for every stage; `drop_limits_s` are per stage
    (default: 100 s each); `sla_s` matters to dropping by deadline alone. `replicas` None: those of `initial`, and
    nothing happens to them. `seen` and `core_s` (the cost up to `duration_s`, in core-seconds) are given where a
    story is about them.
    """

    name: str
    rule: str
    shows: str
    initial: tuple[StageConfiguration, ...]
    arrivals_s: tuple[float, ...]
    decisions: tuple[tuple[float, tuple[StageConfiguration, ...]], ...] = ()
    duration_s: float = 10.0
    bound_s: float = 100.0
    drop_limits_s: tuple[float, ...] | None = None
    sla_s: float = 1.0
    hop_s: float = 0.0
    stop_s: float = 0.0
    decision_delay_s: float = 0.0
    max_surge: int | None = 1
    max_unavailable: int = 0
    dispatch: str = "central"
    drop: str = "request"
    batches: tuple[Batch, ...] = ()
    drops: tuple[Drop, ...] = ()
    unfinished: tuple[int, ...] = ()
    replicas: tuple[Replica, ...] | None = None
    end_s: float = 10.0
    seen: tuple[Seen, ...] = ()
    core_s: float | None = None

    @property
    def limits_s(self) -> tuple[float, ...]:
        """The drop limit of each stage."""
        return self.drop_limits_s or (100.0,) * len(self.initial)

    @property
    def expected_replicas(self) -> tuple[Replica, ...]:
        """`replicas`, spelt out where nothing happens to them."""
        if self.replicas is not None:
            return self.replicas
        return tuple(
            Replica(wanted.variant, 0.0, 0.0, cores=wanted.cores, stage=stage)
            for stage, wanted in enumerate(self.initial)
            for _ in range(wanted.replicas)
        )


def of(variant: str, batch: int = 1, replicas: int = 1, timeout_s: float = 0.0, cores: int = 1) -> StageConfiguration:
    """A stage's configuration in one short line."""
    return StageConfiguration(variant, batch, replicas, timeout_s, cores)


def large(replicas: int = 1) -> StageConfiguration:
    """So many large ones, one request a batch."""
    return of("large", replicas=replicas, cores=2)


RULE_1 = (
    Story(
        "a request passes the stages in order",
        rule="1",
        shows="what stage 0 finishes at 1 is served by stage 1 at 1",
        initial=(of("small"), of("large", cores=2)),
        arrivals_s=(0.0,),
        batches=(Batch(0.0, 1.0, 0, (0,), stage=0), Batch(1.0, 3.0, 0, (0,), stage=1)),
    ),
    Story(
        "a hop lies between two stages",
        rule="1",
        shows="finished at 1, delivered at 1.5",
        initial=(of("small"), of("small")),
        arrivals_s=(0.0,),
        hop_s=0.5,
        batches=(Batch(0.0, 1.0, 0, (0,), stage=0), Batch(1.5, 2.5, 0, (0,), stage=1)),
    ),
    Story(
        "a batch goes on together and in its order",
        rule="2",
        shows="the next stage takes them one by one",
        initial=(of("small", batch=2), of("small")),
        arrivals_s=(0.0, 0.0),
        batches=(
            Batch(0.0, 1.0, 0, (0, 1), stage=0),
            Batch(1.0, 2.0, 0, (0,), stage=1),
            Batch(2.0, 3.0, 0, (1,), stage=1),
        ),
    ),
    Story(
        "a later request may overtake",
        rule="1",
        shows="a queue is in the order of enqueueing at its own stage: 2 comes to stage 1 before 0 and 1",
        initial=(of("steep", batch=2, replicas=2), of("small")),
        arrivals_s=(0.0, 0.0, 0.25),
        batches=(
            Batch(0.0, 1.5, 0, (0, 1), stage=0),
            Batch(0.25, 1.25, 1, (2,), stage=0),
            Batch(1.25, 2.25, 0, (2,), stage=1),
            Batch(2.25, 3.25, 0, (0,), stage=1),
            Batch(3.25, 4.25, 0, (1,), stage=1),
        ),
    ),
)

RULE_2 = (
    Story(
        "first come, first served",
        rule="2",
        shows="one replica, one request at a time",
        initial=(of("small"),),
        arrivals_s=(0.0, 0.25, 0.5),
        batches=(Batch(0.0, 1.0, 0, (0,)), Batch(1.0, 2.0, 0, (1,)), Batch(2.0, 3.0, 0, (2,))),
    ),
    Story(
        "the idle replica of the lowest number serves",
        rule="2b",
        shows="both idle at 2: replica 0",
        initial=(of("small", replicas=2),),
        arrivals_s=(0.0, 0.5, 2.0),
        batches=(Batch(0.0, 1.0, 0, (0,)), Batch(0.5, 1.5, 1, (1,)), Batch(2.0, 3.0, 0, (2,))),
    ),
    Story(
        "a full batch starts at once",
        rule="2c",
        shows="two of two are there at 1, long before the timeout",
        initial=(of("small", batch=2, timeout_s=5.0),),
        arrivals_s=(0.0, 1.0),
        batches=(Batch(1.0, 2.0, 0, (0, 1)),),
    ),
    Story(
        "a batch that does not fill starts when due",
        rule="2c",
        shows="due = enqueue 1 + timeout 0.5",
        initial=(of("small", batch=2, timeout_s=0.5),),
        arrivals_s=(1.0,),
        batches=(Batch(1.5, 2.5, 0, (0,)),),
    ),
    Story(
        "at its due moment a batch starts with what is there",
        rule="2c",
        shows="a request arriving just then is taken along, and the batch is not full",
        initial=(of("small", batch=3, timeout_s=1.0),),
        arrivals_s=(1.0, 2.0),
        batches=(Batch(2.0, 3.0, 0, (0, 1)),),
    ),
    Story(
        "the timeout counts from the enqueue at the stage itself",
        rule="2c",
        shows="arrived at 0, but enqueued at stage 1 at 1: due at 1.5",
        initial=(of("small"), of("small", batch=2, timeout_s=0.5)),
        arrivals_s=(0.0,),
        batches=(Batch(0.0, 1.0, 0, (0,), stage=0), Batch(1.5, 2.5, 0, (0,), stage=1)),
    ),
    Story(
        "without a timeout nothing waits for company",
        rule="2c",
        shows="timeout 0: due at once, alone or not",
        initial=(of("small", batch=2),),
        arrivals_s=(0.0, 0.0, 0.0, 1.5),
        batches=(Batch(0.0, 1.0, 0, (0, 1)), Batch(1.0, 2.0, 0, (2,)), Batch(2.0, 3.0, 0, (3,))),
    ),
    Story(
        "a due batch waits for a replica and grows meanwhile",
        rule="2",
        shows="request 1 is due at 1.25, the replica is busy until 1.5, when 2 is there too",
        initial=(of("small", batch=3, timeout_s=0.5),),
        arrivals_s=(0.0, 0.75, 1.25),
        batches=(Batch(0.5, 1.5, 0, (0,)), Batch(1.5, 2.5, 0, (1, 2))),
    ),
    Story(
        "each attempt replaces the stage's one timer",
        rule="2c",
        shows="the timer for 0 at 1 is void once 0 has left; that for 2 rings at 1.75",
        initial=(of("small", batch=2, replicas=2, timeout_s=1.0),),
        arrivals_s=(0.0, 0.5, 0.75),
        batches=(Batch(0.5, 1.5, 0, (0, 1)), Batch(1.75, 2.75, 0, (2,))),
    ),
    Story(
        "an attempt starts as many batches as it can",
        rule="2",
        shows="five at once on two replicas: two batches at 0, the rest at 1",
        initial=(of("small", batch=2, replicas=2),),
        arrivals_s=(0.0,) * 5,
        batches=(Batch(0.0, 1.0, 0, (0, 1)), Batch(0.0, 1.0, 1, (2, 3)), Batch(1.0, 2.0, 0, (4,))),
    ),
    Story(
        "expired requests behind the head count towards a full batch",
        rule="2c",
        shows="at 1.5 stage 1 holds 2, 0, 1; 0 and 1 are older than 1.375: full, yet 2 starts alone",
        initial=(of("steep", batch=2, replicas=2), of("small", batch=3, timeout_s=5.0)),
        arrivals_s=(0.0, 0.0, 0.25),
        drop_limits_s=(100.0, 1.375),
        batches=(
            Batch(0.0, 1.5, 0, (0, 1), stage=0),
            Batch(0.25, 1.25, 1, (2,), stage=0),
            Batch(1.5, 2.5, 0, (2,), stage=1),
        ),
        drops=(Drop(1.5, 0, stage=1), Drop(1.5, 1, stage=1)),
    ),
    Story(
        "the place of an expired request is taken by the next",
        rule="2d",
        shows="at 1.5 stage 1 holds 2, 0, 1, 3, the batch size is 4: 2 and 3 start, 0 and 1 are dropped",
        initial=(of("steep", batch=2, replicas=3), of("small", batch=4, timeout_s=5.0)),
        arrivals_s=(0.0, 0.0, 0.25, 0.5),
        drop_limits_s=(100.0, 1.375),
        batches=(
            Batch(0.0, 1.5, 0, (0, 1), stage=0),
            Batch(0.25, 1.25, 1, (2,), stage=0),
            Batch(0.5, 1.5, 2, (3,), stage=0),
            Batch(1.5, 2.5, 0, (2, 3), stage=1),
        ),
        drops=(Drop(1.5, 0, stage=1), Drop(1.5, 1, stage=1)),
    ),
    Story(
        "a replica takes no more than its variant has profiled",
        rule="2d",
        shows="batch size 4 is in force, the old narrow replica still serves, and takes two",
        initial=(of("narrow", batch=2),),
        arrivals_s=(1.5,) * 4,
        decisions=((1.0, (of("small", batch=4),)),),
        batches=(Batch(1.5, 2.5, 0, (0, 1)), Batch(2.5, 3.5, 0, (2, 3))),
        replicas=(Replica("narrow", 0.0, 0.0, 3.0, 3.5), Replica("small", 1.0, 3.0)),
    ),
    Story(
        "the configured variant serves first",
        rule="2b",
        shows="at 5 replica 0 (small) and 2 (large) are idle: 2 serves; at 5.5 only 0 is idle",
        initial=(of("small", replicas=2),),
        arrivals_s=(5.0, 5.5),
        decisions=((1.0, (large(2),)),),
        batches=(Batch(5.0, 7.0, 2, (0,)), Batch(5.5, 6.5, 0, (1,))),
        replicas=(
            Replica("small", 0.0, 0.0, 7.0, 7.0),
            Replica("small", 0.0, 0.0, 4.0, 4.0),
            Replica("large", 1.0, 4.0, cores=2),
            Replica("large", 4.0, 7.0, cores=2),
        ),
    ),
    Story(
        "which replica serves depends on its variant, not on its cores",
        rule="2b",
        shows="2 cores are configured; at 4 the old replica with 1 core is idle and has the lower number",
        initial=(of("small", replicas=2),),
        arrivals_s=(4.0, 4.25),
        decisions=((1.0, (of("small", replicas=2, cores=2),)),),
        batches=(Batch(4.0, 5.0, 0, (0,)), Batch(4.25, 4.75, 2, (1,))),
        replicas=(
            Replica("small", 0.0, 0.0, 5.0, 5.0),
            Replica("small", 0.0, 0.0, 3.0, 3.0),
            Replica("small", 1.0, 3.0, cores=2),
            Replica("small", 3.0, 5.0, cores=2),
        ),
    ),
)

# Who makes an attempt is seen by who finds an expired request: one waits for a batch of 2 (timeout 5, limit 2).
LONELY = of("small", batch=2, timeout_s=5.0)

ATTEMPTS = (
    Story(
        "an expired request is found by the timer",
        rule="2",
        shows="expired after 2, nobody looks until it is due at 5",
        initial=(LONELY,),
        arrivals_s=(0.0,),
        drop_limits_s=(2.0,),
        drops=(Drop(5.0, 0),),
    ),
    Story(
        "an arrival attempts",
        rule="2",
        shows="the arrival at 4 finds 0 expired, though two do not fill a batch of 3; the three after it do",
        initial=(of("small", batch=3, timeout_s=5.0),),
        arrivals_s=(0.0, 4.0, 4.5, 5.0),
        drop_limits_s=(2.0,),
        batches=(Batch(5.0, 6.0, 0, (1, 2, 3)),),
        drops=(Drop(4.0, 0),),
    ),
    Story(
        "an unchanged decision attempts",
        rule="2",
        shows="the decision of 3 is the configuration in force, and still finds 0 expired",
        initial=(LONELY,),
        arrivals_s=(0.0,),
        decisions=((3.0, (LONELY,)),),
        drop_limits_s=(2.0,),
        drops=(Drop(3.0, 0),),
    ),
    Story(
        "a control step does not attempt",
        rule="2",
        shows="its decision takes effect at 6 only; the timer comes first",
        initial=(LONELY,),
        arrivals_s=(0.0,),
        decisions=((3.0, (LONELY,)),),
        decision_delay_s=3.0,
        drop_limits_s=(2.0,),
        drops=(Drop(5.0, 0),),
    ),
    Story(
        "an activation attempts",
        rule="2",
        shows="the second replica is ready at 3",
        initial=(LONELY,),
        arrivals_s=(0.5,),
        decisions=((1.0, (of("small", batch=2, replicas=2, timeout_s=5.0),)),),
        drop_limits_s=(2.0,),
        drops=(Drop(3.0, 0),),
        replicas=(Replica("small", 0.0, 0.0), Replica("small", 1.0, 3.0)),
    ),
    Story(
        "an exit does not attempt",
        rule="2",
        shows="replica 1 is gone at 4; the timer finds 0 expired at 6",
        initial=(of("small", batch=2, replicas=2, timeout_s=5.0),),
        arrivals_s=(1.0,),
        decisions=((0.5, (LONELY,)),),
        stop_s=3.5,
        drop_limits_s=(2.0,),
        drops=(Drop(6.0, 0),),
        replicas=(Replica("small", 0.0, 0.0), Replica("small", 0.0, 0.0, 0.5, 4.0)),
    ),
    Story(
        "a draining replica's completion attempts",
        rule="2",
        shows="replica 1, removed at 1.75, completes at 3.5; the idle replica 0 could have looked since 3.25",
        initial=(large(2),),
        arrivals_s=(0.0, 1.5, 2.25),
        decisions=((1.75, (of("large", batch=2, timeout_s=5.0, cores=2),)),),
        drop_limits_s=(1.0,),
        batches=(Batch(0.0, 2.0, 0, (0,)), Batch(1.5, 3.5, 1, (1,))),
        drops=(Drop(3.5, 2),),
        replicas=(Replica("large", 0.0, 0.0, cores=2), Replica("large", 0.0, 0.0, 1.75, 3.5, cores=2)),
    ),
    Story(
        "without a ready idle replica an attempt does nothing",
        rule="2",
        shows="the arrival at 1.5 finds 1 expired, but only the completion at 2 drops it",
        initial=(large(),),
        arrivals_s=(0.0, 0.25, 1.5),
        drop_limits_s=(1.0,),
        batches=(Batch(0.0, 2.0, 0, (0,)), Batch(2.0, 4.0, 0, (2,))),
        drops=(Drop(2.0, 1),),
        replicas=(Replica("large", 0.0, 0.0, cores=2),),
    ),
    Story(
        "with no ready replica requests stay in the queue",
        rule="2",
        shows="max_unavailable 1 lets the only replica go at 1; the new one is ready at 4",
        initial=(of("small"),),
        arrivals_s=(1.5, 2.0),
        decisions=((1.0, (large(),)),),
        max_surge=0,
        max_unavailable=1,
        batches=(Batch(4.0, 6.0, 1, (0,)), Batch(6.0, 8.0, 1, (1,))),
        replicas=(Replica("small", 0.0, 0.0, 1.0, 1.0), Replica("large", 1.0, 4.0, cores=2)),
    ),
)

EAGER = (
    Story(
        "eager: batches go round, busy replicas or not",
        rule="2 eager",
        shows="request 2 waits at replica 0 from 0 on; at 1.5 it is replica 1's turn",
        dispatch="eager",
        initial=(of("small", replicas=2),),
        arrivals_s=(0.0, 0.0, 0.0, 1.5),
        batches=(
            Batch(0.0, 1.0, 0, (0,)),
            Batch(0.0, 1.0, 1, (1,)),
            Batch(1.0, 2.0, 0, (2,)),
            Batch(1.5, 2.5, 1, (3,)),
        ),
    ),
    Story(
        "eager: a batch waits at a busy replica while another idles",
        rule="2 eager",
        shows="replica 1 is idle from 1.25; request 3, of 1.375, waits at replica 0 until 1.5",
        dispatch="eager",
        initial=(of("steep", batch=2, replicas=2),),
        arrivals_s=(0.0, 0.0, 0.25, 1.375),
        batches=(Batch(0.0, 1.5, 0, (0, 1)), Batch(0.25, 1.25, 1, (2,)), Batch(1.5, 2.5, 0, (3,))),
    ),
    Story(
        "eager: a batch still waits to be formed",
        rule="2 eager",
        shows="full at 0.5 (0, 1), due at 1.75 (2): formed for a busy replica, which serves it next",
        dispatch="eager",
        initial=(of("large", batch=2, timeout_s=1.0, cores=2),),
        arrivals_s=(0.0, 0.5, 0.75, 2.0),
        batches=(Batch(0.5, 2.5, 0, (0, 1)), Batch(2.5, 4.5, 0, (2,)), Batch(4.5, 6.5, 0, (3,))),
    ),
    Story(
        "eager: a removed replica's batches return to the head in order",
        rule="2 eager",
        shows="1, 3, 5 were replica 1's; at 0.5 it goes: 3 and 5 now wait at replica 0, behind 2 and 4, before 6",
        dispatch="eager",
        initial=(of("small", replicas=2),),
        arrivals_s=(0.0,) * 6 + (0.5,),
        decisions=((0.5, (of("small"),)),),
        batches=(
            Batch(0.0, 1.0, 0, (0,)),
            Batch(0.0, 1.0, 1, (1,)),
            Batch(1.0, 2.0, 0, (2,)),
            Batch(2.0, 3.0, 0, (4,)),
            Batch(3.0, 4.0, 0, (3,)),
            Batch(4.0, 5.0, 0, (5,)),
            Batch(5.0, 6.0, 0, (6,)),
        ),
        replicas=(Replica("small", 0.0, 0.0), Replica("small", 0.0, 0.0, 0.5, 1.0)),
    ),
    Story(
        "eager: a control step sees what waits at replicas as what waits in the queue",
        rule="2 eager",
        shows="at 0.5 all six have left the queue for two replicas, which serve 0 and 1; at 1.5 they serve 2 and 3",
        dispatch="eager",
        initial=(of("small", replicas=2),),
        arrivals_s=(0.0,) * 6,
        decisions=((0.5, (of("small", replicas=2),)), (1.5, (of("small", replicas=2),))),
        batches=(
            Batch(0.0, 1.0, 0, (0,)),
            Batch(0.0, 1.0, 1, (1,)),
            Batch(1.0, 2.0, 0, (2,)),
            Batch(1.0, 2.0, 1, (3,)),
            Batch(2.0, 3.0, 0, (4,)),
            Batch(2.0, 3.0, 1, (5,)),
        ),
        seen=(
            Seen(0.5, 6, 0, 0, queue_length=4, in_service=2, starting=0, ready=2, draining=0),
            Seen(1.5, 0, 2, 0, queue_length=2, in_service=2, starting=0, ready=2, draining=0),
        ),
    ),
    Story(
        "eager: returned requests are formed by the batch size in force",
        rule="2 eager",
        shows="2 and 3 waited singly at replicas 0 and 1; replica 1 goes at 0.5 with batch size 2: 3 pairs with 4",
        dispatch="eager",
        initial=(of("small", replicas=2),),
        arrivals_s=(0.0, 0.0, 0.0, 0.0, 0.5),
        decisions=((0.5, (of("small", batch=2),)),),
        batches=(
            Batch(0.0, 1.0, 0, (0,)),
            Batch(0.0, 1.0, 1, (1,)),
            Batch(1.0, 2.0, 0, (2,)),
            Batch(2.0, 3.0, 0, (3, 4)),
        ),
        replicas=(Replica("small", 0.0, 0.0), Replica("small", 0.0, 0.0, 0.5, 1.0)),
    ),
    Story(
        "eager: with no ready replica requests stay in the queue",
        rule="2 eager",
        shows="none is ready between 1 and 4; batches of 2 are formed at 4",
        dispatch="eager",
        initial=(of("small"),),
        arrivals_s=(1.5, 2.0, 2.5),
        decisions=((1.0, (of("large", batch=2, cores=2),)),),
        max_surge=0,
        max_unavailable=1,
        batches=(Batch(4.0, 6.0, 1, (0, 1)), Batch(6.0, 8.0, 1, (2,))),
        replicas=(Replica("small", 0.0, 0.0, 1.0, 1.0), Replica("large", 1.0, 4.0, cores=2)),
    ),
    Story(
        "eager: a formed batch does not expire",
        rule="4 eager",
        shows="2 and 3 start older than 1.5, for they were formed at 0 and 0.5",
        dispatch="eager",
        initial=(of("small"),),
        arrivals_s=(0.0, 0.0, 0.0, 0.5),
        drop_limits_s=(1.5,),
        batches=tuple(Batch(float(k), k + 1.0, 0, (k,)) for k in range(4)),
    ),
)

RULE_3 = (
    Story(
        "a batch takes the time of its actual size",
        rule="3",
        shows="batch size 4, three are there: 2 s, not 2.5",
        initial=(of("steep", batch=4),),
        arrivals_s=(0.0, 0.0, 0.0),
        batches=(Batch(0.0, 2.0, 0, (0, 1, 2)),),
    ),
    Story(
        "a batch takes the time of its replica's cores",
        rule="3",
        shows="2 cores: half a second",
        initial=(of("small", cores=2),),
        arrivals_s=(1.0,),
        batches=(Batch(1.0, 1.5, 0, (0,)),),
    ),
)

RULE_4 = (
    Story(
        "a late request is dropped alone",
        rule="4",
        shows="at 2 request 1 is exactly 1 old and served; at 3 request 2 is 1.5 old and dropped, 3 is served",
        initial=(of("small"),),
        arrivals_s=(0.0, 0.0, 1.0, 1.5, 2.5),
        drop_limits_s=(1.0,),
        batches=(
            Batch(0.0, 1.0, 0, (0,)),
            Batch(1.0, 2.0, 0, (1,)),
            Batch(2.0, 3.0, 0, (2,)),
            Batch(3.0, 4.0, 0, (4,)),
        ),
        drops=(Drop(3.0, 3),),
    ),
    Story(
        "age counts from the arrival at the pipeline",
        rule="4",
        shows="request 1 waits at stage 1 from 1 to 2 only, but is 2 old by then; stage 1's limit is 1.5",
        initial=(of("small", replicas=2), of("small")),
        arrivals_s=(0.0, 0.0),
        drop_limits_s=(100.0, 1.5),
        batches=(
            Batch(0.0, 1.0, 0, (0,), stage=0),
            Batch(0.0, 1.0, 1, (1,), stage=0),
            Batch(1.0, 2.0, 0, (0,), stage=1),
        ),
        drops=(Drop(2.0, 1, stage=1),),
    ),
    Story(
        "an attempt drops all that is expired at the head",
        rule="4",
        shows="1 and 2 go at 2, 3 is served",
        initial=(large(),),
        arrivals_s=(0.0, 0.25, 0.5, 1.75),
        drop_limits_s=(1.0,),
        batches=(Batch(0.0, 2.0, 0, (0,)), Batch(2.0, 4.0, 0, (3,))),
        drops=(Drop(2.0, 1), Drop(2.0, 2)),
    ),
    Story(
        "dropping by request spares the batch",
        rule="4",
        shows="at 1 request 1 is 0.875 old (limit 0.75), 2 is not: 2 starts",
        initial=(of("small", batch=2),),
        arrivals_s=(0.0, 0.125, 0.875),
        drop_limits_s=(0.75,),
        batches=(Batch(0.0, 1.0, 0, (0,)), Batch(1.0, 2.0, 0, (2,))),
        drops=(Drop(1.0, 1),),
    ),
    Story(
        "dropping by batch takes all by the oldest",
        rule="4 batch",
        shows="the same, but 2 is dropped with 1",
        drop="batch",
        initial=(of("small", batch=2),),
        arrivals_s=(0.0, 0.125, 0.875),
        drop_limits_s=(0.75,),
        batches=(Batch(0.0, 1.0, 0, (0,)),),
        drops=(Drop(1.0, 1), Drop(1.0, 2)),
    ),
    Story(
        "dropping by batch looks at batches alone",
        rule="4 batch",
        shows="an attempt at 3 finds no batch to form, so 0 stays until it is due at 5",
        drop="batch",
        initial=(LONELY,),
        arrivals_s=(0.0,),
        decisions=((3.0, (LONELY,)),),
        drop_limits_s=(2.0,),
        drops=(Drop(5.0, 0),),
    ),
    Story(
        "dropping by batch goes by the oldest, not the first",
        rule="4 batch",
        shows="stage 1 forms 2, 0, 1 at 1.5: 2 is 1.25 old, but 0 is 1.5 old, above 1.375",
        drop="batch",
        initial=(of("steep", batch=2, replicas=2), of("small", batch=3, timeout_s=5.0)),
        arrivals_s=(0.0, 0.0, 0.25),
        drop_limits_s=(100.0, 1.375),
        batches=(Batch(0.0, 1.5, 0, (0, 1), stage=0), Batch(0.25, 1.25, 1, (2,), stage=0)),
        drops=(Drop(1.5, 0, stage=1), Drop(1.5, 1, stage=1), Drop(1.5, 2, stage=1)),
    ),
    Story(
        "eager dropping by batch happens when the batch is formed",
        rule="4 eager batch",
        shows="0 is formed alone when due at 1.5, and is older than 1; 1 and 2 are a full batch at 2",
        dispatch="eager",
        drop="batch",
        initial=(of("small", batch=2, timeout_s=1.5),),
        arrivals_s=(0.0, 2.0, 2.0),
        drop_limits_s=(1.0,),
        batches=(Batch(2.0, 3.0, 0, (1, 2)),),
        drops=(Drop(1.5, 0),),
    ),
    Story(
        "by deadline, who cannot be in time is not served",
        rule="4 deadline",
        shows="SLA 2, service 1: at 1 request 1 is 1 old and just in time; at 2 request 2 is 2 old, 3 is 1 old",
        drop="deadline",
        sla_s=2.0,
        initial=(of("small"),),
        arrivals_s=(0.0, 0.0, 0.0, 1.0),
        batches=(Batch(0.0, 1.0, 0, (0,)), Batch(1.0, 2.0, 0, (1,)), Batch(2.0, 3.0, 0, (3,))),
        drops=(Drop(2.0, 2),),
    ),
    Story(
        "by deadline, the service of later stages is ahead",
        rule="4 deadline",
        shows="SLA 4, ahead 1 + 2: who is 2 old is dropped at stage 0, though stage 1 would be reached in time",
        drop="deadline",
        sla_s=4.0,
        initial=(of("small"), large(2)),
        arrivals_s=(0.0, 0.0, 0.0),
        batches=(
            Batch(0.0, 1.0, 0, (0,), stage=0),
            Batch(1.0, 2.0, 0, (1,), stage=0),
            Batch(1.0, 3.0, 0, (0,), stage=1),
            Batch(2.0, 4.0, 1, (1,), stage=1),
        ),
        drops=(Drop(2.0, 2, stage=0),),
    ),
    Story(
        "by deadline, the hop to a later stage is ahead",
        rule="4 deadline",
        shows="SLA 3, ahead 1 + 0.5 + 1: at 1 request 1 is above 0.5 old",
        drop="deadline",
        sla_s=3.0,
        hop_s=0.5,
        initial=(of("small"), of("small")),
        arrivals_s=(0.0, 0.0),
        batches=(Batch(0.0, 1.0, 0, (0,), stage=0), Batch(1.5, 2.5, 0, (0,), stage=1)),
        drops=(Drop(1.0, 1, stage=0),),
    ),
    Story(
        "by deadline, the wait at later stages is ahead",
        rule="4 deadline",
        shows=(
            "SLA 5; at 2 requests 1 and 2 wait at stage 1, so 1 + (2 + 4) are ahead of 3, which goes as it comes; "
            "stage 1 serves 1 at 3, just in time, and drops 2 at 5, which did not seem hopeless at 1"
        ),
        drop="deadline",
        sla_s=5.0,
        initial=(of("small", replicas=2), large()),
        arrivals_s=(0.0, 0.0, 1.0, 2.0),
        batches=(
            Batch(0.0, 1.0, 0, (0,), stage=0),
            Batch(0.0, 1.0, 1, (1,), stage=0),
            Batch(1.0, 2.0, 0, (2,), stage=0),
            Batch(1.0, 3.0, 0, (0,), stage=1),
            Batch(3.0, 5.0, 0, (1,), stage=1),
        ),
        drops=(Drop(2.0, 3, stage=0), Drop(5.0, 2, stage=1)),
    ),
    Story(
        "by deadline, more ready replicas make the wait shorter",
        rule="4 deadline",
        shows="as before with three at stage 1: nobody waits there, and request 3 is in time",
        drop="deadline",
        sla_s=5.0,
        initial=(of("small", replicas=2), large(3)),
        arrivals_s=(0.0, 0.0, 1.0, 2.0),
        batches=(
            Batch(0.0, 1.0, 0, (0,), stage=0),
            Batch(0.0, 1.0, 1, (1,), stage=0),
            Batch(1.0, 2.0, 0, (2,), stage=0),
            Batch(2.0, 3.0, 0, (3,), stage=0),
            Batch(1.0, 3.0, 0, (0,), stage=1),
            Batch(1.0, 3.0, 1, (1,), stage=1),
            Batch(2.0, 4.0, 2, (2,), stage=1),
            Batch(3.0, 5.0, 0, (3,), stage=1),
        ),
    ),
    Story(
        "by deadline, the drop limit still counts",
        rule="4 deadline",
        shows="in time for an SLA of 10, but older than 0.5",
        drop="deadline",
        sla_s=10.0,
        initial=(of("small"),),
        arrivals_s=(0.0, 0.25),
        drop_limits_s=(0.5,),
        batches=(Batch(0.0, 1.0, 0, (0,)),),
        drops=(Drop(1.0, 1),),
    ),
    Story(
        "by deadline, whoever comes finds who has waited too long for a batch to fill",
        rule="4 deadline",
        shows="SLA 3, ahead 1; request 1 finds 0 at 2.5, and is itself due at 7.5, when it is 5 old",
        drop="deadline",
        sla_s=3.0,
        initial=(of("small", batch=3, timeout_s=5.0),),
        arrivals_s=(0.0, 2.5),
        drops=(Drop(2.5, 0), Drop(7.5, 1)),
    ),
    Story(
        "by deadline, a decision takes effect stage by stage",
        rule="4 deadline",
        shows=(
            "SLA 3; at 1 both stages get small ones; stage 0 looks first, and sees the 2 of the large one at stage 1: "
            "1 + 2 are ahead, and 0, which is 0.5 old, is dropped; 1 is 0.25 old at 1.5 and has 1 + 1 ahead of it"
        ),
        drop="deadline",
        sla_s=3.0,
        initial=(of("small", batch=2, timeout_s=5.0), large()),
        arrivals_s=(0.5, 1.25),
        decisions=((1.0, (of("small", batch=2, timeout_s=0.25), of("small"))),),
        batches=(Batch(1.5, 2.5, 0, (1,), stage=0), Batch(2.5, 4.5, 0, (1,), stage=1)),
        drops=(Drop(1.0, 0, stage=0),),
        replicas=(
            Replica("small", 0.0, 0.0, stage=0),
            Replica("large", 0.0, 0.0, 3.0, 4.5, cores=2, stage=1),
            Replica("small", 1.0, 3.0, stage=1),
        ),
    ),
    Story(
        "by deadline, eager: batches that wait at a replica are ahead",
        rule="4 eager deadline",
        shows="SLA 3; with 0, 1, 2, 3 before it (0 is being served and does not count), 1 + 3 are ahead of 4",
        dispatch="eager",
        drop="deadline",
        sla_s=3.0,
        initial=(of("small"),),
        arrivals_s=(0.0,) * 5,
        batches=tuple(Batch(float(k), k + 1.0, 0, (k,)) for k in range(4)),
        drops=(Drop(0.0, 4),),
    ),
)

RULE_5 = (
    Story(
        "a new replica serves when its start-up is over",
        rule="5c",
        shows="created at 1, ready at 3, when it takes request 2",
        initial=(of("small"),),
        arrivals_s=(2.25, 2.25, 2.25),
        decisions=((1.0, (of("small", replicas=2),)),),
        batches=(Batch(2.25, 3.25, 0, (0,)), Batch(3.0, 4.0, 1, (1,)), Batch(3.25, 4.25, 0, (2,))),
        replicas=(Replica("small", 0.0, 0.0), Replica("small", 1.0, 3.0)),
        core_s=10.0 + 9.0,
    ),
    Story(
        "scaling up is not held back by max_surge",
        rule="5c",
        shows="D = 3, current = 1, max_surge 0: two are created at once",
        initial=(of("small"),),
        arrivals_s=(),
        decisions=((1.0, (of("small", replicas=3),)),),
        max_surge=0,
        max_unavailable=1,
        replicas=(Replica("small", 0.0, 0.0), Replica("small", 1.0, 3.0), Replica("small", 1.0, 3.0)),
    ),
    Story(
        "surplus goes starting, then idle, then busy, highest number first",
        rule="5b",
        shows="from 5 to 1 at 2: 4 starts, 3 and 2 idle, 1 is busy until 2.5; 0 stays",
        initial=(of("small", replicas=4),),
        arrivals_s=(1.5, 1.5),
        decisions=((1.0, (of("small", replicas=5),)), (2.0, (of("small"),))),
        batches=(Batch(1.5, 2.5, 0, (0,)), Batch(1.5, 2.5, 1, (1,))),
        replicas=(
            Replica("small", 0.0, 0.0),
            Replica("small", 0.0, 0.0, 2.0, 2.5),
            Replica("small", 0.0, 0.0, 2.0, 2.0),
            Replica("small", 0.0, 0.0, 2.0, 2.0),
            Replica("small", 1.0, None, 2.0, 2.0),
        ),
    ),
    Story(
        "surplus goes idle before busy, whatever the numbers",
        rule="5b",
        shows="at 1.5 replica 0 is idle, 1 busy: 0 goes",
        initial=(of("steep", batch=2, replicas=2),),
        arrivals_s=(0.0, 0.25, 0.25),
        decisions=((1.5, (of("steep", batch=2),)),),
        batches=(Batch(0.0, 1.0, 0, (0,)), Batch(0.25, 1.75, 1, (1, 2))),
        replicas=(Replica("steep", 0.0, 0.0, 1.5, 1.5), Replica("steep", 0.0, 0.0)),
    ),
    Story(
        "a removed replica finishes its batch, takes no new one, then stops",
        rule="5",
        shows="replica 1 is removed at 0.5 and gone at finish 1 + stop 0.5; 2 waits for replica 0",
        initial=(of("small", replicas=2),),
        arrivals_s=(0.0, 0.0, 0.75, 0.75),
        decisions=((0.5, (of("small"),)),),
        stop_s=0.5,
        batches=(
            Batch(0.0, 1.0, 0, (0,)),
            Batch(0.0, 1.0, 1, (1,)),
            Batch(1.0, 2.0, 0, (2,)),
            Batch(2.0, 3.0, 0, (3,)),
        ),
        replicas=(Replica("small", 0.0, 0.0), Replica("small", 0.0, 0.0, 0.5, 1.5)),
        core_s=10.0 + 1.5,
    ),
    Story(
        "an idle one that is removed stops at once",
        rule="5",
        shows="gone at removal 0.5 + stop 0.5",
        initial=(of("small", replicas=2),),
        arrivals_s=(),
        decisions=((0.5, (of("small"),)),),
        stop_s=0.5,
        replicas=(Replica("small", 0.0, 0.0), Replica("small", 0.0, 0.0, 0.5, 1.0)),
        core_s=10.0 + 1.0,
    ),
    Story(
        "max_surge 1: one more, then one fewer, until all are new",
        rule="5cd",
        shows="D = 2: create at 1; ready at 4: remove and create; ready at 7: remove",
        initial=(of("small", replicas=2),),
        arrivals_s=(),
        decisions=((1.0, (large(2),)),),
        replicas=(
            Replica("small", 0.0, 0.0, 7.0, 7.0),
            Replica("small", 0.0, 0.0, 4.0, 4.0),
            Replica("large", 1.0, 4.0, cores=2),
            Replica("large", 4.0, 7.0, cores=2),
        ),
        core_s=7.0 + 4.0 + 2 * 9.0 + 2 * 6.0,
    ),
    Story(
        "max_unavailable 1: one fewer first",
        rule="5d",
        shows="D = 2, max_surge 0: at 1 one goes and one is created, at 4 again",
        initial=(of("small", replicas=2),),
        arrivals_s=(),
        decisions=((1.0, (large(2),)),),
        max_surge=0,
        max_unavailable=1,
        replicas=(
            Replica("small", 0.0, 0.0, 4.0, 4.0),
            Replica("small", 0.0, 0.0, 1.0, 1.0),
            Replica("large", 1.0, 4.0, cores=2),
            Replica("large", 4.0, 7.0, cores=2),
        ),
    ),
    Story(
        "both 1: passes are repeated until nothing changes",
        rule="5",
        shows="at 1: create 2, remove 1; the second pass finds room to create 3; at 4 the last old one goes",
        initial=(of("small", replicas=2),),
        arrivals_s=(),
        decisions=((1.0, (large(2),)),),
        max_unavailable=1,
        replicas=(
            Replica("small", 0.0, 0.0, 4.0, 4.0),
            Replica("small", 0.0, 0.0, 1.0, 1.0),
            Replica("large", 1.0, 4.0, cores=2),
            Replica("large", 1.0, 4.0, cores=2),
        ),
    ),
    Story(
        "by default max_surge is a quarter, rounded up",
        rule="10",
        shows="D = 5: two at a time; of two ready at the same instant each has its own rollout step",
        initial=(of("small", replicas=5),),
        arrivals_s=(),
        decisions=((1.0, (large(5),)),),
        max_surge=None,
        duration_s=12.0,
        end_s=12.0,
        replicas=(
            Replica("small", 0.0, 0.0, 10.0, 10.0),
            Replica("small", 0.0, 0.0, 7.0, 7.0),
            Replica("small", 0.0, 0.0, 7.0, 7.0),
            Replica("small", 0.0, 0.0, 4.0, 4.0),
            Replica("small", 0.0, 0.0, 4.0, 4.0),
            Replica("large", 1.0, 4.0, cores=2),
            Replica("large", 1.0, 4.0, cores=2),
            Replica("large", 4.0, 7.0, cores=2),
            Replica("large", 4.0, 7.0, cores=2),
            Replica("large", 7.0, 10.0, cores=2),
        ),
    ),
    Story(
        "obsolete replicas still starting are removed first",
        rule="5a",
        shows="large is wanted at 1, narrow at 2: the large one never gets ready, and serves nothing at 4",
        initial=(of("small"),),
        arrivals_s=(3.5, 4.0),
        decisions=((1.0, (large(),)), (2.0, (of("narrow"),))),
        batches=(Batch(3.5, 4.5, 0, (0,)), Batch(4.0, 5.0, 2, (1,))),
        replicas=(
            Replica("small", 0.0, 0.0, 4.0, 4.5),
            Replica("large", 1.0, None, 2.0, 2.0, cores=2),
            Replica("narrow", 2.0, 4.0),
        ),
    ),
    Story(
        "obsolete ready ones go idle first, then the highest number",
        rule="5d",
        shows="at 4 replica 0 has just become idle, 1 and 2 are busy: 0 goes; at 7 all are idle: 2 goes; at 10: 1",
        initial=(of("small", replicas=3),),
        arrivals_s=(3.0, 3.5, 3.75),
        decisions=((1.0, (large(3),)),),
        batches=(Batch(3.0, 4.0, 0, (0,)), Batch(3.5, 4.5, 1, (1,)), Batch(3.75, 4.75, 2, (2,))),
        duration_s=11.0,
        end_s=11.0,
        replicas=(
            Replica("small", 0.0, 0.0, 4.0, 4.0),
            Replica("small", 0.0, 0.0, 10.0, 10.0),
            Replica("small", 0.0, 0.0, 7.0, 7.0),
            Replica("large", 1.0, 4.0, cores=2),
            Replica("large", 4.0, 7.0, cores=2),
            Replica("large", 7.0, 10.0, cores=2),
        ),
    ),
    Story(
        "going back to a variant makes its replicas current again",
        rule="5",
        shows="at 5 replica 0 is current again, 1 (still stopping) never, 3 (starting) is removed, 2 serves until 7",
        initial=(of("small", replicas=2),),
        arrivals_s=(6.0, 6.0),
        decisions=((1.0, (large(2),)), (5.0, (of("small", replicas=2),))),
        stop_s=2.0,
        batches=(Batch(6.0, 7.0, 0, (0,)), Batch(6.0, 8.0, 2, (1,))),
        replicas=(
            Replica("small", 0.0, 0.0),
            Replica("small", 0.0, 0.0, 4.0, 6.0),
            Replica("large", 1.0, 4.0, 7.0, 10.0, cores=2),
            Replica("large", 4.0, None, 5.0, 7.0, cores=2),
            Replica("small", 5.0, 7.0),
        ),
    ),
    Story(
        "fewer of a new variant: surplus starting ones and all old ones go",
        rule="5bd",
        shows="one large is ready, one starting when at 5 one is wanted: the starting one goes, and with R = 2 the old",
        initial=(of("small", replicas=2),),
        arrivals_s=(),
        decisions=((1.0, (large(2),)), (5.0, (large(),))),
        replicas=(
            Replica("small", 0.0, 0.0, 5.0, 5.0),
            Replica("small", 0.0, 0.0, 4.0, 4.0),
            Replica("large", 1.0, 4.0, cores=2),
            Replica("large", 4.0, None, 5.0, 5.0, cores=2),
        ),
    ),
    Story(
        "a change of cores is a rollout",
        rule="5",
        shows="same variant, 2 cores: created at 1, ready at 3, when the old one goes",
        initial=(of("small"),),
        arrivals_s=(2.0, 3.5),
        decisions=((1.0, (of("small", cores=2),)),),
        batches=(Batch(2.0, 3.0, 0, (0,)), Batch(3.5, 4.0, 1, (1,))),
        replicas=(Replica("small", 0.0, 0.0, 3.0, 3.0), Replica("small", 1.0, 3.0, cores=2)),
        core_s=3.0 + 2 * 9.0,
    ),
    Story(
        "a new batch size is in force at once",
        rule="5",
        shows="two of four wait; at 2 two are enough",
        initial=(of("small", batch=4, timeout_s=8.0),),
        arrivals_s=(0.0, 0.5),
        decisions=((2.0, (of("small", batch=2, timeout_s=8.0),)),),
        batches=(Batch(2.0, 3.0, 0, (0, 1)),),
    ),
    Story(
        "a new timeout is in force at once",
        rule="5",
        shows="8 s become 3: due at 0 + 3, counted from the enqueue",
        initial=(of("small", batch=4, timeout_s=8.0),),
        arrivals_s=(0.0, 0.5),
        decisions=((2.0, (of("small", batch=4, timeout_s=3.0),)),),
        batches=(Batch(3.0, 4.0, 0, (0, 1)),),
    ),
    Story(
        "a new timeout may be over already",
        rule="5",
        shows="8 s become 1: due since 1, so that the decision of 2 starts the batch",
        initial=(of("small", batch=4, timeout_s=8.0),),
        arrivals_s=(0.0, 0.5),
        decisions=((2.0, (of("small", batch=4, timeout_s=1.0),)),),
        batches=(Batch(2.0, 3.0, 0, (0, 1)),),
    ),
    Story(
        "each stage rolls out on its own",
        rule="5",
        shows="stage 0 goes large, stage 1 to two replicas",
        initial=(of("small"), of("small")),
        arrivals_s=(),
        decisions=((1.0, (large(), of("small", replicas=2))),),
        replicas=(
            Replica("small", 0.0, 0.0, 4.0, 4.0, stage=0),
            Replica("large", 1.0, 4.0, cores=2, stage=0),
            Replica("small", 0.0, 0.0, stage=1),
            Replica("small", 1.0, 3.0, stage=1),
        ),
    ),
    Story(
        "a replica costs from creation until gone, and only within the duration",
        rule="6",
        shows="starting ones cost from 9 on; the run goes on to 12, the cost ends at 10",
        initial=(of("small"),),
        arrivals_s=(9.0, 9.0, 9.0),
        decisions=((9.0, (large(),)),),
        batches=(Batch(9.0, 10.0, 0, (0,)), Batch(10.0, 11.0, 0, (1,)), Batch(11.0, 12.0, 0, (2,))),
        replicas=(Replica("small", 0.0, 0.0, 12.0, 12.0), Replica("large", 9.0, 12.0, cores=2)),
        end_s=12.0,
        core_s=10.0 + 2 * 1.0,
    ),
)

OTHER_CORES = (
    Story(
        "replicas with other cores are new ones",
        rule="5",
        shows="1 starts at 4 and is ready at 6, when 0 goes",
        initial=(of("small"),),
        arrivals_s=(4.5, 6.5),
        decisions=((4.0, (of("small", cores=2),)),),
        batches=(Batch(4.5, 5.5, 0, (0,)), Batch(6.5, 7.0, 1, (1,))),
        replicas=(Replica("small", 0.0, 0.0, 6.0, 6.0), Replica("small", 4.0, 6.0, cores=2)),
        core_s=6.0 + 2 * 6.0,
    ),
)

RULE_7 = (
    Story(
        "a decision takes effect after the delay",
        rule="7",
        shows="decided at 1, in force at 1.5: created then",
        initial=(of("small"),),
        arrivals_s=(),
        decisions=((1.0, (of("small", replicas=2),)),),
        decision_delay_s=0.5,
        replicas=(Replica("small", 0.0, 0.0), Replica("small", 1.5, 3.5)),
    ),
    Story(
        "a decision takes effect even past the duration",
        rule="7",
        shows="decided at 9, in force at 12; the instant replica then takes request 4",
        initial=(of("instant"),),
        arrivals_s=(9.0,) * 5,
        decisions=((9.0, (of("instant", replicas=2),)),),
        decision_delay_s=3.0,
        batches=(
            Batch(9.0, 10.0, 0, (0,)),
            Batch(10.0, 11.0, 0, (1,)),
            Batch(11.0, 12.0, 0, (2,)),
            Batch(12.0, 13.0, 0, (3,)),
            Batch(12.0, 13.0, 1, (4,)),
        ),
        replicas=(Replica("instant", 0.0, 0.0), Replica("instant", 12.0, 12.0)),
        end_s=13.0,
    ),
    Story(
        "a decision that would come after the last request never does",
        rule="7",
        shows="in force at 12, but all have ended and the run with them at 10",
        initial=(of("small"),),
        arrivals_s=(1.0,),
        decisions=((9.0, (of("small", replicas=2),)),),
        decision_delay_s=3.0,
        batches=(Batch(1.0, 2.0, 0, (0,)),),
    ),
)

RULE_8 = (
    Story(
        "a completion comes before a delivery",
        rule="8",
        shows="at 3 stage 1 completes and takes 1 alone; 2, delivered at 3, comes after",
        initial=(of("small", replicas=3), of("small", batch=2)),
        arrivals_s=(0.0, 0.5, 1.0),
        hop_s=1.0,
        batches=(
            Batch(0.0, 1.0, 0, (0,), stage=0),
            Batch(0.5, 1.5, 1, (1,), stage=0),
            Batch(1.0, 2.0, 0, (2,), stage=0),
            Batch(2.0, 3.0, 0, (0,), stage=1),
            Batch(3.0, 4.0, 0, (1,), stage=1),
            Batch(4.0, 5.0, 0, (2,), stage=1),
        ),
    ),
    Story(
        "completions of an earlier stage come first",
        rule="8",
        shows="without a hop stage 0's completion at 2 brings 2 to stage 1 before that one completes: 1 and 2 together",
        initial=(of("small", replicas=3), of("small", batch=2)),
        arrivals_s=(0.0, 0.5, 1.0),
        batches=(
            Batch(0.0, 1.0, 0, (0,), stage=0),
            Batch(0.5, 1.5, 1, (1,), stage=0),
            Batch(1.0, 2.0, 0, (2,), stage=0),
            Batch(1.0, 2.0, 0, (0,), stage=1),
            Batch(2.0, 3.0, 0, (1, 2), stage=1),
        ),
    ),
    Story(
        "completions of a stage come in the order in which their batches started",
        rule="8",
        shows="both complete at 2, replica 1 (since 0.5) before 0 (since 1): request 4 goes to replica 1",
        initial=(of("steep", batch=2, replicas=2),),
        arrivals_s=(0.0, 0.5, 0.5, 1.0, 1.5),
        batches=(
            Batch(0.0, 1.0, 0, (0,)),
            Batch(0.5, 2.0, 1, (1, 2)),
            Batch(1.0, 2.0, 0, (3,)),
            Batch(2.0, 3.0, 1, (4,)),
        ),
    ),
    Story(
        "a completion comes before an activation",
        rule="8",
        shows="at 4 the small one completes and takes 1, then the large one is ready and the small one drains",
        initial=(of("small"),),
        arrivals_s=(3.0, 3.5),
        decisions=((1.0, (large(),)),),
        batches=(Batch(3.0, 4.0, 0, (0,)), Batch(4.0, 5.0, 0, (1,))),
        replicas=(Replica("small", 0.0, 0.0, 4.0, 5.0), Replica("large", 1.0, 4.0, cores=2)),
    ),
    Story(
        "a delivery comes before an activation",
        rule="8",
        shows="delivered at 4 to the small one, which drains when the large one is ready at 4",
        initial=(of("small"), of("small")),
        arrivals_s=(2.0,),
        decisions=((1.0, (of("small"), large())),),
        hop_s=1.0,
        batches=(Batch(2.0, 3.0, 0, (0,), stage=0), Batch(4.0, 5.0, 0, (0,), stage=1)),
        replicas=(
            Replica("small", 0.0, 0.0, stage=0),
            Replica("small", 0.0, 0.0, 4.0, 5.0, stage=1),
            Replica("large", 1.0, 4.0, cores=2, stage=1),
        ),
    ),
    Story(
        "an activation comes before an application",
        rule="8",
        shows="ready at 4, the large one ends the small one before the decision of 4 to go back",
        initial=(of("small"),),
        arrivals_s=(),
        decisions=((1.0, (large(),)), (4.0, (of("small"),))),
        replicas=(
            Replica("small", 0.0, 0.0, 4.0, 4.0),
            Replica("large", 1.0, 4.0, 6.0, 6.0, cores=2),
            Replica("small", 4.0, 6.0),
        ),
    ),
    Story(
        "an activation comes before an application, however early that was decided",
        rule="8",
        shows="decided at 3, in force at 4: the large one, ready at 4, has ended the small one by then",
        initial=(of("small"),),
        arrivals_s=(),
        decisions=((0.0, (large(),)), (3.0, (of("small"),))),
        decision_delay_s=1.0,
        replicas=(
            Replica("small", 0.0, 0.0, 4.0, 4.0),
            Replica("large", 1.0, 4.0, 6.0, 6.0, cores=2),
            Replica("small", 4.0, 6.0),
        ),
    ),
    Story(
        "an application comes before a timer",
        rule="8",
        shows="due at 2, but the decision of 2 makes the timeout 5: due at 5",
        initial=(of("small", batch=2, timeout_s=2.0),),
        arrivals_s=(0.0,),
        decisions=((2.0, (of("small", batch=2, timeout_s=5.0),)),),
        batches=(Batch(5.0, 6.0, 0, (0,)),),
    ),
    Story(
        "an arrival's own attempt ranks with the timers",
        rule="8",
        shows="the decision of 2 takes the only replica away before the arrival of 2 can use it",
        initial=(of("small"),),
        arrivals_s=(2.0,),
        decisions=((2.0, (large(),)),),
        max_surge=0,
        max_unavailable=1,
        batches=(Batch(5.0, 7.0, 1, (0,)),),
        replicas=(Replica("small", 0.0, 0.0, 2.0, 2.0), Replica("large", 2.0, 5.0, cores=2)),
    ),
    Story(
        "an arrival is in the queue for every event of its instant",
        rule="8",
        shows="at 1 request 2 arrives and the replica completes: 1 and 2 start together",
        initial=(of("small", batch=2),),
        arrivals_s=(0.0, 0.5, 1.0),
        batches=(Batch(0.0, 1.0, 0, (0,)), Batch(1.0, 2.0, 0, (1, 2))),
    ),
    Story(
        "what an event makes due at once joins the instant by its rank",
        rule="8",
        shows="start-up 0: the decision of 2 gives 0 to the small one; then the instant one is ready, and takes 1",
        initial=(of("small"),),
        arrivals_s=(2.0, 2.0),
        decisions=((2.0, (of("instant"),)),),
        batches=(Batch(2.0, 3.0, 0, (0,)), Batch(2.0, 3.0, 1, (1,))),
        replicas=(Replica("small", 0.0, 0.0, 2.0, 3.0), Replica("instant", 2.0, 2.0)),
    ),
    Story(
        "a control step sees what came before it within its instant",
        rule="8",
        shows=(
            "at 4 the completion counts, the large one is ready and the small one draining (it took 2 at 4); the "
            "request arriving at 4 is in the queue but not among the arrivals before 4; at 8 the rest"
        ),
        initial=(of("small"),),
        arrivals_s=(3.0, 3.25, 3.5, 4.0),
        decisions=((1.0, (large(),)), (4.0, (large(),)), (8.0, (large(),))),
        drop_limits_s=(0.75,),
        stop_s=3.0,
        batches=(Batch(3.0, 4.0, 0, (0,)), Batch(4.0, 5.0, 0, (1,)), Batch(4.0, 6.0, 1, (2,))),
        drops=(Drop(6.0, 3),),
        replicas=(Replica("small", 0.0, 0.0, 4.0, 8.0), Replica("large", 1.0, 4.0, cores=2)),
        seen=(
            Seen(1.0, 0, 0, 0, queue_length=0, in_service=0, starting=0, ready=1, draining=0),
            Seen(4.0, 3, 1, 0, queue_length=1, in_service=2, starting=0, ready=1, draining=1),
            Seen(8.0, 1, 2, 1, queue_length=0, in_service=0, starting=0, ready=1, draining=0),
        ),
    ),
    Story(
        "a control step sees the drops of its own instant's completions",
        rule="8",
        shows="at 2 the completion drops 1 before the step; stage 1 counts what was delivered to it",
        initial=(large(), of("small")),
        arrivals_s=(0.0, 0.5),
        decisions=((2.0, (large(), of("small"))),),
        drop_limits_s=(1.0, 100.0),
        batches=(Batch(0.0, 2.0, 0, (0,), stage=0), Batch(2.0, 3.0, 0, (0,), stage=1)),
        drops=(Drop(2.0, 1, stage=0),),
        seen=(
            Seen(2.0, 2, 1, 1, queue_length=0, in_service=0, starting=0, ready=1, draining=0, stage=0),
            Seen(2.0, 1, 0, 0, queue_length=0, in_service=1, starting=0, ready=1, draining=0, stage=1),
        ),
    ),
)

RULE_9 = (
    Story(
        "the run goes on until every request has ended",
        rule="9",
        shows="duration 10, the last one completes at 12",
        initial=(of("small"),),
        arrivals_s=(9.0, 9.0, 9.5),
        batches=(Batch(9.0, 10.0, 0, (0,)), Batch(10.0, 11.0, 0, (1,)), Batch(11.0, 12.0, 0, (2,))),
        end_s=12.0,
    ),
    Story(
        "a drop may be the last end",
        rule="9",
        shows="request 1 is dropped at 11, and the run ends there",
        initial=(of("large", cores=2),),
        arrivals_s=(9.0, 9.5),
        drop_limits_s=(1.0,),
        batches=(Batch(9.0, 11.0, 0, (0,)),),
        drops=(Drop(11.0, 1),),
        end_s=11.0,
    ),
    Story(
        "what happens at the bound still happens",
        rule="9",
        shows="bound 12: request 2 completes, 3 starts, and is unfinished",
        initial=(of("small"),),
        arrivals_s=(9.0,) * 4,
        bound_s=2.0,
        batches=(
            Batch(9.0, 10.0, 0, (0,)),
            Batch(10.0, 11.0, 0, (1,)),
            Batch(11.0, 12.0, 0, (2,)),
            Batch(12.0, None, 0, (3,)),
        ),
        unfinished=(3,),
        end_s=12.0,
    ),
    Story(
        "past the bound nothing happens",
        rule="9",
        shows="bound 11.5: 2 is in service, 3 in the queue, both unfinished",
        initial=(of("small"),),
        arrivals_s=(9.0,) * 4,
        bound_s=1.5,
        batches=(Batch(9.0, 10.0, 0, (0,)), Batch(10.0, 11.0, 0, (1,)), Batch(11.0, None, 0, (2,))),
        unfinished=(2, 3),
        end_s=11.5,
    ),
    Story(
        "a request in a hop at the bound is unfinished",
        rule="9",
        shows="finished by stage 0 at 10, on its way to 13, bound 12",
        initial=(of("small"), of("small")),
        arrivals_s=(9.0,),
        hop_s=3.0,
        bound_s=2.0,
        batches=(Batch(9.0, 10.0, 0, (0,), stage=0),),
        unfinished=(0,),
        end_s=12.0,
    ),
    Story(
        "a batch waiting at a replica at the bound is unfinished",
        rule="9 eager",
        shows="formed at 9, never started",
        dispatch="eager",
        initial=(of("large", cores=2),),
        arrivals_s=(9.0, 9.0),
        bound_s=0.5,
        batches=(Batch(9.0, None, 0, (0,)),),
        unfinished=(0, 1),
        end_s=10.5,
    ),
    Story(
        "without requests the run lasts its duration",
        rule="9",
        shows="and replicas that are not ready by then have no ready moment",
        initial=(of("small"),),
        arrivals_s=(),
        decisions=((9.0, (of("small", replicas=2),)),),
        replicas=(Replica("small", 0.0, 0.0), Replica("small", 9.0, None)),
        core_s=10.0 + 1.0,
    ),
    Story(
        "the duration's own instant belongs to the run",
        rule="9",
        shows="completed and ready at 10 exactly",
        initial=(of("small"),),
        arrivals_s=(9.0,),
        decisions=((8.0, (of("small", replicas=2),)),),
        batches=(Batch(9.0, 10.0, 0, (0,)),),
        replicas=(Replica("small", 0.0, 0.0), Replica("small", 8.0, 10.0)),
    ),
    Story(
        "a replica that drains beyond the end has no exit",
        rule="9",
        shows="removed at 9, would be gone at 11",
        initial=(of("small", replicas=2),),
        arrivals_s=(),
        decisions=((9.0, (of("small"),)),),
        stop_s=2.0,
        replicas=(Replica("small", 0.0, 0.0), Replica("small", 0.0, 0.0, 9.0, None)),
        core_s=20.0,
    ),
)

STORIES: tuple[Story, ...] = (
    *RULE_1,
    *RULE_2,
    *ATTEMPTS,
    *EAGER,
    *RULE_3,
    *RULE_4,
    *RULE_5,
    *OTHER_CORES,
    *RULE_7,
    *RULE_8,
    *RULE_9,
)
