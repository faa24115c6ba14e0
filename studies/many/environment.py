"""The control loop as a Gymnasium environment: one step is one control interval, decided by the learning agent.

The reward of a step is the objective that IPA maximises, less a penalty for violations of the SLA:

    reward = objective(configuration) - PENALTY x violations / arrivals

The objective is alpha x accuracy - beta x cores - gamma x batch sizes of the configuration in force, with the
pipeline's own weights; violations and arrivals are those of the step. A violation is a request whose latency exceeds
the SLA, or that is dropped; it counts in the step in which it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from ipa.policies import Configuration, Controller, Journal, Observation, StageConfiguration
from ipa.policies.optimiser import Programme
from ipa.profiles import Pipeline
from ipa.sim import (
    ControlSettings,
    Engine,
    GraphEngine,
    LoadView,
    MeasuringItems,
    Opening,
    RunInput,
    RunView,
    Stepped,
    has_items,
    stepped,
)
from ipa.studies.runs import Prepared, prepare
from ipa.studies.scenario import Scenario, Shared, token_columns_of, world_of

Vector = npt.NDArray[np.float32]

WINDOWS = 6
WINDOW_S = 10
"""An observation holds the mean load of the last windows, newest last."""

OF_STAGE = 6
"""Numbers of a stage: queue, in service, ready and starting replicas, desired replicas, total desired cores."""

LARGEST = 1e6
"""The largest number of an observation."""

LONGEST_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Encoding:
    """The encoding of a pipeline's observations and configurations as arrays.

    An observation is `WINDOWS` loads [rps], then `OF_STAGE` numbers of each stage, then for each stage one-hot vectors
    of its desired variant and batch size. An action is three whole numbers for each stage: variant, batch size (index
    in `batches`) and replicas less one, up to `most_replicas`.
    """

    pipeline: Pipeline
    batches: tuple[int, ...]
    most_replicas: int

    @property
    def action_sizes(self) -> list[int]:
        """The number of values of each component of an action."""
        return [
            size
            for stage in self.pipeline.stages
            for size in (len(stage.variants), len(self.batches), self.most_replicas)
        ]

    @property
    def observation_size(self) -> int:
        """The number of components of an observation."""
        names = sum(len(stage.variants) + len(self.batches) for stage in self.pipeline.stages)
        return WINDOWS + OF_STAGE * len(self.pipeline.stages) + names

    def observation(self, observed: Observation) -> Vector:
        """An observation as an array, shape (observation_size,); seconds without a sample count as no load."""
        loads = np.nan_to_num(np.array(observed.load_rps[-WINDOWS * WINDOW_S :], dtype=np.float64))
        loads = np.concatenate([np.zeros(WINDOWS * WINDOW_S - len(loads)), loads]).reshape(WINDOWS, WINDOW_S)
        numbers: list[float] = loads.mean(axis=1).tolist()
        for stage in self.pipeline.stages:
            at = observed.stages[stage.name]
            ready = sum(counts.ready for counts in at.replicas.values())
            starting = sum(counts.starting for counts in at.replicas.values())
            desired = at.configuration
            numbers += [at.queue_length, at.in_service, ready, starting, desired.replicas, desired.total_cores]
        for stage in self.pipeline.stages:
            desired = observed.stages[stage.name].configuration
            numbers += [float(variant.name == desired.variant) for variant in stage.variants]
            numbers += [float(batch == desired.batch) for batch in self.batches]
        array: Vector = np.minimum(np.array(numbers), LARGEST).astype(np.float32)
        return array

    def configuration(self, action: Sequence[int] | npt.NDArray[np.integer], load_rps: float) -> Configuration:
        """The configuration of an action; the batch timeout is the time to fill a batch at this load, at most 1 s."""
        chosen = {}
        for place, stage in enumerate(self.pipeline.stages):
            variant = stage.variants[int(action[3 * place])]
            batch = self.batches[int(action[3 * place + 1])]
            replicas = int(action[3 * place + 2]) + 1
            fill_s = (batch - 1) / load_rps if load_rps > 0 else LONGEST_TIMEOUT_S
            chosen[stage.name] = StageConfiguration(
                variant.name, batch, replicas, min(fill_s, LONGEST_TIMEOUT_S), variant.base_cores
            )
        return chosen


PENALTY = 10.0
"""The penalty of a step in which as many requests violate the SLA as arrive."""


class Violations:
    """Counts violations while an engine runs."""

    def __init__(self, engine: Engine, sla_s: float) -> None:
        self._engine = engine
        self._sla_s = sla_s
        self._batches = 0
        self._dropped = 0
        self._late_s = np.empty(0)

    def step(self, now_s: float) -> int:
        """How many requests have violated the SLA since the last call."""
        last = self._engine.stages[-1]
        fresh = last.batch_log(self._batches)
        self._batches += len(fresh.size)
        finish_s = np.repeat(fresh.finish_s, fresh.size)
        is_late = finish_s - self._engine.arrivals_s[fresh.requests] > self._sla_s
        # The log has a batch from its start on; it may finish later.
        late_s = np.concatenate([self._late_s, finish_s[is_late]])
        self._late_s = late_s[late_s > now_s]
        dropped = sum(stage.dropped for stage in self._engine.stages)
        violations = len(late_s) - len(self._late_s) + dropped - self._dropped
        self._dropped = dropped
        return violations

    def unfinished(self) -> int:
        """How many requests are unfinished at the end of the run."""
        stages = self._engine.stages
        return len(self._engine.arrivals_s) - stages[-1].completions - sum(stage.dropped for stage in stages)


class ItemViolations:
    """As `Violations`, where the stages form a graph and a request ends with the last of its items."""

    def __init__(self, engine: GraphEngine, sla_s: float) -> None:
        self._engine = engine
        self._measuring = MeasuringItems(engine)
        self._sla_s = sla_s
        self._violations = 0

    def step(self, now_s: float) -> int:
        self._measuring.step(min(now_s, self._engine.end_s))
        before, (_, self._violations) = self._violations, self._measuring.ended(self._sla_s)
        return self._violations - before

    def unfinished(self) -> int:
        return len(self._engine.arrivals_s) - self._measuring.ended(self._sla_s)[0]


def _violations(engine: Engine, sla_s: float) -> Violations | ItemViolations:
    return ItemViolations(engine, sla_s) if has_items(engine) else Violations(engine, sla_s)


ENVIRONMENT = "ipa/ControlLoop-v0"
"""Its name in Gymnasium's registry, from the first call of `make` or `make_vec` on."""

