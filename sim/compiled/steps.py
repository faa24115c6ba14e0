"""Stages of language models in the kernel, as in `ipa.sim.events.language_model` and `ipa.sim.language_model`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ipa.sim import rules
from ipa.sim.compiled.dispatch import dispatch_size, drop, later, take, waits
from ipa.sim.compiled.graph_memory import GraphMemory
from ipa.sim.compiled.heaps import pop_event, push_event
from ipa.sim.compiled.jit import hot, inner, small
from ipa.sim.compiled.language_memory import RUNNING, WAITING, LanguageMemory
from ipa.sim.compiled.memory import COMPLETES, DRAINING, EXISTING, HAS_ROOM, KernelMemory, RecordArray
from ipa.sim.compiled.rollout import gone_s
from ipa.sim.compiled.routing import send
from ipa.sim.rules import NEVER

_MOST_PLAIN = 2**40

_blocks_for = small(rules.blocks_for)
_fits = small(rules.fits)
_step_s = small(rules.step_s)


# ---- dispatch ----


@inner
def attempt_language(
    s: int, memory: KernelMemory, language: LanguageMemory, deadlines: RecordArray | None, graph: GraphMemory | None
) -> bool:
    """Give out every request that a replica has a place for, then let replicas begin their steps. False: no rows."""
    if graph is not None and not _have_rows(s, memory, language, graph):
        return False
    memory.stages[s].timer_s = NEVER
    while True:
        number = _next_replica(s, memory, language)
        if number < 0 or waits(s, memory, deadlines, graph):
            break
        if take(s, 1, memory, graph) > 0:
            _admit(s, number, memory, language, graph)
    _begin_steps(s, memory, language)
    return True


@inner
def _have_rows(s: int, memory: KernelMemory, language: LanguageMemory, graph: GraphMemory) -> bool:
    """In a graph, find the rows of the items that have come; False if there are too few."""
    stage, requests = language.stages[s], language.came.shape[1]
    while stage.counted < memory.stages[s].tail:
        request = graph.items[s, stage.counted].request
        row = np.int64(language.came[s, request]) * requests + request
        if row >= language.rows.shape[1]:
            stage.lacks_rows = True
            return False
        language.sequences[s, stage.counted].row = row
        language.came[s, request] += 1
        stage.counted += 1
    return True


@inner
def _next_replica(s: int, memory: KernelMemory, language: LanguageMemory) -> int:
    """The ready replica with the fewest requests, the lowest number first; -1 if all have as many as they may."""
    existing, at_once = memory.numbers[s, EXISTING], language.stages[s].at_once
    chosen: Any = np.int64(-1)
    fewest: Any = np.int64(at_once)
    for i in range(existing[0]):
        number: Any = np.int64(existing[1 + i])
        replica = memory.replicas[s, number]
        if replica.ready_s == NEVER:
            continue
        count = language.replicas[s, number].running + language.replicas[s, number].waiting
        if count < fewest and count < dispatch_size(at_once, language.models[replica.option].sequences):
            chosen, fewest = number, count
    return int(chosen)


@inner
def _admit(s: int, number: int, memory: KernelMemory, language: LanguageMemory, graph: GraphMemory | None) -> None:
    """Let the request at the end of `served` wait at a replica; it fails if that has too few blocks for it."""
    stage, replica, steps = memory.stages[s], memory.replicas[s, number], language.replicas[s, number]
    model, now_s = language.models[replica.option], memory.stages[s].now_s
    item: Any = np.int64(memory.served[s, stage.served])
    sequence = language.sequences[s, item]
    row = item
    if graph is not None:
        row = np.int64(sequence.row)
    batch = memory.batches[s, stage.batches]
    sequence.batch = stage.batches
    sequence.due = language.rows[s, row, 0]
    sequence.output = language.rows[s, row, 1]
    stage.batches += 1
    stage.served += 1
    batch.start_s = now_s
    batch.finish_s = NEVER
    batch.end = stage.served
    batch.replica = number
    if not _fits(sequence.due, sequence.output, model.blocks, model.block_tokens):
        batch.finish_s = now_s
        stage.failed += 1
        stage.interrupted += 1
        drop(s, item, now_s, memory, graph)
        return
    if replica.batch < 0:
        replica.batch = 0
        replica.finish_s = NEVER
        _begins(s, number, language)
    language.order[s, number, WAITING, steps.waiting] = item
    steps.waiting += 1


# ---- steps ----


@small
def _begins(s: int, number: int, language: LanguageMemory) -> None:
    """Note that a replica begins a step at the end of this attempt, in order of number."""
    stage, beginning = language.stages[s], language.beginning[s]
    place = stage.beginning
    while place > 0 and beginning[place - 1] > number:
        beginning[place] = beginning[place - 1]
        place -= 1
    beginning[place] = number
    stage.beginning += 1


@small
def _begin_steps(s: int, memory: KernelMemory, language: LanguageMemory) -> None:
    stage = language.stages[s]
    for i in range(stage.beginning):
        number: Any = np.int64(language.beginning[s, i])
        _begin_step(s, number, memory, language)
    stage.beginning = 0


@inner
def _begin_step(s: int, number: int, memory: KernelMemory, language: LanguageMemory) -> None:
    steps, now_s = language.replicas[s, number], memory.stages[s].now_s
    end_s = now_s + _next_step_s(s, number, memory, language)
    steps.since_s = now_s
    steps.is_stepping = True
    push_event(end_s, COMPLETES, number, memory.run[0], memory.stages[s], memory.heap[s])


@inner
def _next_step_s(s: int, number: int, memory: KernelMemory, language: LanguageMemory) -> float:
    """Begin a step; returns how long it takes. A plain one takes no look at the requests."""
    steps = language.replicas[s, number]
    steps.is_plain = steps.plain > 0 and steps.waiting == 0
    if not steps.is_plain:
        zero: Any = np.int64(0)
        settle(s, number, zero, memory, language)
        return _begin(s, number, memory, language)
    model = language.models[memory.replicas[s, number].option]
    steps.plain -= 1
    steps.cached += steps.running
    took_s: float = _step_s(model.base_s, model.per_token_s, model.per_cached_token_s, steps.running, steps.cached)
    return took_s


@inner
def settle(s: int, number: int, ahead: int, memory: KernelMemory, language: LanguageMemory) -> None:
    """Write the plain steps that have ended in the requests; `ahead`: how many more tokens they have blocks for."""
    steps, sequences = language.replicas[s, number], language.sequences[s]
    running, lag = language.order[s, number, RUNNING], steps.lag
    block_tokens = language.models[memory.replicas[s, number].option].block_tokens
    steps.plain = 0
    if lag + ahead == 0:
        return
    steps.lag = 0
    for place in range(steps.running):
        sequence = sequences[running[place]]
        sequence.computed += lag
        sequence.generated += lag
        while sequence.room < sequence.computed + ahead:
            sequence.room += block_tokens
            sequence.blocks += 1
            steps.used_blocks += 1
    steps.most_blocks = steps.used_blocks if steps.used_blocks > steps.most_blocks else steps.most_blocks


@inner
def _begin(s: int, number: int, memory: KernelMemory, language: LanguageMemory) -> float:
    """Choose what a step computes; returns how long it takes."""
    steps, sequences = language.replicas[s, number], language.sequences[s]
    running, waiting = language.order[s, number, RUNNING], language.order[s, number, WAITING]
    model = language.models[memory.replicas[s, number].option]
    budget: Any = np.int64(model.budget)
    place: Any = np.int64(0)
    cached: Any = np.int64(0)
    has_preempted = False
    while place < steps.running and budget > 0:
        sequence = sequences[running[place]]
        tokens: Any = np.int64(sequence.due)
        if tokens > budget:
            tokens = budget
        if sequence.computed + tokens > sequence.room:
            while place < steps.running and not _has_taken_blocks(sequence, tokens, steps, model):
                has_preempted = True
                _preempt_last(s, number, language)
            if place == steps.running:
                break
        sequence.tokens = tokens
        budget -= tokens
        if tokens == 1:
            cached += sequence.computed + 1
        place += 1
    while steps.waiting > 0 and budget > 0 and steps.running < model.sequences and not has_preempted:
        sequence = sequences[waiting[0]]
        tokens = np.int64(sequence.due)
        if tokens > budget:
            tokens = budget
        if not _has_taken_blocks(sequence, tokens, steps, model):
            break
        running[steps.running] = waiting[0]
        steps.running += 1
        steps.waiting -= 1
        for i in range(steps.waiting):
            waiting[i] = waiting[i + 1]
        sequence.tokens = tokens
        budget -= tokens
        if tokens == 1:
            cached += sequence.computed + 1
        place += 1
    steps.scheduled = place
    computed = model.budget - budget
    steps.most_tokens = computed if computed > steps.most_tokens else steps.most_tokens
    steps.most_blocks = steps.used_blocks if steps.used_blocks > steps.most_blocks else steps.most_blocks
    steps.most_sequences = steps.running if steps.running > steps.most_sequences else steps.most_sequences
    took_s: float = _step_s(model.base_s, model.per_token_s, model.per_cached_token_s, computed, cached)
    return took_s


@small
def _has_taken_blocks(sequence: Any, tokens: int, steps: Any, model: Any) -> bool:
    """Give a request the blocks that it needs for so many more tokens, if that many are free."""
    missing = _blocks_for(sequence.computed + tokens, model.block_tokens) - sequence.blocks
    is_free = missing <= model.blocks - steps.used_blocks
    if is_free:
        steps.used_blocks += missing
        sequence.blocks += missing
        sequence.room += missing * model.block_tokens
    return is_free


@inner
def _preempt_last(s: int, number: int, language: LanguageMemory) -> None:
    """Let the request admitted last give way: it waits before all others and is computed anew."""
    steps, waiting = language.replicas[s, number], language.order[s, number, WAITING]
    steps.running -= 1
    last = language.order[s, number, RUNNING, steps.running]
    sequence = language.sequences[s, last]
    steps.used_blocks -= sequence.blocks
    sequence.due += sequence.computed
    sequence.computed = 0
    sequence.blocks = 0
    sequence.room = 0
    for i in range(steps.waiting, 0, -1):
        waiting[i] = waiting[i - 1]
    waiting[0] = last
    steps.waiting += 1


@inner
def end_step(s: int, is_alone: bool, memory: KernelMemory, language: LanguageMemory, graph: GraphMemory | None) -> bool:
    """End the step of the replica whose completion is next: requests whose last token it has made go on together.

    Returns whether the next stage of a chain gets them at once.
    """
    stage, number = memory.stages[s], memory.heap[s, 0].replica
    replica, steps = memory.replicas[s, number], language.replicas[s, number]
    stage.is_over = True
    if replica.batch < 0:  # removed with its requests
        pop_event(stage, memory.heap[s])
        stage.attempts = False
        return False
    steps.stepped_s += stage.now_s - steps.since_s
    steps.is_stepping = False
    size: Any = np.int64(0)
    if steps.is_plain:
        steps.lag += 1
        if stage.head == stage.tail or memory.enqueued_s[s, stage.head] > stage.now_s:
            stage.attempts = False  # nobody waits and nothing has changed: an attempt would only begin the next step
            same: Any = np.int64(number)
            _begin_step(s, same, memory, language)
            return False
    else:
        size = _carry_out(s, number, stage.now_s, memory, language)
    if steps.running + steps.waiting > 0:
        _begins(s, number, language)
    else:
        replica.batch = -1
        replica.finish_s = stage.now_s
        if replica.removed_s < NEVER and memory.run[0].is_limited:
            push_event(gone_s(s, number, memory), HAS_ROOM, number, memory.run[0], stage, memory.heap[s])
    return size > 0 and _pass_on(s, number, size, is_alone, memory, language, graph)


@inner
def _pass_on(
    s: int,
    number: int,
    size: int,
    is_alone: bool,
    memory: KernelMemory,
    language: LanguageMemory,
    graph: GraphMemory | None,
) -> bool:
    """Let the requests that a step has ended go on, or end."""
    run, stage = memory.run[0], memory.stages[s]
    language.stages[s].steps += 1
    for i in range(size):
        sequence = language.sequences[s, language.ended[s, i]]
        sequence.step = language.stages[s].steps
        memory.batches[s, sequence.batch].finish_s = stage.now_s
    stage.present -= size
    stage.completions += size
    stage.left_sum_s += stage.now_s * size
    goes_on_now = False
    if graph is not None:
        variant = memory.options[memory.replicas[s, number].option].variant
        zero: Any = np.int64(0)
        send(s, language.ended[s], zero, size, variant, stage.now_s, memory, graph)
        run.ended_s = later(run.ended_s, stage.now_s)
    elif s + 1 == len(memory.stages):
        run.open -= size
        run.ended_s = later(run.ended_s, stage.now_s)
    else:
        for i in range(size):
            memory.finished[s, stage.finished] = language.sequences[s, language.ended[s, i]].batch
            stage.finished += 1
        goes_on_now = not is_alone and run.hop_s == 0.0
    return goes_on_now


@hot
def _carry_out(s: int, number: int, now_s: float, memory: KernelMemory, language: LanguageMemory) -> int:
    """Give the step's tokens to its requests; those that have all of theirs move to `ended`. Returns how many do."""
    steps, sequences = language.replicas[s, number], language.sequences[s]
    running, ended = language.order[s, number, RUNNING], language.ended[s]
    size: Any = np.int64(0)
    cached: Any = np.int64(0)
    fewest_left: Any = np.int64(_MOST_PLAIN)  # tokens that the request still has that ends first
    may_be_plain = steps.scheduled == steps.running  # all that run got all the tokens that they were due
    for place in range(steps.scheduled):
        item = running[place]
        sequence = sequences[item]
        sequence.computed += sequence.tokens
        running[place - size] = item
        if sequence.due > sequence.tokens:
            sequence.due -= sequence.tokens
            may_be_plain = False
            continue
        sequence.due = 1
        sequence.generated += 1
        if sequence.generated == 1:
            sequence.first_s = now_s
        if sequence.generated == sequence.output:
            ended[size] = item
            size += 1
            steps.used_blocks -= sequence.blocks
            continue
        cached += sequence.computed
        if sequence.output - sequence.generated < fewest_left:
            fewest_left = np.int64(sequence.output - sequence.generated)
    if size > 0:
        for place in range(steps.scheduled, steps.running):
            running[place - size] = running[place]
        steps.running -= size
    model = language.models[memory.replicas[s, number].option]
    if may_be_plain and fewest_left > 1 and steps.running > 0 and steps.running <= model.budget:
        # A request needs at most one block more for each block's worth of tokens.
        most = (model.blocks - steps.used_blocks) // steps.running * model.block_tokens
        steps.plain = most if most < fewest_left - 1 else fewest_left - 1
        steps.cached = cached
    return int(size)


