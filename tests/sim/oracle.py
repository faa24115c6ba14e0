"""A slow, literal simulator of the model's rules, for comparing an engine with, request by request.

Plain standard library and no code of the engines: one object a thing, one function a rule, the
rule's number beside it. `simulate` takes a scenario and gives what became of every request and of
every replica. Times are seconds, absolute times are since the run's start.

A scenario is a dictionary:

- arrivals: rising times of the requests 0..N-1; duration_s; sla_s
- stages: per stage {"variants": {name: {"latency_s": {cores: {batch: seconds}}, "start_up_s"}},
  "drop_limit_s"}; every batch size from 1 to the largest is given
- initial: per stage {"variant", "cores", "batch", "replicas", "batch_timeout_s"}, ready at 0
- decisions: [time of the control step, [configuration per stage, as in initial]], times rising
- hop_s, stop_s, decision_delay_s, max_surge (None: a quarter, rounded up), max_unavailable
- factors: optional; per stage, the k-th batch started takes latency x factors[k] (past the end: 1)
- bound_s: how long after duration_s the run ends at the latest (not given: 10 x sla_s)
- removal, optional: "drain" or "lose": whether what a removed replica holds fails with it
- limit_cores, optional: the most cores that exist; when_full, optional: "replace" or "wait"
- dispatch: "central" or "eager"; drop: "request", "batch" or "deadline"

The result has:

- requests: {"outcome": "completed" | "dropped" | "failed" | "unfinished", "stages": [visit, ...]}, and
  "dropped_at" and "dropped_s" for a dropped or failed one. A visit has "enqueue" and "batch_id" (None before
  its batch starts); from the start also "start", "replica", "variant", "batch"; then "finish".
- replicas: per stage {"id", "variant", "cores", "created", "ready", "removed", "gone"}, None for
  what had not happened when the run ended
- queue_integral: per stage, request-seconds waiting or in service; end_s: when the run ended
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Rule 8. A control step does nothing here, its decision is listed.
COMPLETION, DELIVERY, ACTIVATION, EXIT, CONTROL_STEP, APPLICATION, TIMER = range(7)


def simulate(scenario: dict[str, Any]) -> dict[str, Any]:
    """Run `scenario` to its end; both formats stand in the module's docstring.

    Raises ValueError for surge + unavailable below 1 and for a mode that does not exist.
    """
    return Simulation(scenario).run()


@dataclass(eq=False)
class Request:
    arrival: float
    visits: list[dict[str, Any]] = field(default_factory=list)
    outcome: str = "unfinished"
    dropped_at: int | None = None
    dropped_s: float | None = None


@dataclass(eq=False)
class Batch:
    formed: int
    requests: list[Request]


@dataclass(eq=False)
class Replica:
    number: int
    variant: str
    cores: int
    created: float
    ready: float | None = None
    removed: float | None = None
    leaves: float | None = None  # when it will be gone, once that is known
    gone: float | None = None
    serving: Batch | None = None
    waiting: list[Batch] = field(default_factory=list)

    @property
    def is_starting(self) -> bool:
        return self.ready is None and self.removed is None

    @property
    def is_ready(self) -> bool:
        return self.ready is not None and self.removed is None

    @property
    def is_idle(self) -> bool:
        return self.is_ready and self.serving is None


@dataclass(eq=False)
class Stage:
    index: int
    variants: dict[str, Any]
    drop_limit_s: float
    configuration: dict[str, Any]
    factors: list[float]
    queue: list[Request] = field(default_factory=list)
    replicas: list[Replica] = field(default_factory=list)
    timer: int = 0  # the timers set or cleared so far: only the last one set may ring
    started: int = 0
    formed: int = 0
    last_chosen: int = -1
    present: int = 0
    integral: float = 0.0
    budget: int | None = None  # the most cores that may exist here
    lacks_room: bool = False

    def is_current(self, replica: Replica) -> bool:
        wanted = (self.configuration["variant"], self.configuration["cores"])
        return (replica.variant, replica.cores) == wanted

    def having(self, wanted: Callable[[Replica], bool]) -> list[Replica]:
        return [replica for replica in self.replicas if wanted(replica)]

    def counted(self) -> list[Replica]:
        """Starting and ready ones: rule 5's E, draining in neither."""
        return self.having(lambda r: r.is_starting or r.is_ready)

    def latencies(self, replica: Replica) -> dict[int, float]:
        table: dict[int, float] = self.variants[replica.variant]["latency_s"][replica.cores]
        return table