BATCHES = (1, 2, 4, 8)
MOST_REPLICAS = 8

_SEEDS = 2**31


class ControlLoop(gymnasium.Env[Vector, npt.NDArray[np.int64]]):
    """The control loop of a scenario. An action is the configuration from now on; see `Encoding` for both arrays.

    Each episode is a run of one of the `scenarios` with a seed, both drawn at random: `reset(seed=...)` determines
    them. It begins with the configuration that the scenario's own policy makes ready, at the first control step. The
    reward of a step is that of its interval, with `penalty` for violations. The episode terminates with the load;
    unfinished requests are then run to their end and count in the last step.

    `info`: `time_s`, and of the interval `arrivals`, `violations`, and, of the configuration, `cores` and `pas` (0 to
    1). `seen` is the last observation as policies see it. Raises as `prepare`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012, as Gymnasium has it

    def __init__(
        self,
        scenarios: Scenario | Sequence[Scenario],
        *,
        batches: Sequence[int] = BATCHES,
        most_replicas: int = MOST_REPLICAS,
        penalty: float = PENALTY,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = render_mode
        self._scenarios = (scenarios,) if isinstance(scenarios, Scenario) else tuple(scenarios)
        self._shared = Shared()
        pipeline = prepare(self._scenarios[0], self._shared).pipeline
        self.encoding = Encoding(pipeline, tuple(batches), most_replicas)
        self._programme = Programme.of(pipeline)
        self._penalty = penalty
        self.action_space = gymnasium.spaces.MultiDiscrete(self.encoding.action_sizes)
        self.observation_space = gymnasium.spaces.Box(0.0, LARGEST, (self.encoding.observation_size,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Vector, dict[str, Any]]:
        """Begin an episode; returns the observation of the first control step."""
        super().reset(seed=seed)
        chosen = self._scenarios[int(self.np_random.integers(len(self._scenarios)))]
        drawn = int(self.np_random.integers(_SEEDS))
        self._begin(chosen.model_copy(update={"seed": drawn, "records": "all"}))
        next(self._steps, None)
        info, _ = self._interval(ended=False)
        return self.encoding.observation(self.seen), info

    def step(self, action: npt.NDArray[np.int64]) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """Apply a configuration and go on to the next control step, or to the end."""
        configuration = self.encoding.configuration(action, self._load_rps())
        return self.decide(configuration)

    def decide(self, configuration: Configuration) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """As `step`, with a configuration in place of an action."""
        self._run.backend.apply(configuration)
        self._configuration = configuration
        ended = next(self._steps, None) is None
        info, reward = self._interval(ended)
        return self.encoding.observation(self.seen), reward, ended, False, info

    def _begin(self, scenario: Scenario) -> None:
        prepared = prepare(scenario, self._shared)
        pipeline, trace = prepared.pipeline, prepared.trace
        arrivals_s = self._shared.arrivals(scenario, trace)
        load = LoadView(
            arrivals_s,
            trace.history_counts,
            scenario.history_s,
            trace.duration_s,
            trace.starts_s,
            scenario.outages or (),
        )
        view = RunView(load, trace.duration_s, pipeline.name, scenario.seed, scenario.limit_cores, fields=())
        self._configuration = self._first(prepared, view)
        self._run: Stepped = stepped(
            RunInput(
                self._shared.models(scenario),
                world_of(scenario, trace.duration_s, prepared.sla_s),
                arrivals_s,
                scenario.seed,
                pipeline.graph,
                token_columns_of(scenario, pipeline, trace),
            ),
            self._configuration,
            view,
            ControlSettings(scenario.interval_s, engine=scenario.engine, metrics_delay_s=scenario.metrics_delay_s),
        )
        self._steps: Iterator[float] = self._run.steps()
        self._violations = _violations(self._run.engine, prepared.sla_s)
        self._since_s = 0.0

    def _first(self, prepared: Prepared, view: RunView) -> Configuration:
        """The configuration that is ready at the start."""
        if prepared.initial is not None:
            return prepared.initial
        opening = Opening(prepared.pipeline, view)
        Controller(prepared.pipeline, prepared.policy, Journal()).step(opening)
        return opening.configuration

    def _interval(self, ended: bool) -> tuple[dict[str, Any], float]:
        """The `info` of the interval since the last control step, and its reward."""
        engine = self._run.engine
        now_s = engine.end_s if ended else engine.now_s
        if not ended:
            self.seen: Observation = self._run.backend.observe()
        violations = self._violations.step(inf if ended else now_s)
        if ended:
            violations += self._violations.unfinished()
        since, until = engine.arrivals_s.searchsorted((self._since_s, now_s)).tolist()
        parts = self._programme.score(self._configuration)
        reward = parts["total"] - self._penalty * violations / max(1, until - since)
        self._since_s = now_s
        info = {
            "time_s": float(now_s),
            "arrivals": until - since,
            "violations": violations,
            "cores": float(parts["cost_cores"]),
            "pas": float(parts["pas"]),
        }
        return info, float(reward)

    def _load_rps(self) -> float:
        """The mean load of the last 10 seconds, without those that have no sample."""
        recent = [value for value in self.seen.load_rps[-10:] if value == value]
        return sum(recent) / len(recent) if recent else 0.0


def make(scenarios: Scenario | Sequence[Scenario], **options: Any) -> gymnasium.Env[Any, Any]:
    """One environment, made by `gymnasium.make`; `options` as for `ControlLoop`."""
    return gymnasium.make(_registered(), scenarios=scenarios, **options)


def make_vec(
    scenarios: Scenario | Sequence[Scenario], count: int, *, mode: str = "sync", **options: Any
) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    """Several environments, made by `gymnasium.make_vec`; `mode`: "sync", or "async" (a process for each)."""
    return gymnasium.make_vec(_registered(), num_envs=count, vectorization_mode=mode, scenarios=scenarios, **options)


def _registered() -> str:
    if ENVIRONMENT not in gymnasium.registry:
        entry_point: Any = ControlLoop
        gymnasium.register(ENVIRONMENT, entry_point=entry_point)
    return ENVIRONMENT
