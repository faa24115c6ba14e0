"""The event loop of the compiled engine. It allocates nothing, and stops wherever Python has something to do.

A chain's stage depends only on the stages before it and on control. Between two control steps, each stage of a chain
therefore runs alone up to the next step, first to last, on the batches that the stage before has finished. It still
sees its own events in the order of the whole pipeline, provided that nothing ends at the instant at which it begins:
such an instant could lead through several stages and back in rank. Where that can happen, where stages depend on each
other's state, in a graph, and for the events left when all items have ended, the stages advance event by event in the
pipeline's order.
"""

from __future__ import annotations

from ipa.sim.compiled.dispatch import attempt, begin_of, later, size_of, wake_s
from ipa.sim.compiled.eager import attempt_eager, lose, next_in_turn, take_back
from ipa.sim.compiled.graph_memory import GraphMemory
from ipa.sim.compiled.heaps import RANK_SHIFT, pop_event
from ipa.sim.compiled.jit import entry, hot, inner, small
from ipa.sim.compiled.language_memory import LanguageMemory
from ipa.sim.compiled.memory import DRAINING, IDLE, IDLE_OTHERS, KernelMemory, RecordArray
from ipa.sim.compiled.rollout import count_replicas, expect_room, has_room, put_idle, roll_out
from ipa.sim.compiled.routing import enter, is_timed, lacks_places, next_entry, send
from ipa.sim.compiled.steps import attempt_language, end_step, lose_steps
from ipa.sim.rules import CLOSING, COMPLETION, DELIVERY, NEVER, REPLICA, ROOM, TIMER

REACHED, ENDED, OUT_OF_DRAWS, OUT_OF_ROOM, OUT_OF_PLACES = range(5)
"""Why the kernel stops: it has reached its target; all requests have ended, after the run's duration; a stage needs
more random draws; a stage needs room for more replicas; a graph needs places for more items, or numbers of items that
have not been drawn. After the last three it continues as if it had not stopped."""

_HANDOVER = COMPLETION - 1
"""The rank of a delivery without a hop: it is part of a completion that the stage before has already handled."""


@entry
def advance(
    until_s: float,
    until_rank: int,
    memory: KernelMemory,
    waiting: RecordArray | None,
    deadlines: RecordArray | None,
    graph: GraphMemory | None,
    language: LanguageMemory | None,
) -> int:
    """Run up to (time, rank) and return why it stopped, one of the above.

    `waiting` None: central dispatch. `deadlines` None: no dropping by deadline; else a record for each stage. `graph`
    None: a chain. `language` None: no stage is of language models. Code for an argument that is None is not compiled.
    """
    run, stages = memory.run[0], memory.stages
    if run.extended:
        for s in range(len(stages)):
            if stages[s].is_entry:
                _set_first_timer(s, memory, waiting, deadlines, graph)
        run.extended = False
    if run.applies_to > 0:
        for s in range(run.applies_from, run.applies_to):
            if not has_room(s, memory):
                return OUT_OF_ROOM
        for s in range(run.applies_from, run.applies_to):
            stages[s].now_s = run.now_s
            _roll_out(s, memory, waiting, graph, language)
            stages[s].attempts = True
        run.applies_to = 0
    is_closing = until_s > run.duration_s
    alone_s, alone_rank = (until_s, until_rank) if until_s <= run.instant_s else (run.instant_s, COMPLETION)
    # No stage runs alone: the latency of a batch, or which request is dropped, depends on all of them.
    turn = 0
    if graph is not None or deadlines is not None:
        turn = len(stages)
    while True:
        is_alone = turn < len(stages)
        if is_alone:
            s, to_s, to_rank = turn, alone_s, alone_rank
        else:
            if is_closing and run.open == 0 and run.ended_s < until_s:
                until_s, until_rank = run.ended_s, CLOSING + 1
            s, to_s, to_rank = _first_stage(until_s, until_rank, memory, graph), until_s, until_rank
            if s < 0:
                break
        status = _go_on(s, to_s, to_rank, is_closing, is_alone, memory, waiting, deadlines, graph, language)
        if status != REACHED:
            return status
        turn += 1
    run.now_s = until_s
    if until_rank > CLOSING:
        return ENDED
    count_replicas(memory)
    count_requests(memory)
    return REACHED


