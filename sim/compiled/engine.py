"""The compiled engine: the kernel, and what Python does for it: decisions, random draws, and more memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.special import ndtri

from ipa.policies import StageConfiguration
from ipa.sim import rules, streams
from ipa.sim.compiled.graph_memory import ALL, WAIT, GraphMemory, allocate_graph, persist
from ipa.sim.compiled.jit import direct, is_cached
from ipa.sim.compiled.kernel import ENDED, OUT_OF_DRAWS, OUT_OF_PLACES, OUT_OF_ROOM, advance
from ipa.sim.compiled.language_memory import LanguageMemory, allocate_language
from ipa.sim.compiled.language_stage import LanguageStage
from ipa.sim.compiled.memory import (
    DEADLINE,
    NO_LIMIT,
    KernelMemory,
    RecordArray,
    ReplicaKinds,
    allocate,
    extended,
    layout_of,
)
from ipa.sim.compiled.stage import CompiledStage
from ipa.sim.graph import ItemLog, Routes
from ipa.sim.language_model import TokenRows
from ipa.sim.model import RESOURCES, FloatArray, IntArray, RunInput, ServiceTime, StageModel
from ipa.sim.rules import APPLICATION, CLOSING, CONTROL, NEVER

SPARE_PLACES = 2**10
"""How many items a graph's stage has places for at the start, beyond a quarter more than there are requests."""

_SPARE_ROOM = 32
"""How many replicas a stage has room for beyond those needed now."""


def compile_error() -> str:
    """The error, in one line, if the kernel can be neither compiled nor loaded; else empty."""
    layout = layout_of([StageModel("", {("", 1): ServiceTime((0.0, 1.0))}, {"": 0.0}, NEVER)])
    memory, _ = allocate(1, 1, layout, is_eager=False)
    try:
        direct(advance, 0.0, 0, memory, None, None, None, None)
    except Exception as error:  # from numba, llvmlite or the disk: in any case the SimPy engine can run
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
    return ""


def is_compiled() -> bool:
    """Whether the kernel has been compiled by this process or is in the cache on disk."""
    return is_cached(advance)


def safe_until_s(shortest_s: float, hop_s: float) -> float:
    """Until when every batch and every hop ends later than it begins, in doubles: t + x > t if x >= t / 2^52.

    `shortest_s`: a lower bound of the latency of every batch.
    """
    return 2.0**52 * min(shortest_s, hop_s or shortest_s)


def set_budgets(
    limits: Mapping[str, int],
    stages: Sequence[CompiledStage],
    configuration: Mapping[str, StageConfiguration],
    now_s: float,
) -> None:
    """Divide the limits among the stages, for this decision."""
    desired = [configuration[stage.model.name] for stage in stages]
    for resource, limit in limits.items():
        budgets = rules.budgets_within(
            limit,
            [stage.taken(resource, now_s) for stage in stages],
            [
                configured.replicas * stage.model.taken(resource, configured.variant, configured.cores)
                for stage, configured in zip(stages, desired, strict=True)
            ],
        )
        for stage, budget in zip(stages, budgets, strict=True):
            stage.set_budget(resource, budget)


