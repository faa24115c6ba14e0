"""The arbiter of a live fleet, and the controllers that ask it: each pipeline steps in a thread of its own.

A controller tells what its policy wants and how many cores may exist of its pipeline, and gets what it may plan with.
One that gets no answer keeps its last limit: what it may have is noted for it until it has told less.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, MutableSequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeVar

from ipa.live.errors import RunError
from ipa.live.live_controller import Call, LiveController
from ipa.policies import Applied, Backend, Configuration, Entry, Journal, Observation, Policy
from ipa.policies.sharing import Arbiter, Curve, Curves, Grant, Step
from ipa.profiles import Pipeline

ANSWERS_WITHIN_S = 5.0
"""How long the arbiter may take to answer, and a controller waits for its turn and for the wishes of others."""

T = TypeVar("T")


class NoAnswerError(RunError):
    """The arbiter has not answered. The text says why."""


class SharingBackend(Backend, Protocol):
    """A backend whose cores can be limited while it runs (see `LiveBackend`)."""

    def limit_to(self, exist_cores: int) -> None: ...

    def claim_cores(self, decided: Configuration | None = None) -> int: ...


@dataclass
class SharedOpening:
    """The decision before a run, when nothing exists yet, on a `backend` that takes it."""

    backend: Backend

    def observe(self) -> Observation:
        return self.backend.observe()

    def apply(self, configuration: Configuration) -> Applied:
        return self.backend.apply(configuration)

    def limit_to(self, exist_cores: int) -> None:
        """All of it is ready at once."""

    def claim_cores(self, decided: Configuration | None = None) -> int:
        return 0 if decided is None else total_cores(decided)


@dataclass
class LiveArbiter:
    """The arbiter of a fleet for several threads. `on_step` is called with each step.

    `steps_s`: the interval and the duration of each pipeline, in the order of the fleet, if all have one clock: of
    steps at one time, all wishes are known before the first is granted, and they are granted in this order. Empty: each
    has a clock of its own, and the latest wishes count.
    """

    arbiter: Arbiter
    steps_s: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    on_step: Callable[[Step], object] = lambda _: None
    within_s: float = ANSWERS_WITHIN_S
    steps: MutableSequence[Step] = field(default_factory=list)
    _asking: threading.Lock = field(default_factory=threading.Lock)
    _turns: threading.Lock = field(default_factory=threading.Lock)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _running: Call[object] | None = None
    _began_s: dict[str, float] = field(default_factory=dict)  # of the step in which a pipeline is
    _wished_s: dict[str, float] = field(default_factory=dict)
    _granted_s: dict[str, float] = field(default_factory=dict)

    def ask(self, question: Callable[[Arbiter], T]) -> T:
        """What the arbiter answers. Raises NoAnswerError if it fails, or takes too long; until it has ended, it is not
        asked again."""
        if not self._asking.acquire(timeout=self.within_s):
            raise NoAnswerError(f"the arbiter was busy for {self.within_s:g} s")
        try:
            if self._running is not None and self._running.is_alive:
                raise NoAnswerError("the arbiter has not ended its last answer")
            call = Call(lambda: question(self.arbiter))
            self._running = call  # type: ignore[assignment]
            if not call.wait(self.within_s):
                raise NoAnswerError(f"the arbiter did not answer within {self.within_s:g} s")
        finally:
            self._asking.release()
        if call.error is not None:
            raise NoAnswerError(f"the arbiter failed: {type(call.error).__name__}: {call.error}") from call.error
        return call.result()

    def leave(self, name: str) -> None:
        """A pipeline has ended: nothing of it exists any more. Raises NoAnswerError."""
        self.ask(lambda arbiter: arbiter.leave(name))

    # ---- steps at one time ----

    @contextmanager
    def step(self, name: str, due_s: float) -> Iterator[None]:
        """A pipeline is in the step that was due then."""
        with self._changed:
            self._began_s[name] = due_s
        try:
            yield
        finally:
            with self._changed:
                del self._began_s[name]
                self._changed.notify_all()

    def await_wishes(self, name: str, due_s: float) -> None:
        """Wait for the wishes of all that have a step now."""
        with self._changed:
            self._wished_s[name] = due_s
            self._changed.notify_all()
            others = [other for other in self.steps_s if self._is_due(other, due_s)]
            self._changed.wait_for(lambda: not any(self._is_awaited(other, due_s) for other in others), self.within_s)

    @contextmanager
    def turn(self, name: str, due_s: float) -> Iterator[None]:
        """It is a pipeline's turn to be granted cores. Raises NoAnswerError if that takes too long."""
        order = list(self.steps_s)
        before = order[: order.index(name)] if name in order else []

        def must_wait() -> bool:
            return any(
                self._began_s.get(other) == due_s and self._granted_s.get(other, -1.0) < due_s for other in before
            )

        with self._changed:
            self._changed.wait_for(lambda: not must_wait(), self.within_s)
        if not self._turns.acquire(timeout=self.within_s):
            raise NoAnswerError(f"the arbiter was busy with others for {self.within_s:g} s")
        try:
            yield
        finally:
            self._turns.release()
            with self._changed:
                self._granted_s[name] = due_s
                self._changed.notify_all()

    def _is_due(self, name: str, due_s: float) -> bool:
        interval_s, duration_s = self.steps_s[name]
        steps = due_s / interval_s
        return due_s < duration_s and abs(steps - round(steps)) < 1e-6

    def _is_awaited(self, name: str, due_s: float) -> bool:
        """Whether it has yet to say what it wants at this time; one that is late in an earlier step will skip it."""
        return self._began_s.get(name, due_s) == due_s and self._wished_s.get(name, -1.0) < due_s


