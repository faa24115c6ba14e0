"""Ray Serve's autoscaler: replicas for the ongoing requests, once these have needed them for long enough.

Source: Ray Serve, "Ray Serve Autoscaling" and "Advanced Ray Serve Autoscaling" (docs.ray.io, Ray 2.32 and later), with
the defaults of `num_replicas="auto"`. For each stage, with the ongoing requests (queued and in service) averaged over
the look-back period (30 s), and R running replicas:

    desired = ceil(R + factor x (ongoing / target - R)),    target: ongoing requests per replica, 2; of a language
                                                            model, 16 (Ray Serve LLM, ray.serve.llm of Ray 2.43)

where the factor is that of scaling up or that of scaling down (1 each). A factor below 1 that would never take the last
step down takes it all the same. *Delay*: more replicas are set once each decision of 30 s has asked for more than are
set, fewer once each of 600 s has asked for fewer; then it is as many as the last one asks for. A decision that asks for
as many as are set, or for the other direction, starts the wait anew.

Departures: Ray decides every 0.1 s on metrics that are pushed every 10 s; here it is the control steps that decide, so
an interval of 10 s comes close. What is averaged over the look-back period is the concurrency between two steps. Ray
starts with one replica; here, as for the other autoscalers, a warm start has the replicas that the last 10 s of load
need: as many as carry it in batches of `target`. Left out is scaling to zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.interface import Memory, Observation
from ipa.policies.optimiser import replicas_for
from ipa.policies.scaler import (
    ABOVE_0,
    EPSILON,
    OPENING_S,
    Scaled,
    Scaler,
    Served,
    exists,
    mean_of,
    moment,
    recent_rps,
    within,
)

if TYPE_CHECKING:
    from ipa.profiles import Pipeline

TARGET, LANGUAGE_MODEL_TARGET = 2.0, 16.0
"""Ongoing requests per replica, unless said otherwise."""


class Ray(Scaler):
    """Ray Serve's autoscaler at fixed variants and batches; use it with an interval of 10 s.

    `target_ongoing_requests`: requests per replica, queued or in service; a number for all stages or stage -> number;
    None: 2, and 16 at stages of language models. `look_back_period_s`: how long they are averaged. `upscale_delay_s`:
    how long more replicas must have been asked for. `downscale_delay_s`: how long fewer must have been asked for.
    `upscaling_factor`: the share of the missing replicas that is added. `downscaling_factor`: the share of the
    superfluous replicas that is removed. For other parameters see `Scaler`.

    PolicyError: an impossible value.
    """

    reads = ("concurrency",)

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        target_ongoing_requests: float | Mapping[str, float] | None = None,
        look_back_period_s: float = 30.0,
        upscale_delay_s: float = 30.0,
        downscale_delay_s: float = 600.0,
        upscaling_factor: float = 1.0,
        downscaling_factor: float = 1.0,
        **scaler: Any,
    ) -> None:
        super().__init__(pipeline, **scaler)
        if target_ongoing_requests is None:
            by_stage = {stage.name: LANGUAGE_MODEL_TARGET if stage.tokens else TARGET for stage in pipeline.stages}
            target_ongoing_requests = by_stage if LANGUAGE_MODEL_TARGET in by_stage.values() else TARGET
        self.target_ongoing_requests = target_ongoing_requests
        self._targets = self.by_stage("target_ongoing_requests", target_ongoing_requests, ABOVE_0)
        self.look_back_period_s = checks.number("look_back_period_s", look_back_period_s, above=0)
        self.upscale_delay_s = checks.number("upscale_delay_s", upscale_delay_s, at_least=0)
        self.downscale_delay_s = checks.number("downscale_delay_s", downscale_delay_s, at_least=0)
        self.upscaling_factor = checks.number("upscaling_factor", upscaling_factor, above=0)
        self.downscaling_factor = checks.number("downscaling_factor", downscaling_factor, above=0)

    def scale(self, observation: Observation, memory: Memory, stages: Sequence[Served]) -> Scaled:
        """The replicas for this step.

        Memory: of each stage, the samples of its look-back period, the replicas set (the decision before may not be in
        force yet), and the wait: its direction and when it began.
        """
        if not exists(stages):
            load_rps = recent_rps(observation, OPENING_S)
            return Scaled([self._opening(stage, load_rps) for stage in stages], {})
        replicas, remembered, notes = [], {}, []
        for stage in stages:
            memory_of_stage = memory.get(stage.name) or {"samples": [], "replicas": stage.replicas, "wait": None}
            recorded = [*memory_of_stage["samples"], (observation.time_s, stage.concurrency)]
            samples = within(recorded, observation.time_s, self.look_back_period_s)
            replicas_wanted = stage.bounded(self._wanted(mean_of(samples) / self._targets[stage.name], stage.ready))
            count, wait = self._delayed(
                observation.time_s, memory_of_stage["replicas"], replicas_wanted, memory_of_stage["wait"]
            )
            replicas.append(count)
            remembered[stage.name] = {"samples": samples, "replicas": count, "wait": wait}
            notes += [f"{stage.name}: wants {replicas_wanted}, keeps {count} for now"] if wait else []
        return Scaled(replicas, remembered, notes=notes)

    def _opening(self, stage: Served, load_rps: float) -> int:
        batch = max(1, min(stage.batch, int(self._targets[stage.name])))
        return stage.bounded(replicas_for(load_rps * stage.factor, self._throughput_rps(stage.variant, batch)))

    def _wanted(self, needed: float, running: int) -> int:
        """The replicas to have where the requests need so many; with none running, all of them at once."""
        missing = needed - running
        factor = self.upscaling_factor if missing > 0 else self.downscaling_factor
        replicas = ceil(running + factor * missing - EPSILON) if running else ceil(needed - EPSILON)
        stuck = replicas == running > ceil(needed - EPSILON)
        return replicas - 1 if stuck else replicas

    def _delayed(
        self, now_s: float, current: int, replicas: int, wait: dict[str, Any] | None
    ) -> tuple[int, dict[str, Any] | None]:
        """The replicas to set, and the wait for a change from then on; None: there is none."""
        if replicas == current:
            return current, None
        is_up = replicas > current
        if wait is None or wait["up"] != is_up:
            wait = {"up": is_up, "since_s": now_s}
        since_s = moment(wait["since_s"], now_s)
        delay_s = self.upscale_delay_s if is_up else self.downscale_delay_s
        if now_s - since_s >= delay_s - EPSILON:
            return replicas, None
        return current, {"up": is_up, "since_s": since_s}