@small
def count_requests(memory: KernelMemory) -> None:
    """Copy each stage's counts into one row, which Python reads faster than the fields of a record."""
    for s in range(len(memory.stages)):
        counts, stage = memory.counts[s], memory.stages[s]
        counts[0] = counts[1] = stage.tail
        counts[2] = stage.served
        counts[3] = stage.completions
        counts[4] = stage.drops
        counts[5] = stage.failed
        counts[6] = stage.interrupted
    # The queues of entries also hold future requests.
    now_s, in_memory = memory.run[0].now_s, memory.run[0].known
    before = by_now = _come_before(now_s, in_memory, memory)
    while by_now < in_memory and memory.arrivals_s[by_now] == now_s:
        by_now += 1
    for s in range(len(memory.stages)):
        if memory.stages[s].is_entry:
            memory.counts[s, 0] = before
            memory.counts[s, 1] = by_now


@small
def _come_before(now_s: float, in_memory: int, memory: KernelMemory) -> int:
    """How many of the requests in memory arrive before now."""
    first, end = 0, in_memory
    while first < end:
        middle = (first + end) // 2
        if memory.arrivals_s[middle] < now_s:
            first = middle + 1
        else:
            end = middle
    return first


@small
def _go_on(
    s: int,
    until_s: float,
    until_rank: int,
    is_closing: bool,
    is_alone: bool,
    memory: KernelMemory,
    waiting: RecordArray | None,
    deadlines: RecordArray | None,
    graph: GraphMemory | None,
    language: LanguageMemory | None,
) -> int:
    """Advance stage s up to (time, rank). If it does not run alone, only by one step, its attempt or else one event,
    as an event of another stage may come before its next one.

    When the run is closing, a stage that runs alone stops once it expects no more requests: the run may end before its
    other events.
    """
    stage = memory.stages[s]
    while True:
        if stage.attempts:
            if language is None:  # as a statement, so that numba leaves out the branch not taken
                has_draws = _attempt(s, memory, waiting, deadlines, graph)
            elif language.stages[s].is_language:
                has_draws = attempt_language(s, memory, language, deadlines, graph)
            else:
                has_draws = _attempt(s, memory, waiting, deadlines, graph)
            if not has_draws:
                return OUT_OF_DRAWS
            stage.attempts = False
            if stage.is_over:
                pop_event(stage, memory.heap[s])
            if not is_alone:
                return REACHED
        time_s, rank = _next(s, memory, graph)
        if time_s > until_s or (time_s == until_s and rank >= until_rank):
            return REACHED
        if is_alone and is_closing and not _expects_requests(s, memory):
            return REACHED
        if rank in (REPLICA, ROOM) and not has_room(s, memory):
            return OUT_OF_ROOM
        if rank == COMPLETION and _lacks_places(s, memory, graph, language):
            return OUT_OF_PLACES
        stage.now_s = time_s
        stage.attempts = True
        if rank == COMPLETION:
            _complete(s, is_alone, memory, waiting, graph, language)
        elif rank <= DELIVERY:
            _deliver(s, time_s, memory, graph, language)
        elif rank == TIMER:
            if deadlines is not None:
                deadlines[s].looked_s = time_s
        elif rank == REPLICA:
            _activate(s, memory, waiting, graph, language)
        else:
            pop_event(stage, memory.heap[s])
            stage.attempts = stage.lacks_room
            if stage.lacks_room:
                _roll_out(s, memory, waiting, graph, language)
        if not is_alone:
            return REACHED


@small
def _attempt(
    s: int, memory: KernelMemory, waiting: RecordArray | None, deadlines: RecordArray | None, graph: GraphMemory | None
) -> bool:
    """Start batches at stage s. False: no draws."""
    if waiting is None:
        has_draws = attempt(s, memory, deadlines, graph)
    else:
        has_draws = attempt_eager(s, memory, waiting, deadlines, graph)
    return has_draws


@hot
def _next(s: int, memory: KernelMemory, graph: GraphMemory | None) -> tuple[float, int]:
    """The time and rank of the next event of stage s."""
    stage = memory.stages[s]
    time_s, rank = NEVER, TIMER
    if stage.events > 0:
        time_s, rank = memory.heap[s, 0].time_s, memory.heap[s, 0].order >> RANK_SHIFT
    if graph is not None or _expects_delivery(s, memory):
        due_s = _delivered_s(s, memory, graph)
        due_rank = DELIVERY if _is_event(s, memory, graph) else _HANDOVER
        is_next = (due_s < time_s) | ((due_s == time_s) & (due_rank < rank))
        rank = due_rank if is_next else rank
        time_s = due_s if is_next else time_s
    if stage.timer_s < time_s:
        time_s, rank = stage.timer_s, TIMER
    return time_s, rank