@inner
def lose_steps(s: int, since: int, memory: KernelMemory, language: LanguageMemory, graph: GraphMemory | None) -> None:
    """Fail the requests of removed replicas, from the `since`-th on, in the order in which they came; their steps break
    off."""
    stage, removed = memory.stages[s], memory.numbers[s, DRAINING]
    for i in range(since, removed[0]):
        number = removed[1 + i]
        replica, steps = memory.replicas[s, number], language.replicas[s, number]
        if replica.batch < 0:
            continue
        steps.stepped_s += stage.now_s - steps.since_s
        steps.is_stepping = False
        ahead: Any = np.int64(steps.is_plain)
        settle(s, number, ahead, memory, language)
        while steps.running + steps.waiting > 0:
            item = _take_first(s, number, language)
            memory.batches[s, language.sequences[s, item].batch].finish_s = stage.now_s
            stage.failed += 1
            stage.interrupted += 1
            drop(s, item, stage.now_s, memory, graph)
        replica.batch = -1
        replica.finish_s = stage.now_s


@inner
def _take_first(s: int, number: int, language: LanguageMemory) -> int:
    """Take the request away from a replica that came there first."""
    steps, sequences = language.replicas[s, number], language.sequences[s]
    first, row, at = NEVER, RUNNING, 0
    for kind in range(2):
        count = steps.running if kind == RUNNING else steps.waiting
        for place in range(count):
            batch = sequences[language.order[s, number, kind, place]].batch
            if batch < first:
                first, row, at = float(batch), kind, place
    item: Any = np.int64(language.order[s, number, row, at])
    count = steps.running if row == RUNNING else steps.waiting
    for place in range(at + 1, count):
        language.order[s, number, row, place - 1] = language.order[s, number, row, place]
    if row == RUNNING:
        steps.running -= 1
    else:
        steps.waiting -= 1
    return int(item)