class CompiledEngine:
    """One run of the model. Build it, go through its `steps` once, then read the stages."""

    stages: tuple[CompiledStage, ...]

    def __init__(self, run_input: RunInput, initial: Mapping[str, StageConfiguration]) -> None:
        self.run_input = run_input
        self.arrivals_s = run_input.arrivals_s
        self.now_s = 0.0
        self.end_s = run_input.world.duration_s
        self.limits: Mapping[str, int] = run_input.world.limits
        self._pending: deque[tuple[float, Mapping[str, StageConfiguration], Mapping[str, int]]] = deque()
        models, seed = run_input.models, run_input.seed
        self.world = world = run_input.world
        self._layout = layout = layout_of(models)
        positions = range(len(models))
        self._normals = [
            streams.normal_blocks(streams.stream(seed, "service", position), ndtri) for position in positions
        ]
        self.routes = Routes.of(run_input, persist)
        self._entries = (0,) if self.routes is None else self.routes.entries
        self._memory, self._waiting = allocate(
            self._capacity(), len(models), layout, is_eager=world.dispatch == "eager"
        )
        self._write_world()
        self._deadlines = self._find_deadlines()
        self._graph: GraphMemory | None = None  # of a chain there is none
        if self.routes is not None:
            self._graph = allocate_graph(self.routes, layout, self.arrivals_s, self._memory.capacity)
        self._rows = TokenRows(run_input)
        self._language = allocate_language(models, layout, self._rows, len(self.arrivals_s), self._memory.capacity)
        self._kernel = direct(
            advance, 0.0, 0, self._memory, self._waiting, self._deadlines, self._graph, self._language
        )
        self._run["instant_s"] = safe_until_s(layout.shortest_s, world.hop_s)
        self.stages = tuple(self._stage(place, layout) for place in range(len(models)))
        self._make_room(max(configuration.replicas for configuration in initial.values()))
        for stage in self.stages:
            stage.start(initial[stage.model.name])
            for resource in RESOURCES:
                if resource not in world.limits:
                    stage.set_budget(resource, NO_LIMIT)
        self._expect()

    def _capacity(self) -> int:
        """How many requests or items fit into memory at each stage."""
        requests = len(self.arrivals_s)
        return requests if self.routes is None else requests + requests // 4 + SPARE_PLACES

    def _stage(self, position: int, layout: ReplicaKinds) -> CompiledStage:
        model = self.run_input.models[position]
        if self._language is not None and model.language:
            return LanguageStage(position, model, self._memory, layout, lambda: self.language, self.token_rows)
        return CompiledStage(position, model, self._memory, layout)

    @property
    def language(self) -> LanguageMemory:
        """The memory of stages of language models."""
        assert self._language is not None
        return self._language

    def token_rows(self, position: int) -> tuple[IntArray, IntArray]:
        """Input and output tokens of the requests at a stage or, in a graph, of the items that have come."""
        if self.routes is None:
            return self._rows.of(position)
        return self._rows.of_items(position, self.item_log(position).request)

    def apply(self, configuration: Mapping[str, StageConfiguration]) -> None:
        """Put a decision made now into effect, after the world's decision delay."""
        self._pending.append((self.now_s + self.world.decision_delay_s, configuration, self.limits))

    def steps(self, control_times_s: Iterator[float]) -> Iterator[float]:
        """Run to the end and stop at each of the times, which must be ascending; yields each time."""
        control_s = next(control_times_s, NEVER)
        closing_s, bound_s = self.world.duration_s, self.world.duration_s + self.world.bound_s
        stood_s, stood_rank = -NEVER, CONTROL
        while True:
            time_s, rank = control_s, CONTROL
            if self._pending and self._pending[0][0] < time_s:
                time_s, rank = self._pending[0][0], APPLICATION
            if closing_s < time_s:
                time_s, rank = closing_s, CLOSING
            # Nothing can happen between a control step and an application of the same instant.
            is_there = rank == APPLICATION and stood_rank == CONTROL and time_s == stood_s
            if not is_there and self._advance(time_s, rank) == ENDED:
                self.end_s = float(self._run["now_s"])
                return
            stood_s, stood_rank = time_s, rank
            self.now_s = time_s
            if rank == CONTROL:
                yield time_s
                control_s = next(control_times_s, NEVER)
            elif rank == APPLICATION:
                self._configure(*self._pending.popleft()[1:])
            elif closing_s == bound_s or not self._run["open"]:
                self.end_s = time_s
                return
            else:
                closing_s = bound_s

    def _configure(self, configuration: Mapping[str, StageConfiguration], limits: Mapping[str, int]) -> None:
        if limits:
            set_budgets(limits, self.stages, configuration, self.now_s)
        for stage in self.stages:
            stage.configure(configuration[stage.model.name], self.now_s)
            if self._deadlines is not None:
                stage.tell(self._deadlines)
                # A stage reads the state of the others, so it goes on before the next one gets its new configuration.
                self._roll_out(stage.position, stage.position + 1)
                self._advance(self.now_s, APPLICATION)
        if self._deadlines is None:
            self._roll_out(0, len(self.stages))

    def _roll_out(self, first: int, end: int) -> None:
        """Let these stages roll out their configurations when the kernel runs next."""
        self._applies_from[0], self._applies_to[0] = first, end

    def _advance(self, time_s: float, rank: int) -> int:
        """Run the kernel up to a time and rank, or to the end of the run; give it draws and memory as needed."""
        while True:
            status = self._kernel(
                time_s, rank, self._memory, self._waiting, self._deadlines, self._graph, self._language
            )
            if status == OUT_OF_DRAWS:
                self._draw()
            elif status == OUT_OF_ROOM:
                self._make_room(max(self._memory.room, int(self._memory.stages["desired"].max())))
            elif status == OUT_OF_PLACES:
                self._make_places()
            else:
                return status

    def _draw(self) -> None:
        """Give a new block of draws to each stage that has used up its own, and tokens to items that have none."""
        for stage, blocks in enumerate(self._normals):
            state = self._memory.stages[stage]
            if state["draw"] == streams.BLOCK:
                self._memory.normals[stage] = next(blocks)
                state["draw"] = 0
        if self._language is not None and self._language.stages["lacks_rows"].any():
            self._language = self._language.with_rows(self._rows)

    def _make_room(self, replicas: int) -> None:
        """Give every stage room for twice as many replicas."""
        room = 2 * replicas + _SPARE_ROOM
        self._use(self._memory.with_room(room))
        if self._language is not None:
            self._language = self._language.with_room(room)

    def _make_places(self) -> None:
        """Fill in the numbers of items of variants that have come since; if there are none, give twice the places."""
        assert self._graph is not None
        assert self.routes is not None
        if not self._graph.fill_in(self._memory, self._layout, self.routes):
            self._double()

    def _double(self) -> None:
        """Double the memory for requests and items."""
        capacity = 2 * self._memory.capacity
        self._use(self._memory.with_capacity(capacity))
        if self._waiting is not None:
            self._waiting = extended(self._waiting, capacity)
        if self._graph is not None:
            self._graph = self._graph.with_capacity(capacity)
        if self._language is not None:
            self._language = self._language.with_capacity(capacity)

    def item_log(self, position: int, since: int = 0) -> ItemLog:
        """In a graph, the items of a stage from number `since` on, in the order in which they came."""
        assert self._graph is not None
        came = self._graph.items[position, since : self.stages[position].enqueued]
        return ItemLog(came["request"].astype(np.int64), came["edge"].astype(np.int64), came["enqueue_s"].copy())

    def on_the_way(self) -> IntArray:
        """In a graph, the requests of the items that are on their way to a stage."""
        assert self._graph is not None
        graph, requests = self._graph, []
        for stage, into in zip(self.stages, graph.into, strict=True):
            requests.append(graph.items["request"][stage.position, stage.enqueued : into["sent"]])
            if into["join"] in (WAIT, ALL):
                requests.append(graph.coming["number"][stage.position, into["delivered"] : into["expected"]])
        return np.concatenate(requests).astype(np.int64)

    def _use(self, memory: KernelMemory) -> None:
        """Continue with another memory of the same content."""
        self._memory = memory
        for stage in self.stages:
            stage.use(memory)

    def _write_world(self) -> None:
        self._run = self._memory.run[0]
        # Faster to write than the fields of the record.
        self._applies_from, self._applies_to = self._memory.run["applies_from"], self._memory.run["applies_to"]
        run, world = self._run, self.world
        run["duration_s"], run["hop_s"], run["stop_s"] = world.duration_s, world.hop_s, world.stop_s
        run["max_surge"] = -1 if world.max_surge is None else world.max_surge
        run["max_unavailable"] = world.max_unavailable
        run["drops_singly"] = world.drop != "batch"
        run["loses"] = world.removal == "lose"
        run["is_limited"], run["replaces"] = bool(world.limits), world.when_full == "replace"

    def _find_deadlines(self) -> RecordArray | None:
        """The DEADLINE records for dropping by deadline, shape (S,); None for the other drop modes."""
        if self.world.drop != "deadline":
            return None
        deadlines = np.zeros(len(self.run_input.models), DEADLINE)
        deadlines["sla_s"] = self.world.sla_s
        deadlines["limit_s"] = [model.drop_limit_s for model in self.run_input.models]
        deadlines["looked_s"] = -NEVER
        return deadlines

    def _expect(self) -> None:
        """Begin with all requests still to come and no draws; the first dispatch attempts set the timers.

        By deadline there are no such attempts: they could drop arrivals of time 0 too early in that instant. Nor in a
        graph, whose entries would attempt in another order.
        """
        rows, count = self._memory.stages, len(self.arrivals_s)
        rows["draw"] = streams.BLOCK
        rows["timer_s"] = NEVER
        rows["chosen"] = rows["freed"] = -1
        self._run["open"] = count * len(self._entries)
        if self._deadlines is not None:
            for stage in self.stages:
                stage.tell(self._deadlines)
        if self._deadlines is not None or self._graph is not None:
            rows["now_s"] = -NEVER
        else:
            rows["attempts"] = True
        for position in self._entries:
            rows[position]["is_entry"] = True
            rows[position]["enqueued_sum_s"] = self.arrivals_s.sum()
            rows[position]["present"] = count
        self._load(self.arrivals_s[: self._memory.capacity], 0)

    def _load(self, arrivals_s: FloatArray, first: int) -> None:
        """Append arrivals to the queues of the entries, as requests from number `first` on."""
        memory, count = self._memory, len(arrivals_s)
        memory.arrivals_s[first : first + count] = arrivals_s
        for position in self._entries:
            state = memory.stages[position]
            begin = state["tail"]
            memory.queue[position, begin : begin + count] = np.arange(first, first + count)
            memory.enqueued_s[position, begin : begin + count] = arrivals_s
            state["tail"] = begin + count
        self._run["known"], self._run["extended"] = first + count, True