class SharingController(LiveController):
    """The controller of one pipeline of a fleet, which plans with what the arbiter grants it.

    `curves`: for a rule that weighs objectives.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        policy: Policy,
        limit_s: float,
        journal: Journal,
        *,
        name: str,
        interval_s: float,
        arbiter: LiveArbiter,
        curves: Curves | None = None,
    ) -> None:
        super().__init__(pipeline, policy, limit_s, journal)
        self.name = name
        self._interval_s = interval_s
        self._arbiter = arbiter
        self._curves = curves
        self._plan_cores = arbiter.arbiter.budget

    def stands(self, claim_cores: int) -> None:
        """Note what exists of a pipeline that has not decided yet."""
        self._arbiter.ask(partial(_told, self.name, claim_cores, claim_cores, None))

    def step(self, backend: SharingBackend) -> Entry:  # type: ignore[override]
        observation = backend.observe()
        due_s = round((observation.step - self.first_step + 1) * self._interval_s, 6)
        with self._arbiter.step(self.name, due_s):
            wish, claim_cores, problem = self.tell(backend, observation)
            self._arbiter.await_wishes(self.name, due_s)
            return self.take(backend, wish, claim_cores, due_s, problem)

    def tell(self, backend: SharingBackend, observation: Observation) -> tuple[Entry, int, str]:
        """Tell the arbiter what the policy wants: that wish, what may exist now, and why it was not told (empty if it
        was)."""
        wish = self.wish(observation)
        curve: Callable[[], Curve] | None = None
        if self._curves is not None:
            load_rps = self._curves.load_rps(wish.observation, wish.decision)
            curve = partial(self._curves.curve, load_rps)
        claim_cores, demand_cores = backend.claim_cores(), total_cores(wish.decision.configuration)
        try:
            self._arbiter.ask(partial(_told, self.name, demand_cores, claim_cores, curve))
        except NoAnswerError as error:
            return wish, claim_cores, str(error)
        return wish, claim_cores, ""

    def take(self, backend: SharingBackend, wish: Entry, claim_cores: int, due_s: float, problem: str = "") -> Entry:
        """Carry out a wish, or what the policy decides within its limit: what the arbiter grants or, with a `problem`,
        its last limit."""
        wanted_cores = total_cores(wish.decision.configuration)
        entry, lost = None, problem
        if not problem:
            try:
                with self._arbiter.turn(self.name, due_s):
                    entry, why = self._granted(backend, wish, claim_cores)
            except NoAnswerError as error:
                lost = str(error)
        if entry is None:
            if not claim_cores:  # nothing stands yet
                raise RunError(lost)
            limit_cores = min(claim_cores, self._plan_cores)
            why = f"{lost}: the last limit of {limit_cores} cores stays"
            backend.limit_to(claim_cores)
            entry = self._within(wish, limit_cores)
        taken = self.carry_out(_Saying(backend, why if lost else ""), entry)
        got_cores, observation = total_cores(taken.decision.configuration), taken.observation
        step = Step(observation.time_s, self.name, observation.step, wanted_cores, got_cores, why)
        self._arbiter.steps.append(step)
        self._arbiter.on_step(step)
        return taken

    def _granted(self, backend: SharingBackend, wish: Entry, claim_cores: int) -> tuple[Entry, str]:
        wanted_cores = total_cores(wish.decision.configuration)
        grant, why = self._arbiter.ask(partial(_grant, self.name, wanted_cores, claim_cores))
        entry = self._within(wish, grant.plan_units)
        may_exist = backend.claim_cores(entry.decision.configuration)
        claim_cores = max(claim_cores, min(grant.exist_units, may_exist))
        self._arbiter.ask(lambda arbiter: arbiter.hold(self.name, claim_cores))
        backend.limit_to(grant.exist_units)
        self._plan_cores = grant.plan_units
        return entry, why

    def _within(self, wish: Entry, plan_cores: int) -> Entry:
        """The wish if it fits, otherwise what the policy decides within so many cores."""
        if total_cores(wish.decision.configuration) <= plan_cores:
            return wish
        own_cores = wish.observation.limit_cores
        limit_cores = plan_cores if own_cores is None else min(plan_cores, own_cores)
        return self.wish(replace(wish.observation, limit_cores=limit_cores))


def _told(name: str, demand_cores: int, claim_cores: int, curve: Callable[[], Curve] | None, arbiter: Arbiter) -> None:
    arbiter.wish(name, demand_cores, curve)
    arbiter.hold(name, claim_cores)


def _grant(name: str, wanted_cores: int, claim_cores: int, arbiter: Arbiter) -> tuple[Grant, str]:
    """What a pipeline gets, and why not more. All that may exist by it is noted, until its decision is known."""
    grant = arbiter.grant(name)
    why = arbiter.why(name, wanted_cores, grant)
    arbiter.hold(name, max(claim_cores, grant.exist_units))
    return grant, why


@dataclass
class _Saying:
    """A backend whose answers say one thing more."""

    backend: Backend
    text: str

    def observe(self) -> Observation:
        return self.backend.observe()

    def apply(self, configuration: Configuration) -> Applied:
        applied = self.backend.apply(configuration)
        return Applied(applied.accepted, "; ".join(filter(None, (applied.reason, self.text))))


def total_cores(configuration: Configuration) -> int:
    """The cores of all its replicas."""
    return sum(stage.total_cores for stage in configuration.values())