@inner
def _first_stage(until_s: float, until_rank: int, memory: KernelMemory, graph: GraphMemory | None) -> int:
    """The stage of the pipeline's next event, if that is before (time, rank), else -1.

    A stage that has just received a batch attempts before the one that finished it.
    """
    handed = -1
    if graph is not None:
        handed = _next_handed(memory, graph)
    if handed >= 0:
        return handed
    for s in range(len(memory.stages) - 1, -1, -1):
        if memory.stages[s].attempts:
            return s
    first = -1
    for s in range(len(memory.stages)):
        time_s, rank = _next(s, memory, graph)
        if time_s < until_s or (time_s == until_s and rank < until_rank):
            first, until_s, until_rank = s, time_s, rank
    return first


@inner
def _next_handed(memory: KernelMemory, graph: GraphMemory) -> int:
    """The stage that goes on while a batch is handed to several: one that has received, else the next to receive.

    -1: no batch is being handed on.
    """
    if memory.run[0].handing == 0:
        return -1
    for s in range(memory.run[0].hands + 1, len(memory.stages)):
        if memory.stages[s].attempts:
            return s
    s = memory.run[0].hands + 1
    while is_timed(s, graph) or next_entry(s, graph) == NEVER:
        s += 1
    return s


@inner
def _set_first_timer(
    s: int, memory: KernelMemory, waiting: RecordArray | None, deadlines: RecordArray | None, graph: GraphMemory | None
) -> None:
    """Set the timer of an entry as if the latest attempt had known all arrivals known now.

    This is not a new attempt, which could drop requests: requests are dropped only when something happens at the stage.
    The new arrivals are in the future, so what the attempt did and its decision to wait still hold, as does a timer for
    the same instant.
    """
    stage = memory.stages[s]
    if waiting is None:
        waits = memory.numbers[s, IDLE, 0] + memory.numbers[s, IDLE_OTHERS, 0] > 0
    else:
        waits = next_in_turn(s, memory) >= 0
    if waits and stage.timer_s > stage.now_s:
        stage.timer_s = wake_s(s, memory, deadlines, graph)


@hot
def _complete(
    s: int,
    is_alone: bool,
    memory: KernelMemory,
    waiting: RecordArray | None,
    graph: GraphMemory | None,
    language: LanguageMemory | None,
) -> None:
    """Finish a replica's batch, or its step: requests go to the next stage, at once or after the hop, or end."""
    if language is None:
        _finish_batch(s, is_alone, memory, waiting, graph, language)
    elif language.stages[s].is_language:
        if end_step(s, is_alone, memory, language, graph):
            _deliver(s + 1, memory.stages[s].now_s, memory, graph, language)
    else:
        _finish_batch(s, is_alone, memory, waiting, graph, language)


@hot
def _finish_batch(
    s: int,
    is_alone: bool,
    memory: KernelMemory,
    waiting: RecordArray | None,
    graph: GraphMemory | None,
    language: LanguageMemory | None,
) -> None:
    run, stage = memory.run[0], memory.stages[s]
    number = memory.heap[s, 0].replica
    stage.is_over = True
    replica = memory.replicas[s, number]
    k = replica.batch
    if k < 0:  # removed with its batch
        pop_event(stage, memory.heap[s])
        stage.attempts = False
        return
    replica.batch = -1
    if waiting is None:
        put_idle(s, number, memory)
    else:
        stage.freed = number
    size = size_of(s, k, memory)
    stage.present -= size
    stage.completions += size
    stage.left_sum_s += stage.now_s * size
    if graph is not None:
        variant = memory.options[replica.option].variant
        send(s, memory.served[s], begin_of(s, k, memory), size, variant, stage.now_s, memory, graph)
        run.ended_s = later(run.ended_s, stage.now_s)
    elif s + 1 == len(memory.stages):
        run.open -= size
        run.ended_s = later(run.ended_s, stage.now_s)
    else:
        memory.finished[s, stage.finished] = k
        stage.finished += 1
        if not is_alone and run.hop_s == 0.0:
            _deliver(s + 1, stage.now_s, memory, graph, language)


@hot
def _lacks_places(s: int, memory: KernelMemory, graph: GraphMemory | None, language: LanguageMemory | None) -> bool:
    """Whether there may be too few places for what the batch or step leads to that stage s finishes next."""
    lacks = False
    if graph is not None:
        replica = memory.replicas[s, memory.heap[s, 0].replica]
        if replica.batch >= 0:
            variant = memory.options[replica.option].variant
            if language is None:
                size = size_of(s, replica.batch, memory)
            elif language.stages[s].is_language:
                size = language.replicas[s, memory.heap[s, 0].replica].scheduled
            else:
                size = size_of(s, replica.batch, memory)
            lacks = lacks_places(s, size, variant, graph)
    return lacks


