"""One simulated run: an engine, a controller that steps at regular intervals, and their results.

`stepped` is a run without the controller: the caller decides at each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile

import numpy as np

from ipa.policies import (
    Backend,
    Configuration,
    Controller,
    Entry,
    Journal,
    Policy,
    ahead_of,
    goal_of,
    reads,
)
from ipa.profiles import Pipeline
from ipa.sim import engines, laws, records, streams
from ipa.sim.backend import Opening, RunView, SimulatedBackend
from ipa.sim.graph import collect_records, records_of_none, sample_of
from ipa.sim.interface import Engine, Handover, handovers
from ipa.sim.intervals import Completed, IntervalCounts
from ipa.sim.late_metrics import LateMetrics, ObservedBackend
from ipa.sim.load_view import LoadView, Spans
from ipa.sim.model import FloatArray, IntArray, RunInput
from ipa.sim.planned import LatestEntry, Planned
from ipa.sim.sample import Counted, Sampling
from ipa.sim.summary import Totalling, Totals, totals_of
from ipa.sim.tables import served_accuracy

SAMPLE = 10_000
"""How many requests a sample has records of."""

SLOWEST = 1_000
"""How many of the slowest completed and of the slowest dropped requests have records besides."""


STEPS_AHEAD = 256
"""For how many steps forecasts are computed at once."""


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """How a run is controlled: a decision every `interval_s` on the load of the last `history_s` seconds.

    `initial` is the configuration that is ready at the start; None: the policy's decision at time 0 from the history (a
    warm start). `fields`: costly observation fields to compute besides those that the policy reads. `engine` is one of
    `engines.ENGINES`. `records`: keep records of all requests ("all"); of a uniform sample of at most `SAMPLE` and of
    the `SLOWEST`, with counts of all by interval ("sample"); or of none, and no decisions either ("none"). `starts_s`:
    the wall-clock time at the start [s since 1970]; None: the load has none. `outages`: (start, end) of the times in
    which control steps see no metrics [s]. `metrics_delay_s`: how old the metrics are that a control step sees.
    """

    interval_s: float = 10.0
    history_s: int = 120
    limit_cores: int | None = None
    initial: Configuration | None = None
    fields: tuple[str, ...] = ()
    engine: str = "auto"
    records: str = "all"
    starts_s: float | None = None
    outages: Spans = ()
    metrics_delay_s: float = 0.0


@dataclass(frozen=True)
class Simulated:
    """The results of a run: its records, its journal, the configuration ready at the start, and the engine's name.

    `totals` and `planned` cover the whole run, whichever records and entries were kept. `counted`: None unless the
    records are a sample.
    """

    records: records.Records
    counted: Counted | None
    totals: Totals
    planned: Planned
    entries: Sequence[Entry]
    initial: Configuration
    engine: str


def simulate_policy(
    pipeline: Pipeline,
    policy: Policy,
    run_input: RunInput,
    control: ControlSettings,
    history_rps: FloatArray | IntArray,
    on_step: Callable[[float], object] = lambda _: None,
) -> Simulated:
    """Run `policy` on the arrivals.

    `on_step` is called after every control step with the share of the duration that has passed.

    Raises EngineError if the engine cannot run here, PolicyError if a decision cannot be carried out, and LawError if
    the run breaks a law of the model.
    """
    run = PolicyRun(pipeline, policy, run_input, control, history_rps)
    while not run.is_over:
        run.carry_out(run.wish())
        if run.time_s:
            on_step(run.time_s / run_input.world.duration_s)
        run.advance()
    return run.result()


class PolicyRun:
    """A run that stands at a control step: the decision at time 0 (a warm start), or the first one after it.

    At each step ask for the `wish`, `carry_out` it or what the policy decides within a limit, then `advance`. When the
    run `is_over`, ask for the `result`. `time_s`: that of the step. `engine`: None at the decision at time 0.
    Raises as `simulate_policy`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        policy: Policy,
        run_input: RunInput,
        control: ControlSettings,
        history_rps: FloatArray | IntArray,
    ) -> None:
        self._engine_name, world, arrivals_s = (
            engines.choose_engine(control.engine),
            run_input.world,
            run_input.arrivals_s,
        )
        self._pipeline, self._run_input, self._control, self._goal = pipeline, run_input, control, goal_of(policy)
        self._models = {model.name: model for model in run_input.models}
        self._planned = Planned(pipeline, self._goal)
        self._journal = LatestEntry(self._planned) if control.records == "none" else Journal()
        self._controller = Controller(pipeline, policy, self._journal)
        load = LoadView(arrivals_s, history_rps, control.history_s, world.duration_s, control.starts_s, control.outages)
        fields = {*control.fields, *reads(policy)}
        self._view = RunView(load, world.duration_s, pipeline.name, run_input.seed, control.limit_cores, fields)
        self._forecasts = _Forecasts(policy, load, control.interval_s, world.duration_s)
        self._sample = _sample(run_input) if control.records == "sample" else None
        # The engine keeps everything of a graph and of language models, whose requests finish when nobody knew before.
        self._is_whole = run_input.graph is not None or run_input.has_language_models or control.records == "all"
        is_kept = run_input.graph is None and control.records != "all"
        self._keeping = _Keeping(pipeline, run_input, self._sample) if is_kept else None
        self.time_s, self.is_over = 0.0, False
        self.engine: Engine | None = None
        if control.initial is None:
            self._opening = Opening(pipeline, self._view)
            self._backend: Backend = self._opening
        else:
            self._planned.stands(control.initial, 0.0)
            self._begin(control.initial)
            self._go_on()

    def wish(self) -> Entry:
        """What the policy decides now, if it may; call it once at each step."""
        self._forecasts.make(self.time_s)
        return self._controller.wish(self._backend.observe())

    def carry_out(self, wish: Entry, limits: Mapping[str, int] | None = None) -> Entry:
        """Carry out the wish, or what the policy decides within `limits`, as of `Controller.carry_out`."""
        return self._controller.carry_out(self._backend, wish, limits)

    def taken(self, resource: str, configuration: Configuration) -> int:
        """How much of a resource a configuration takes."""
        return sum(
            stage.replicas * self._models[name].taken(resource, stage.variant, stage.cores)
            for name, stage in configuration.items()
        )

    def advance(self) -> None:
        """Go on to the next step, or to the end."""
        if self.engine is None:
            self._begin(self._opening.configuration)
        self._go_on()

    def _begin(self, initial: Configuration) -> None:
        receive = None if self._is_whole or self._keeping is None else self._keeping.receive
        run = stepped(self._run_input, initial, self._view, self._control, receive=receive)
        self.engine, self._backend, self._steps, self._initial = run.engine, run.backend, run.steps(), initial

    def _go_on(self) -> None:
        time_s = next(self._steps, None)
        if time_s is None:
            self.is_over = True
        else:
            self.time_s = time_s

    def result(self) -> Simulated:
        """The results, once the run is over; its laws are checked."""
        engine, run_input, keeping = self.engine, self._run_input, self._keeping
        assert engine is not None
        counted = None
        if self._is_whole:
            run_records = collect_records(engine)
            laws.check(run_records, eager=run_input.world.dispatch == "eager", oldest_s=laws.oldest_s(run_input))
            totals = totals_of(self._pipeline, run_records, self._pipeline.sla_s)
            if keeping is not None:
                for handover in handovers(engine):
                    keeping.receive(handover)
                run_records, _, counted = keeping.results(engine)
            elif self._sample is not None:
                run_records, counted = sample_of(self._pipeline, run_records, run_input.world, self._sample, SLOWEST)
        else:
            assert keeping is not None
            run_records, totals, counted = keeping.results(engine)
        initial, planned, entries = self._initial, self._planned, self._journal.entries
        if self._control.records == "none":
            run_records = run_records if run_input.graph is None else records_of_none(engine)
            return Simulated(run_records, counted, totals, planned, (), initial, self._engine_name)
        planned = Planned.of(self._pipeline, initial, entries, self._goal)
        return Simulated(run_records, counted, totals, planned, entries, initial, self._engine_name)


