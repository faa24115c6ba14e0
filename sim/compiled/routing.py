"""Items of a graph in the kernel, as in `ipa.sim.events.graph`: from finished batches onto edges, and into stages."""

from __future__ import annotations

from typing import Any

import numpy as np

from ipa.sim.compiled.graph_memory import ALL, ANY, EACH, WAIT, GraphMemory
from ipa.sim.compiled.jit import hot, inner, small
from ipa.sim.compiled.memory import KernelMemory, RecordArray
from ipa.sim.graph import NO_EDGE, draws
from ipa.sim.rules import NEVER

_STEP: Any = np.uint64(draws.STEP)
_mixed: Any = small(draws.mixed)


@hot
def arrival_of(s: int, item: int, memory: KernelMemory, graph: GraphMemory | None) -> float:
    """When the request of an item of stage s arrived."""
    if graph is None:
        moment_s: float = memory.arrivals_s[item]
    else:
        moment_s = memory.arrivals_s[graph.items[s, item].request]
    return moment_s


# ---- into a stage ----


@small
def is_timed(s: int, graph: GraphMemory) -> bool:
    """Whether requests enter stage s at a moment of their own, not with a batch of a stage before."""
    return graph.into[s].join in (WAIT, ALL)


@inner
def next_entry(s: int, graph: GraphMemory) -> float:
    """When something enters stage s next; NEVER if nothing is on the way."""
    into = graph.into[s]
    moment_s: float = graph.coming[s, into.delivered].moment_s if into.delivered < into.expected else NEVER
    return moment_s


@inner
def enter(s: int, now_s: float, memory: KernelMemory, graph: GraphMemory) -> None:
    """Put what enters stage s next in its queue."""
    stage, into, coming = memory.stages[s], graph.into[s], graph.coming[s]
    if is_timed(s, graph):
        while into.delivered < into.expected and coming[into.delivered].moment_s == now_s:
            _add_whole(s, coming[into.delivered].number, now_s, graph)
            into.delivered += 1
        end: Any = np.int64(into.sent)
    else:
        end = np.int64(coming[into.delivered].number)
        into.delivered += 1
    begin: Any = np.int64(stage.tail)
    for number in range(begin, end):
        memory.queue[s, number] = number
        memory.enqueued_s[s, number] = now_s
    stage.tail = end
    stage.present += end - begin
    stage.enqueued_sum_s += now_s * (end - begin)


@inner
def _add(s: int, key: int, request: int, edge: int, enqueue_s: float, graph: GraphMemory) -> None:
    """Add an item to those sent to stage s."""
    item = graph.items[s, graph.into[s].sent]
    item.key = key
    item.request = request
    item.edge = edge
    item.enqueue_s = enqueue_s
    graph.into[s].sent += 1


@inner
def _add_whole(s: int, request: int, enqueue_s: float, graph: GraphMemory) -> None:
    """Add the one item that a request becomes at a stage that joins."""
    key: Any = np.uint64(0)
    if graph.asks_keys[0]:
        place: Any = np.uint64(request + 1)
        position: Any = np.uint64(s + 1)
        key = _mixed(_mixed(graph.base_key[0] + place * _STEP) + position * _STEP)
    _add(s, key, request, NO_EDGE, enqueue_s, graph)


@inner
def _expect(s: int, request: int, moment_s: float, graph: GraphMemory) -> None:
    """Let a request enter stage s at a moment of its own, in order of moment, then of number."""
    into, coming = graph.into[s], graph.coming[s]
    place = into.expected
    while place > into.delivered:  # insertion: few enter before those that were expected earlier
        before = coming[place - 1]
        if before.moment_s < moment_s or (before.moment_s == moment_s and before.number < request):
            break
        coming[place].moment_s = before.moment_s
        coming[place].number = before.number
        place -= 1
    coming[place].moment_s = moment_s
    coming[place].number = request
    into.expected += 1


# ---- out of a stage ----


@inner
def lacks_places(s: int, size: int, variant: int, graph: GraphMemory) -> bool:
    """Whether there may be too few places for what a batch of stage s leads to, or its numbers are not filled in."""
    most: Any = np.int64(0)
    for w in range(graph.first_way[s], graph.first_way[s + 1]):
        way = graph.ways[w]
        if not way.carries_one and not graph.is_known[way.place, variant - graph.first_variant[s]]:
            return True
        most += way.most * size
    capacity = graph.items.shape[1]
    for w in range(graph.first_way[s], graph.first_way[s + 1]):
        if np.int64(graph.into[graph.ways[w].child].sent) + most > capacity:
            return True
    return False


