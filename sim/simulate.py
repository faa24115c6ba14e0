"""One simulated run: an engine, a controller that steps at every interval, and what both leave behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile

from policies import (
    NO_LATENCY,
    Applied,
    Configuration,
    Controller,
    Entry,
    Journal,
    Observation,
    Policy,
    StageObservation,
    lightest_configuration,
    reads,
)
from profiles import Pipeline
from sim import engines, laws, records
from sim.cluster import LoadView, SimulatedCluster
from sim.model import FloatArray, StageModel, World


@dataclass(frozen=True, slots=True)
class Control:
    """How a run is controlled: a decision every `interval_s` on the load of the last `history_s` seconds.

    `initial` stands ready at the start; None: the policy decides at time 0 on the history, and that stands ready
    (warm).
    `fields` are costly observation fields to compute besides those that the policy reads. `engine` is one of
    `engines.ENGINES`.
    """

    interval_s: float = 10.0
    history_s: int = 120
    limit_cores: int | None = None
    initial: Configuration | None = None
    fields: tuple[str, ...] = ()
    engine: str = "auto"


@dataclass(frozen=True)
class Simulated:
    """What a run left behind: its records, its journal, what stood ready at the start, and which engine ran."""

    records: records.Records
    entries: Sequence[Entry]
    initial: Configuration
    engine: str


def simulate_policy(
    pipeline: Pipeline,
    policy: Policy,
    models: Sequence[StageModel],
    world: World,
    control: Control,
    arrivals_s: FloatArray,
    history_rps: FloatArray,
    seed: int,
) -> Simulated:
    """Run `policy` on the arrivals; shape of `arrivals_s`: (requests,), sorted, in [0, duration).

    Raises EngineError for an engine that cannot run here, PolicyError for a decision that cannot be carried out, and
    LawError should the run break a law of the model.
    """
    name = engines.choose(control.engine)
    journal = Journal()
    controller = Controller(pipeline, policy, journal)
    load = LoadView(arrivals_s, history_rps, control.history_s, world.duration_s)
    fields = {*control.fields, *reads(policy)}
    initial = control.initial
    if initial is None:
        opening = _Opening(pipeline, load, world.duration_s, control.limit_cores, fields, seed)
        controller.step(opening)
        initial = opening.configuration
    engine = engines.create(name, models, world, arrivals_s, initial, seed)
    cluster = SimulatedCluster(engine, load, pipeline.name, seed, control.limit_cores, fields)
    moments = (step * control.interval_s for step in count(1))
    engine.run(
        control_times_s=takewhile(lambda time_s: time_s < world.duration_s, moments),
        on_control=lambda: controller.step(cluster),
    )
    found = records.collect(engine)
    laws.check(found, eager=world.dispatch == "eager")
    return Simulated(found, journal.entries, initial, name)


class _Opening:
    """The backend of the decision before the first request: nothing runs yet, and what is decided stands ready."""

    def __init__(
        self,
        pipeline: Pipeline,
        load: LoadView,
        duration_s: float,
        limit_cores: int | None,
        fields: set[str],
        seed: int,
    ) -> None:
        self.configuration: Configuration = lightest_configuration(pipeline)
        future_rps = load.after(0.0, duration_s) if "future_rps" in fields else None
        self._observation = Observation(
            pipeline=pipeline.name,
            step=0,
            seed=seed,
            time_s=0.0,
            load_rps=load.before(0.0),
            sample_age_s=0.0,
            limit_cores=limit_cores,
            stages=self._idle_stages(fields),
            latency=NO_LATENCY if "latency" in fields else None,
            future_rps=future_rps,
        )

    def observe(self) -> Observation:
        return self._observation

    def apply(self, configuration: Configuration) -> Applied:
        self.configuration = configuration
        return Applied(accepted=True)

    def _idle_stages(self, fields: set[str]) -> Mapping[str, StageObservation]:
        return {
            name: StageObservation(
                configuration=wanted,
                arrivals=0,
                completions=0,
                drops=0,
                failures=0,
                queue_length=0,
                in_service=0,
                replicas={},
                busy_fraction=0.0 if "busy_fraction" in fields else None,
                latency=NO_LATENCY if "latency" in fields else None,
            )
            for name, wanted in self.configuration.items()
        }