@small
def _activate(
    s: int,
    memory: KernelMemory,
    waiting: RecordArray | None,
    graph: GraphMemory | None,
    language: LanguageMemory | None,
) -> None:
    """Make a replica ready at the end of its start-up, unless it has been removed in the meantime."""
    stage = memory.stages[s]
    replica = memory.replicas[s, memory.heap[s, 0].replica]
    pop_event(stage, memory.heap[s])
    if replica.removed_s < NEVER:
        stage.attempts = False
    else:
        replica.ready_s = stage.now_s
        _roll_out(s, memory, waiting, graph, language)


@inner
def _roll_out(
    s: int,
    memory: KernelMemory,
    waiting: RecordArray | None,
    graph: GraphMemory | None,
    language: LanguageMemory | None,
) -> None:
    removed_before = memory.numbers[s, DRAINING, 0]
    roll_out(s, memory)
    if memory.run[0].loses:
        if language is None:
            lose(s, removed_before, memory, waiting, graph)
        elif language.stages[s].is_language:
            lose_steps(s, removed_before, memory, language, graph)
        else:
            lose(s, removed_before, memory, waiting, graph)
    elif waiting is not None:
        take_back(s, removed_before, memory, waiting)
    if memory.run[0].is_limited:
        expect_room(s, removed_before, memory)


# ---- between stages ----


@small
def _expects_requests(s: int, memory: KernelMemory) -> bool:
    """Whether stage s has requests or will get some from the stage before."""
    return memory.stages[s].present > 0 or _expects_delivery(s, memory)


@small
def _expects_delivery(s: int, memory: KernelMemory) -> bool:
    """Whether the stage before has finished a batch that stage s has not received yet."""
    return s > 0 and memory.stages[s - 1].delivered < memory.stages[s - 1].finished


@hot
def _delivered_s(s: int, memory: KernelMemory, graph: GraphMemory | None) -> float:
    """When stage s receives the next batch that a stage before has finished; in a graph NEVER if there is none."""
    if graph is not None:
        moment_s = next_entry(s, graph)
    else:
        k = memory.finished[s - 1, memory.stages[s - 1].delivered]
        moment_s = memory.batches[s - 1, k].finish_s + memory.run[0].hop_s
    return moment_s


@hot
def _is_event(s: int, memory: KernelMemory, graph: GraphMemory | None) -> bool:
    """Whether a delivery to stage s is an event of its own, not part of a completion."""
    is_apart = memory.run[0].hop_s > 0.0
    if graph is not None:
        is_apart = is_apart or is_timed(s, graph)
    return is_apart


@inner
def _deliver(
    s: int, now_s: float, memory: KernelMemory, graph: GraphMemory | None, language: LanguageMemory | None
) -> None:
    """Put that batch in the queue of stage s, which will attempt."""
    if graph is not None:
        memory.stages[s].now_s = now_s
        memory.stages[s].attempts = True
        memory.run[0].handing -= not _is_event(s, memory, graph)
        enter(s, now_s, memory, graph)
    else:
        _receive(s, now_s, memory, language)


@inner
def _receive(s: int, now_s: float, memory: KernelMemory, language: LanguageMemory | None) -> None:
    """Put the next batch of the stage before in the queue of stage s, which will attempt; of language models, all that
    one step has ended."""
    stage, sender = memory.stages[s], memory.stages[s - 1]
    k = memory.finished[s - 1, sender.delivered]
    sender.delivered += 1
    size = size_of(s - 1, k, memory)
    begin = memory.batches[s - 1, k].end - size
    for i in range(size):
        memory.queue[s, stage.tail + i] = memory.served[s - 1, begin + i]
        memory.enqueued_s[s, stage.tail + i] = now_s
    if language is not None and language.stages[s - 1].is_language:
        step = language.sequences[s - 1, memory.served[s - 1, begin]].step
        while sender.delivered < sender.finished:
            request = memory.served[s - 1, memory.finished[s - 1, sender.delivered]]
            if language.sequences[s - 1, request].step != step:
                break
            memory.queue[s, stage.tail + size] = request
            memory.enqueued_s[s, stage.tail + size] = now_s
            size += 1
            sender.delivered += 1
    stage.now_s = now_s
    stage.attempts = True
    stage.tail += size
    stage.present += size
    stage.enqueued_sum_s += now_s * size