@inner
def send(
    s: int,
    members: RecordArray,
    begin: int,
    size: int,
    variant: int,
    now_s: float,
    memory: KernelMemory,
    graph: GraphMemory,
) -> None:
    """Put what a batch leads to on the edges: these are its members from `begin` on, and `variant` served it."""
    run, opened = memory.run[0], np.int64(0)
    for c in range(s + 1, len(memory.stages)):
        graph.into[c].before = graph.into[c].sent
    for place in range(begin, begin + size):
        item = graph.items[s, members[place]]
        for w in range(graph.first_way[s], graph.first_way[s + 1]):
            way = graph.ways[w]
            if not way.is_sure:
                drawn = (_mixed(item.key + way.drawn) >> np.uint64(11)) * 2.0**-53
                if drawn < way.low or drawn >= way.high:
                    continue
            number: Any = np.int64(1)
            if not way.carries_one:
                number = np.int64(graph.numbers[way.place, variant - graph.first_variant[s], item.request])
            if number > 0:
                opened += _put_on(item.request, _mixed(item.key + way.step), number, way, now_s, run.hop_s, graph)
    if len(graph.gathering) > 0:
        for place in range(begin, begin + size):
            opened += end_item(s, graph.items[s, members[place]].request, now_s, run.hop_s, graph)
    run.open += opened - size
    for c in range(s + 1, len(memory.stages)):
        into = graph.into[c]
        if into.sent > into.before:
            graph.coming[c, into.expected].moment_s = now_s + run.hop_s
            graph.coming[c, into.expected].number = into.sent
            into.expected += 1
            run.handing += run.hop_s == 0.0
    run.hands = s


@inner
def _put_on(request: int, key: int, number: int, way: Any, now_s: float, hop_s: float, graph: GraphMemory) -> int:
    """Put so many items of a request on an edge, with parts of `key`; returns how many go to the stage there."""
    c = way.child
    into = graph.into[c]
    none: Any = np.int64(0)
    one: Any = np.int64(1)
    if into.join == ALL:
        return none
    if into.join == EACH:
        for _ in range(number):
            key += _STEP
            _add(c, _mixed(key), request, way.edge, now_s + hop_s, graph)
        _count_coming(c, request, number, graph)
        return number
    if graph.joined[c, request]:
        return none
    graph.joined[c, request] = True
    if into.join == ANY:
        _add_whole(c, request, now_s + hop_s, graph)
    else:
        _expect(c, request, now_s + hop_s + into.wait_s, graph)
    _count_coming(c, request, one, graph)
    return one


@small
def _count_coming(c: int, request: int, number: int, graph: GraphMemory) -> None:
    """Tell the stages that join all of so many items of a request that come to stage c."""
    for g in range(len(graph.gathering)):
        if graph.upstream[g, c]:
            graph.gathered[g, request].left += number


@inner
def end_item(s: int, request: int, end_s: float, hop_s: float, graph: GraphMemory) -> int:
    """Tell the stages that join all that an item of stage s has ended; returns to how many the request goes on."""
    joined: Any = np.int64(0)
    one: Any = np.int64(1)
    for g in range(len(graph.gathering)):
        if not graph.upstream[g, s]:
            continue
        gathered = graph.gathered[g, request]
        gathered.left -= 1
        if end_s > gathered.last_s:
            gathered.last_s = end_s
        if gathered.left == 0 and not gathered.is_lost:
            c = graph.gathering[g]
            _expect(c, request, gathered.last_s + hop_s, graph)
            _count_coming(c, request, one, graph)
            joined += 1
    return joined


@inner
def lose_item(s: int, number: int, now_s: float, hop_s: float, graph: GraphMemory) -> int:
    """As `end_item`, for an item that has been dropped or has failed."""
    item = graph.items[s, number]
    if not (graph.into[s].is_forgiven if item.edge == NO_EDGE else graph.forgives[item.edge]):
        for g in range(len(graph.gathering)):
            if graph.upstream[g, s]:
                graph.gathered[g, item.request].is_lost = True
    # What a drop brings about comes after everything else of its instant.
    end_s: float = now_s if hop_s > 0.0 else np.nextafter(now_s, np.inf)
    return end_item(s, item.request, end_s, hop_s, graph)