def nth(factors: list[float], n: int) -> float:
    return factors[n] if n < len(factors) else 1.0


def removal_order(replica: Replica) -> tuple[int, int]:
    """Rule 5b: starting, then idle, then busy, highest number first."""
    if replica.is_starting:
        return 0, -replica.number
    return (1 if replica.is_idle else 2), -replica.number


class Simulation:
    def __init__(self, scenario: dict[str, Any]) -> None:
        self.now = 0.0
        self.events: list[tuple[float, int, int, int, Callable[[], None]]] = []
        self.made = 0  # events made so far: the last tie-breaker of rule 8
        self.eager = {"central": False, "eager": True}[scenario.get("dispatch", "central")]
        drop = scenario.get("drop", "request")
        self.drop_batches = {"request": False, "batch": True, "deadline": False}[drop]
        self.by_deadline = drop == "deadline"
        self.sla_s: float = scenario["sla_s"]
        self.loses = {"drain": False, "lose": True}[scenario.get("removal", "drain")]
        self.limit_cores: int | None = scenario.get("limit_cores")
        self.replaces = {"replace": True, "wait": False}[scenario.get("when_full", "replace")]
        self.hop_s: float = scenario["hop_s"]
        self.stop_s: float = scenario["stop_s"]
        self.max_surge: int | None = scenario["max_surge"]
        self.max_unavailable: int = scenario["max_unavailable"]
        if self.max_surge is not None and self.max_surge + self.max_unavailable < 1:
            raise ValueError("max_surge + max_unavailable must be at least 1")
        self.duration_s: float = scenario["duration_s"]
        self.bound = self.duration_s + scenario.get("bound_s", 10 * scenario["sla_s"])
        self.requests = [Request(arrival) for arrival in scenario["arrivals"]]
        self.open = len(self.requests)
        self.last_end = 0.0
        count = len(scenario["stages"])
        factors = scenario.get("factors") or [[]] * count
        self.stages = []
        for i, (given, first) in enumerate(zip(scenario["stages"], scenario["initial"], strict=True)):
            stage = Stage(i, given["variants"], given["drop_limit_s"], first, factors[i])
            self.stages.append(stage)
            for _ in range(first["replicas"]):
                self.create(stage).ready = 0.0
        for step_s, configurations in scenario["decisions"]:
            at = step_s + scenario["decision_delay_s"]
            if self.limit_cores is not None:
                self.at(at, APPLICATION, self.stages[0], self.divide, configurations)
            for stage, wanted in zip(self.stages, configurations, strict=True):
                self.at(at, APPLICATION, stage, self.application, stage, wanted)

    # ---------------------------------------------------------------- time (rules 8 and 9)

    def at(self, time: float, rank: int, stage: Stage, what: Callable[..., None], *args: Any) -> None:
        event = (time, rank, stage.index, self.made, lambda: what(*args))
        heapq.heappush(self.events, event)
        self.made += 1

    def run(self) -> dict[str, Any]:
        coming = list(self.requests)
        while True:
            instants = [r.arrival for r in coming[:1]] + [e[0] for e in self.events[:1]]
            if not instants or min(instants) > self.end():
                break
            self.pass_to(min(instants))
            arrived = [r for r in coming if r.arrival == self.now]
            if arrived:
                coming = coming[len(arrived) :]
                # In the queue for every event of this instant; the attempt ranks with the timers.
                for stage in self.arrive(arrived):
                    self.at(self.now, TIMER, stage, self.attempt, stage)
            while self.events and self.events[0][0] == self.now:
                heapq.heappop(self.events)[-1]()
        self.pass_to(self.end())
        return self.result()

    def arrive(self, requests: list[Request]) -> list[Stage]:
        """Requests reach the pipeline; returns the stages that got some."""
        self.enqueue(self.stages[0], requests)
        return self.stages[:1]

    def end(self) -> float:
        """When the run ends, as far as known; what happens at that instant still happens."""
        return self.bound if self.open else max(self.duration_s, self.last_end)

    def pass_to(self, instant: float) -> None:
        for stage in self.stages:
            stage.integral += stage.present * (instant - self.now)
        self.now = instant

    def completion(self, stage: Stage, replica: Replica) -> None:
        batch = replica.serving
        if self.loses and batch is None:
            return
        assert batch is not None
        replica.serving = None
        stage.present -= len(batch.requests)
        for request in batch.requests:
            request.visits[-1]["finish"] = self.now
        if replica.removed is not None:
            self.leave(stage, replica)
        if stage.index + 1 == len(self.stages):
            for request in batch.requests:
                self.close(request, "completed")
        else:
            following = self.stages[stage.index + 1]
            if self.hop_s > 0:
                self.at(self.now + self.hop_s, DELIVERY, following, self.delivery, following, batch.requests)
            else:
                self.delivery(following, batch.requests)
        if replica.waiting:
            self.start(stage, replica, replica.waiting.pop(0))
        self.attempt(stage)

    def delivery(self, stage: Stage, requests: list[Request]) -> None:
        self.enqueue(stage, requests)
        self.attempt(stage)

    def activation(self, stage: Stage, replica: Replica) -> None:
        if replica.removed is not None:
            return
        replica.ready = self.now
        self.rollout(stage)
        self.attempt(stage)

    def exit(self, stage: Stage, replica: Replica) -> None:
        replica.gone = self.now
        if stage.lacks_room and replica.removed != self.now:
            self.rollout(stage)
            self.attempt(stage)

    def application(self, stage: Stage, configuration: dict[str, Any]) -> None:
        stage.configuration = configuration
        self.rollout(stage)
        self.attempt(stage)

    def timer(self, stage: Stage, number: int) -> None:
        if number == stage.timer:
            self.attempt(stage)

    # ---------------------------------------------------------------- requests (rules 1 and 4)

    def enqueue(self, stage: Stage, requests: list[Request]) -> None:
        """Put each at the end of the queue."""
        for request in requests:
            request.visits.append({"enqueue": self.now, "batch_id": None})
            stage.queue.append(request)
            stage.present += 1

    def expired(self, stage: Stage, request: Request) -> bool:
        limit_s = stage.drop_limit_s
        if self.by_deadline:
            limit_s = min(limit_s, self.sla_s - self.ahead_s(stage))
        return self.now > request.arrival + limit_s

    def ahead_s(self, stage: Stage) -> float:
        """Rule 4 by deadline: the stay here, where the queue does not count, then hop and stay at each later stage."""
        total = self.stay_s(stage, [])
        for later in self.stages[stage.index + 1 :]:
            total = total + self.hop_s + self.stay_s(later, later.queue)
        return total

    def stay_s(self, stage: Stage, queue: list[Request]) -> float:
        variant, cores, batch = (stage.configuration[key] for key in ("variant", "cores", "batch"))
        table = stage.variants[variant]["latency_s"][cores]
        full = min(batch, max(table))
        ready = max(1, len(stage.having(lambda r: r.is_ready)))
        waiting = len(queue) + sum(len(each.requests) for r in stage.replicas for each in r.waiting)
        return float(table[full] + waiting * table[full] / (full * ready))

    def drop(self, stage: Stage, request: Request, outcome: str = "dropped") -> None:
        request.dropped_at, request.dropped_s = stage.index, self.now
        stage.present -= 1
        self.close(request, outcome)

    def close(self, request: Request, outcome: str) -> None:
        request.outcome = outcome
        self.open -= 1
        self.last_end = self.now

    # ---------------------------------------------------------------- dispatch (rules 2 and 3)

    def attempt(self, stage: Stage) -> None:
        stage.timer += 1
        while (replica := self.choose(stage)) is not None:
            while not self.drop_batches and stage.queue and self.expired(stage, stage.queue[0]):
                self.drop(stage, stage.queue.pop(0))  # (a)
            if not stage.queue:  # (b)
                return
            wanted, timeout_s = (stage.configuration[key] for key in ("batch", "batch_timeout_s"))
            due = stage.queue[0].visits[-1]["enqueue"] + timeout_s
            if len(stage.queue) < wanted and self.now < due:  # (c)
                self.at(due, TIMER, stage, self.timer, stage, stage.timer)
                return
            taken = self.take(stage, min(wanted, max(stage.latencies(replica))))  # (d)
            if taken:
                self.form(stage, replica, taken)

    def choose(self, stage: Stage) -> Replica | None:
        """The replica of the next batch, if there is one; dropping first changes nothing in it."""
        if self.eager:
            ready = stage.having(lambda r: r.is_ready)
            beyond = [r for r in ready if r.number > stage.last_chosen]
            return next(iter(beyond + ready), None)
        idle = stage.having(lambda r: r.is_idle)
        wanted = [r for r in idle if r.variant == stage.configuration["variant"]]
        return next(iter(wanted + idle), None)

    def take(self, stage: Stage, most: int) -> list[Request]:
        """(d): up to `most` requests in order; none when a batch of them was dropped whole."""
        if self.drop_batches:
            taken, stage.queue = stage.queue[:most], stage.queue[most:]
            if self.expired(stage, min(taken, key=lambda r: r.arrival)):
                for request in taken:
                    self.drop(stage, request)
                return []
            return taken
        taken = []
        while stage.queue and len(taken) < most:
            request = stage.queue.pop(0)
            if self.expired(stage, request):
                self.drop(stage, request)
            else:
                taken.append(request)
        return taken

    def form(self, stage: Stage, replica: Replica, requests: list[Request]) -> None:
        batch = Batch(stage.formed, requests)
        stage.formed += 1
        stage.last_chosen = replica.number  # read by eager dispatch alone
        if replica.is_idle:
            self.start(stage, replica, batch)
        else:
            replica.waiting.append(batch)

    def start(self, stage: Stage, replica: Replica, batch: Batch) -> None:
        size = len(batch.requests)
        finish = self.now + stage.latencies(replica)[size] * nth(stage.factors, stage.started)
        for request in batch.requests:
            request.visits[-1] |= {
                "start": self.now,
                "replica": replica.number,
                "variant": replica.variant,
                "batch": size,
                "batch_id": stage.started,
            }
        stage.started += 1
        replica.serving = batch
        self.at(finish, COMPLETION, stage, self.completion, stage, replica)

    # ---------------------------------------------------------------- rollouts (rule 5)

    def create(self, stage: Stage) -> Replica:
        variant, cores = stage.configuration["variant"], stage.configuration["cores"]
        replica = Replica(len(stage.replicas), variant, cores, self.now)
        stage.replicas.append(replica)
        return replica

    def rollout(self, stage: Stage) -> None:
        returned: list[Batch] = []
        while self.rollout_pass(stage, returned) or self.replace_one(stage, returned):
            pass
        stage.lacks_room = self.missing(stage) > 0
        in_order = sorted(returned, key=lambda batch: batch.formed)
        stage.queue = [r for batch in in_order for r in batch.requests] + stage.queue

    def remove(self, stage: Stage, replicas: list[Replica], most: int, returned: list[Batch]) -> int:
        going = sorted(replicas, key=removal_order)[: max(most, 0)]
        for replica in going:
            replica.removed = self.now
            if self.loses:
                held = [*replica.waiting, *([replica.serving] if replica.serving else [])]
                for request in [request for batch in held for request in batch.requests]:
                    self.drop(stage, request, "failed")
                replica.serving = None
            else:
                returned.extend(replica.waiting)
            replica.waiting = []
            if replica.serving is None:
                self.leave(stage, replica)
        return len(going)

    def missing(self, stage: Stage) -> int:
        """How many replicas rule 5 would create now if there were room."""
        desired = stage.configuration["replicas"]
        surge = -(-desired // 4) if self.max_surge is None else self.max_surge
        current = [r for r in stage.counted() if stage.is_current(r)]
        return max(0, min(desired - len(current), desired + surge - len(stage.counted())))

    def rollout_pass(self, stage: Stage, returned: list[Batch]) -> bool:
        """One pass of (a) to (d), every number counted afresh; whether it changed anything."""
        desired = stage.configuration["replicas"]
        obsolete = stage.having(lambda r: r.is_starting and not stage.is_current(r))
        changes = self.remove(stage, obsolete, len(obsolete), returned)  # (a)

        current = [r for r in stage.counted() if stage.is_current(r)]
        changes += self.remove(stage, current, len(current) - desired, returned)  # (b)

        for _ in range(self.missing(stage)):  # (c)
            if stage.budget is not None and self.existing_cores(stage) + stage.configuration["cores"] > stage.budget:
                break
            replica = self.create(stage)
            ready_at = self.now + stage.variants[replica.variant]["start_up_s"]
            self.at(ready_at, ACTIVATION, stage, self.activation, stage, replica)
            changes += 1

        ready = stage.having(lambda r: r.is_ready)
        obsolete = [r for r in ready if not stage.is_current(r)]
        changes += self.remove(stage, obsolete, len(ready) - (desired - self.max_unavailable), returned)  # (d)
        return changes > 0

    def existing_cores(self, stage: Stage) -> int:
        return sum(r.cores for r in stage.replicas if r.leaves is None or r.leaves > self.now)

    def divide(self, configurations: list[dict[str, Any]]) -> None:
        """Each stage may have what exists there; the rest of the limit goes round, first for what is desired."""
        assert self.limit_cores is not None
        desired = [each["replicas"] * each["cores"] for each in configurations]
        there = [self.existing_cores(stage) for stage in self.stages]
        left = self.limit_cores - sum(there)
        most = list(there)
        for allowed in (desired, [one + other for one, other in zip(there, desired, strict=True)]):
            for place, enough in enumerate(allowed):
                while left > 0 and most[place] < enough:
                    most[place] += 1
                    left -= 1
        for stage, cores in zip(self.stages, most, strict=True):
            stage.budget = cores

    def replace_one(self, stage: Stage, returned: list[Batch]) -> bool:
        """Without room: an obsolete replica goes before its successor comes."""
        if stage.budget is None or not self.replaces or not self.missing(stage):
            return False
        new = stage.configuration["cores"]
        current = [r for r in stage.counted() if stage.is_current(r)]
        obsolete = [r for r in stage.counted() if not stage.is_current(r)]
        if any(r.is_starting for r in current) or not obsolete:
            return False
        if sum(r.cores for r in [*current, *obsolete]) + new <= stage.budget:
            return False  # there will be room when those that drain are gone
        if sum(r.cores for r in current) + new > stage.budget:
            return False  # there will be none
        return self.remove(stage, obsolete, 1, returned) > 0

    def leave(self, stage: Stage, replica: Replica) -> None:
        """A removed replica with nothing left to serve is gone stop_s from now."""
        replica.leaves = self.now + self.stop_s
        self.at(replica.leaves, EXIT, stage, self.exit, stage, replica)

    # ---------------------------------------------------------------- the result

    def result(self) -> dict[str, Any]:
        return {
            "requests": [request_result(request) for request in self.requests],
            "replicas": [[replica_result(each) for each in stage.replicas] for stage in self.stages],
            "queue_integral": [stage.integral for stage in self.stages],
            "end_s": self.now,
        }


def request_result(request: Request) -> dict[str, Any]:
    result: dict[str, Any] = {"outcome": request.outcome, "stages": request.visits}
    if request.outcome in ("dropped", "failed"):
        result |= {"dropped_at": request.dropped_at, "dropped_s": request.dropped_s}
    return result


def replica_result(replica: Replica) -> dict[str, Any]:
    keys = ("variant", "cores", "created", "ready", "removed", "gone")
    return {"id": replica.number} | {key: getattr(replica, key) for key in keys}
