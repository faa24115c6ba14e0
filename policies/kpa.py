"""Knative's autoscaler (KPA): replicas for the concurrency of the last minute or, in a panic, of the last seconds.

Source: Knative Serving, pkg/autoscaler and "Additional autoscaling configuration" (knative.dev), with its defaults.
At every tick (2 s in Knative) and for each stage, with the concurrency averaged over the stable window (60 s) and over
the panic window (6 s), and R >= 1 ready replicas:

    desired = ceil(average concurrency / (target concurrency x utilisation)),
    kept within floor(R / max scale-down rate) and ceil(max scale-up rate x R)

A *panic* begins when the panic window wants at least 200 % of the ready replicas (before the bounds), and ends when it
has wanted less for a whole stable window. During a panic the replicas never fall: they are the most that either window
has wanted since it began. An autoscaler that starts with more than one ready replica starts in a panic, so that these
stay until there is a history.

Concurrency counts the requests queued and in service at a stage. Knative averages it over every second; here it is the
mean since the last control step. An interval of 2 s (the tick) gives 30 and 3 values in the two windows, 10 s only 6
and 1, so that a panic is found late and starts from a single value. With a *scale-down delay*, what is set is the most
that the decisions of that time have asked for. Left out are scaling to zero, the activator and its burst capacity, and
the activation scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.interface import Memory, Observation
from ipa.policies.scaler import (
    ABOVE_0,
    EPSILON,
    Scaled,
    Scaler,
    Served,
    exists,
    mean_of,
    moment,
    within,
)

if TYPE_CHECKING:
    from ipa.profiles import Pipeline


class Kpa(Scaler):
    """Knative's autoscaler at fixed variants and batches; use it with an interval of 2 s.

    `target_concurrency`: requests per replica, a number for all stages or stage -> number; None: the stage's batch,
    since a replica serves one batch at a time. `utilisation`: the share of it to aim at. `stable_window_s`: the window
    that sets the replicas. `panic_window_s`: the window that may start a panic. `panic_threshold`: a panic begins where
    the panic window asks for this many times the ready replicas. `max_scale_up_rate`: one decision sets at most this
    many times the ready replicas. `max_scale_down_rate`: one decision sets at least the ready replicas divided by this.
    `scale_down_delay_s`: the replicas are the most that any decision of this time has asked for. `max_replicas`: the
    most replicas of a stage; None: no bound. For other parameters see `Scaler`. Before anything runs, the first
    decision carries the mean load of the last 10 s with `utilisation` of the replicas' throughput.

    PolicyError: an impossible value.
    """

    reads = ("concurrency",)

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        target_concurrency: float | Mapping[str, float] | None = None,
        utilisation: float = 0.7,
        stable_window_s: float = 60.0,
        panic_window_s: float = 6.0,
        panic_threshold: float = 2.0,
        max_scale_up_rate: float = 1000.0,
        max_scale_down_rate: float = 2.0,
        scale_down_delay_s: float = 0.0,
        max_replicas: int | Mapping[str, int] | None = None,
        **scaler: Any,
    ) -> None:
        super().__init__(pipeline, max_replicas=max_replicas, **scaler)
        self.target_concurrency = target_concurrency
        self._targets = self.by_stage("target_concurrency", target_concurrency, ABOVE_0)
        self.utilisation = self.share = checks.number("utilisation", utilisation, above=0, at_most=1)
        self.stable_window_s = checks.number("stable_window_s", stable_window_s, above=0)
        self.panic_window_s = checks.number("panic_window_s", panic_window_s, above=0, at_most=self.stable_window_s)
        self.panic_threshold = checks.number("panic_threshold", panic_threshold, above=1)
        self.max_scale_up_rate = checks.number("max_scale_up_rate", max_scale_up_rate, above=1)
        self.max_scale_down_rate = checks.number("max_scale_down_rate", max_scale_down_rate, above=1)
        self.scale_down_delay_s = checks.number("scale_down_delay_s", scale_down_delay_s, at_least=0)

    def scale(self, observation: Observation, memory: Memory, stages: Sequence[Served]) -> Scaled:
        """The replicas for this tick.

        Memory: each stage's samples of the stable window, its panic or None and, with a delay, what was asked for.
        """
        if not exists(stages):
            replicas = self.opening(observation, stages)
            opening = zip(stages, replicas, strict=True)
            return Scaled(replicas, {s.name: _begun(observation.time_s, count) for s, count in opening})
        replicas, remembered = [], {}
        for stage in stages:
            memory_of_stage = memory.get(stage.name) or _begun(observation.time_s, stage.ready)
            count, remembered[stage.name] = self._tick(observation.time_s, memory_of_stage, stage)
            replicas.append(count)
        panics = {
            name: memory_of_stage["panic"] for name, memory_of_stage in remembered.items() if memory_of_stage["panic"]
        }
        notes = [f"{name}: panic, last exceeded at {panic['since_s']:g} s" for name, panic in panics.items()]
        return Scaled(replicas, remembered, notes=notes)

    def _tick(self, now_s: float, memory: Memory, stage: Served) -> tuple[int, Memory]:
        recorded = [*memory["samples"], (now_s, stage.concurrency)]
        samples = within(recorded, now_s, self.stable_window_s)
        ready = max(1, stage.ready)
        target = self.utilisation * self._targets.get(stage.name, stage.batch)
        stable, urgent = (
            ceil(mean_of(within(samples, now_s, window_s)) / target - EPSILON)
            for window_s in (self.stable_window_s, self.panic_window_s)
        )
        panic = self._panic(now_s, memory["panic"], urgent / ready >= self.panic_threshold)
        replicas = self._limited(stable, ready)
        if panic is not None:
            replicas = max(replicas, self._limited(urgent, ready), panic["most"])
            panic = {**panic, "most": replicas}
        if not self.scale_down_delay_s:
            return replicas, {"samples": samples, "panic": panic}
        asked_for = [*within(memory.get("asked_for", ()), now_s, self.scale_down_delay_s), (now_s, replicas)]
        most = max(count for _, count in asked_for)
        return most, {"samples": samples, "panic": panic, "asked_for": asked_for}

    def _panic(self, now_s: float, panic: dict[str, Any] | None, over: bool) -> dict[str, Any] | None:
        """The panic from now on: when the threshold was last exceeded, and the most replicas wanted in it."""
        if over:
            return {"since_s": now_s, "most": panic["most"] if panic else 0}
        if panic is None:
            return None
        since_s = moment(panic["since_s"], now_s)
        return None if now_s - since_s > self.stable_window_s else {**panic, "since_s": since_s}

    def _limited(self, replicas: int, ready: int) -> int:
        least, most = floor(ready / self.max_scale_down_rate), ceil(self.max_scale_up_rate * ready)
        return min(max(replicas, least), most)


def _begun(now_s: float, ready: int) -> dict[str, Any]:
    """The memory of an autoscaler that starts now."""
    return {"samples": [], "panic": {"since_s": now_s, "most": ready} if ready > 1 else None}