class _Forecasts:
    """Computes the policy's forecasts for `STEPS_AHEAD` steps at once, if they depend on the load alone."""

    def __init__(self, policy: Policy, load: LoadView, interval_s: float, duration_s: float) -> None:
        self._compute = ahead_of(policy)
        self._load = load
        self._interval_s = interval_s
        self._duration_s = duration_s
        self._until_s = 0.0

    def make(self, now_s: float) -> None:
        """Compute the forecasts of this step and the next ones, unless that has been done."""
        if self._compute is None or now_s < self._until_s:
            return
        first = round(now_s / self._interval_s)
        moments_s = (step * self._interval_s for step in range(first, first + STEPS_AHEAD))
        self._until_s = (first + STEPS_AHEAD) * self._interval_s
        self._compute(self._load.look_ahead(takewhile(lambda time_s: time_s < self._duration_s, moments_s)))


class _Keeping:
    """Collects totals from a run that is handed over piece by piece and, with a sample, its records and counts."""

    def __init__(self, pipeline: Pipeline, run_input: RunInput, sample: IntArray | None) -> None:
        self._pipeline = pipeline
        world, arrivals_s = run_input.world, run_input.arrivals_s
        self._totalling = Totalling(pipeline, arrivals_s, world)
        self._sample = sample
        if sample is not None:
            names = tuple(run_input.names)
            self._counts = IntervalCounts(arrivals_s, names, world, pipeline.sla_s)
            self._sampling = Sampling(arrivals_s, len(names), world.hop_s, sample, SLOWEST)

    def receive(self, handover: Handover) -> None:
        completed = self._totalling.take(handover)
        if self._sample is not None:
            self._counts.take(handover, Completed.joined(completed))
            self._sampling.take(handover)

    def results(self, engine: Engine) -> tuple[records.Records, Totals, Counted | None]:
        if self._sample is None:
            run_records, counted = records.records_of_none(engine), None
        else:
            run_records, filled_s = self._sampling.records(engine)
            accuracy = served_accuracy(self._pipeline, run_records)
            spent_s = self._sampling.spent_s()
            counted = Counted(self._counts.intervals(), self._sample, accuracy, tuple(filled_s), spent_s)
        return run_records, self._totalling.totals(engine, run_records), counted


