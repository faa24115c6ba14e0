"""`ControlLoop`: the control loop of a scenario, one interval a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from ipa.policies import Configuration, Controller, Journal, Observation
from ipa.policies.optimiser import Programme
from ipa.sim import LoadView, Opening, Stepped, stepped
from ipa.studies.many.environment.encoding import LARGEST, Encoding, Vector
from ipa.studies.many.environment.reward import PENALTY, Violations
from ipa.studies.runs import Prepared, prepare
from ipa.studies.scenario import Scenario, Shared, world_of

ENVIRONMENT = "ipa/ControlLoop-v0"
"""The name under which Gymnasium knows it, once `make` or `make_vec` has been called."""

BATCHES = (1, 2, 4, 8)
MOST_REPLICAS = 8

_SEEDS = 2**31


class ControlLoop(gymnasium.Env[Vector, npt.NDArray[np.int64]]):
    """The control loop of a scenario. An action is the configuration from now on; see `Encoding` for both arrays.

    Each episode is a run of one of the `scenarios`, drawn at random, with a seed that is drawn too: `reset(seed=...)`
    decides both. It begins with what the scenario's own policy has ready at the start, and stands at the first control
    step. The reward of a step is that of its interval (`reward`), with `penalty` for violations. The episode is over,
    terminated, with the load; requests still under way then are run to their end, and count in the last step.

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
        """Begin an episode; the observation is that of the first control step."""
        super().reset(seed=seed)
        chosen = self._scenarios[int(self.np_random.integers(len(self._scenarios)))]
        drawn = int(self.np_random.integers(_SEEDS))
        self._begin(chosen.model_copy(update={"seed": drawn, "records": "all"}))
        next(self._steps, None)
        info, _ = self._interval(ended=False)
        return self.encoding.observation(self.seen), info

    def step(self, action: npt.NDArray[np.int64]) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """Put a configuration into effect and go on to the next control step, or to the end."""
        configuration = self.encoding.configuration(action, self._load_rps())
        return self.decide(configuration)

    def decide(self, configuration: Configuration) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """As `step`, with a configuration as policies decide it."""
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
        self._configuration = self._first(scenario, prepared, load)
        self._run: Stepped = stepped(
            pipeline.name,
            self._shared.models(scenario),
            world_of(scenario, trace.duration_s, prepared.sla_s),
            arrivals_s,
            load,
            self._configuration,
            scenario.seed,
            engine=scenario.engine,
            interval_s=scenario.interval_s,
            limit_cores=scenario.limit_cores,
        )
        self._steps: Iterator[float] = self._run.steps()
        self._violations = Violations(self._run.engine, prepared.sla_s)
        self._since_s = 0.0

    def _first(self, scenario: Scenario, prepared: Prepared, load: LoadView) -> Configuration:
        """What is ready at the start."""
        if prepared.initial is not None:
            return prepared.initial
        opening = Opening(
            prepared.pipeline, load, prepared.trace.duration_s, scenario.limit_cores, set(), scenario.seed
        )
        Controller(prepared.pipeline, prepared.policy, Journal()).step(opening)
        return opening.configuration

    def _interval(self, ended: bool) -> tuple[dict[str, Any], float]:
        """What has happened since the last control step, and what it is worth."""
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
        """The mean load of the last 10 seconds that were sampled."""
        recent = [value for value in self.seen.load_rps[-10:] if value == value]
        return sum(recent) / len(recent) if recent else 0.0


def make(scenarios: Scenario | Sequence[Scenario], **options: Any) -> gymnasium.Env[Any, Any]:
    """One environment, as `gymnasium.make` makes it; `options` as `ControlLoop` takes them."""
    return gymnasium.make(_registered(), scenarios=scenarios, **options)


def make_vec(
    scenarios: Scenario | Sequence[Scenario], count: int, *, mode: str = "sync", **options: Any
) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    """Several environments at once, as `gymnasium.make_vec` makes them; `mode`: "sync", or "async" (a process each)."""
    return gymnasium.make_vec(_registered(), num_envs=count, vectorization_mode=mode, scenarios=scenarios, **options)


def _registered() -> str:
    if ENVIRONMENT not in gymnasium.registry:
        made: Any = ControlLoop
        gymnasium.register(ENVIRONMENT, entry_point=made)
    return ENVIRONMENT