def _sample(run_input: RunInput) -> IntArray:
    """The numbers of the requests of a sample, in ascending order."""
    count = len(run_input.arrivals_s)
    draws = streams.stream(run_input.seed, "sample")
    return np.sort(draws.choice(count, min(SAMPLE, count), replace=False, shuffle=False))


@dataclass(frozen=True)
class Stepped:
    """A run at time 0 with a configuration ready; go through its `steps` once."""

    engine: Engine
    backend: ObservedBackend
    interval_s: float

    def steps(self) -> Iterator[float]:
        """The times [s] of the control steps, `interval_s` apart and before the end of the duration.

        At each of them, the caller can observe the backend and apply a configuration; after the last, the run ends.
        """
        duration_s = self.engine.world.duration_s
        moments = (step * self.interval_s for step in count(1))
        return self.engine.steps(takewhile(lambda time_s: time_s < duration_s, moments))


def stepped(
    run_input: RunInput,
    initial: Configuration,
    view: RunView,
    control: ControlSettings,
    *,
    receive: Callable[[Handover], object] | None = None,
) -> Stepped:
    """A run from `initial` on, whose control steps observe `view`.

    For `receive` see `create_engine`. Raises EngineError if the engine cannot run here.
    """
    built = engines.create_engine(engines.choose_engine(control.engine), run_input, initial, receive)
    backend: ObservedBackend = SimulatedBackend(built, view)
    if control.metrics_delay_s:
        stages = {name: view.nothing_counted(stage, {}) for name, stage in initial.items()}
        first = view.observation(0, 0.0, stages, elapsed_s=0.0, latency=view.no_latency)
        backend = LateMetrics(backend, control.metrics_delay_s, first)
    return Stepped(built, backend, control.interval_s)
