"""Kubernetes' HorizontalPodAutoscaler (HPA, autoscaling/v2), one for each stage.

Source: Kubernetes, "Horizontal Pod Autoscaling" (kubernetes.io) and pkg/controller/podautoscaler, with its defaults.
Every sync period (15 s), with U the mean of the metric over the replicas that have one:

    desired = ceil(replicas counted x U / target), or unchanged if |U / target - 1| <= tolerance (10 %)

*Replicas that are not ready* count only for scaling up, where starting ones count as 0. *Ready replicas without a
metric* count as 100 % for scaling down and as 0 for scaling up. If counting them brings the ratio within the tolerance
or reverses its direction, nothing changes. *Stabilisation*: scaling down goes no lower than any recommendation of the
last 300 s, of which the replicas at the start are the first. *Rate*: within 15 s at most 4 more replicas or 100 % more,
whichever is more; scaling down is not limited. `ipa.policies.scaling_rules` says what else the two directions may have.

An *external* metric is one number for all replicas, as KEDA's are, and no replica is looked at:

    desired = ceil(metric / target), or unchanged if |metric / (target x existing replicas) - 1| <= tolerance

In place of the metrics server, `utilisation` is the stage's busy fraction since the last sync (a busy model server uses
all its cores). A replica that has become ready since then has no metric yet; in Kubernetes, too, a metric counts only
once its window lies entirely after the replica became ready. The controller's clock ticks every 15 s, and the first
control step at or after a tick is a sync; the steps between only measure. An interval that divides 15 s (5 or 15 s)
therefore gives the real period, and any other does on average: 10 s syncs at 20, 30, 50, 60 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, floor, nan
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.interface import Memory, Observation, PolicyError
from ipa.policies.scaler import ABOVE_0, EPSILON, Scaled, Scaler, Served, exists, recent_rps, within
from ipa.policies.scaling_rules import (
    DOWN,
    LONGEST_WINDOW_S,
    SELECTS,
    UP,
    Pace,
    allowed,
    parse_rules,
    remembered,
    stabilised,
)

if TYPE_CHECKING:
    from ipa.profiles import Pipeline

METRICS = ("utilisation", "concurrency", "rps")
UTILISATION = 0.8
"""The default target of `utilisation`, and of `rps` as a share of the profiled throughput."""


class Hpa(Scaler):
    """The HorizontalPodAutoscaler at fixed variants and batches.

    `metric`: "utilisation"; or, both per ready replica, "concurrency" (requests queued and in service at the stage, the
    mean since the last sync) or "rps" (the load of the last sync period). `target`: the metric that a replica should
    have, a number for all stages or stage -> number; None: 0.8 of the time for utilisation, the stage's batch for
    concurrency, 0.8 x the profiled throughput for rps. `external`: the metric is one number for all replicas, as KEDA's
    are; not for utilisation. `tolerance`: nothing changes while the metric is within this share of the target.
    `scale_up_tolerance`: the share for a metric above the target; None: as `tolerance`. `scale_down_tolerance`: that
    for one below. `sync_s`: the time between two syncs. `scale_up_window_s`: scaling up goes no higher than any
    recommendation of this window. `scale_down_window_s`: scaling down goes no lower than any of this one.
    `scale_up_rules`: by how much the replicas may grow within a period, a list such as
    [{pods: 4, period_s: 15}, {percent: 100, period_s: 15}], which is what None means. `scale_down_rules`: by how much
    they may shrink; None: [{percent: 100, period_s: 15}]. `scale_up_select`: which of the rules holds, the one that
    allows the `max` or the `min`; or `disabled`. `scale_down_select`: likewise. `max_replicas`: the most replicas of a
    stage; None: no bound. For other parameters see `Scaler`. Before anything runs there is no metric; the first
    decision carries the mean load of the last 10 s at the target.

    PolicyError: an impossible value.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        metric: str = "utilisation",
        target: float | Mapping[str, float] | None = None,
        external: bool = False,
        tolerance: float = 0.1,
        scale_up_tolerance: float | None = None,
        scale_down_tolerance: float | None = None,
        sync_s: float = 15.0,
        scale_up_window_s: float = 0.0,
        scale_down_window_s: float = 300.0,
        scale_up_rules: Sequence[Mapping[str, float]] | None = None,
        scale_down_rules: Sequence[Mapping[str, float]] | None = None,
        scale_up_select: str = "max",
        scale_down_select: str = "max",
        max_replicas: int | Mapping[str, int] | None = None,
        **scaler: Any,
    ) -> None:
        super().__init__(pipeline, max_replicas=max_replicas, **scaler)
        self.metric = checks.choice("metric", metric, METRICS)
        most = 1 if metric == "utilisation" else None
        self.target, self._targets = target, self.by_stage("target", target, partial(ABOVE_0, at_most=most))
        self.external = checks.flag("external", external)
        if external and metric == "utilisation":
            raise PolicyError("external=True: a utilisation is each replica's own; allowed with concurrency and rps")
        self.tolerance = checks.number("tolerance", tolerance, at_least=0)
        self.scale_up_tolerance = self._tolerance("scale_up_tolerance", scale_up_tolerance)
        self.scale_down_tolerance = self._tolerance("scale_down_tolerance", scale_down_tolerance)
        self.sync_s = checks.number("sync_s", sync_s, above=0)
        self.scale_up_window_s = checks.number(
            "scale_up_window_s", scale_up_window_s, at_least=0, at_most=LONGEST_WINDOW_S
        )
        self.scale_down_window_s = checks.number(
            "scale_down_window_s", scale_down_window_s, at_least=0, at_most=LONGEST_WINDOW_S
        )
        up, down = (
            parse_rules("scale_up_rules", scale_up_rules, UP),
            parse_rules("scale_down_rules", scale_down_rules, DOWN),
        )
        self.scale_up_rules, self.scale_down_rules = ([rule.as_given() for rule in rules] for rules in (up, down))
        self.scale_up_select = checks.choice("scale_up_select", scale_up_select, SELECTS)
        self.scale_down_select = checks.choice("scale_down_select", scale_down_select, SELECTS)
        self._up = Pace(self.scale_up_window_s, up, scale_up_select)
        self._down = Pace(self.scale_down_window_s, down, scale_down_select)
        self.reads = {"utilisation": ("busy_fraction",), "concurrency": ("concurrency",)}.get(metric, ())
        self.share = min(self._targets.values()) if metric == "utilisation" and self._targets else UTILISATION

    def _tolerance(self, key: str, value: float | None) -> float | None:
        return None if value is None else checks.number(key, value, at_least=0)

    def scale(self, observation: Observation, memory: Memory, stages: Sequence[Served]) -> Scaled:
        """The replicas for this step.

        Memory: the times of the last step and the last tick, the ready replicas at the last sync and, for each stage,
        what has been measured since (the metric's integral and its seconds), the recommendations, and the replicas
        added, each as [time, number].
        """
        now_s = observation.time_s
        if not exists(stages):
            replicas = self.opening(observation, stages)
            opening = {stage.name: count for stage, count in zip(stages, replicas, strict=True)}
            histories = {name: _begun(now_s, count) for name, count in opening.items()}
            return Scaled(replicas, _synced(now_s, now_s, opening, histories))
        measured = self._measured(now_s - memory.get("time_s", now_s), memory.get("measured", {}), stages)
        tick_s = memory.get("tick_s", now_s - self.sync_s)
        ticks = floor((now_s - tick_s) / self.sync_s + EPSILON)
        if ticks == 0:
            return Scaled([stage.replicas for stage in stages], {**memory, "time_s": now_s, "measured": measured})
        ready = {stage.name: stage.ready for stage in stages}
        was_ready, earlier_histories = memory.get("ready", ready), memory.get("stages", {})
        replicas, remembered, notes = [], {}, []
        for stage in stages:
            history = earlier_histories.get(stage.name) or _begun(now_s, stage.replicas)
            recommended = self._recommended(observation, stage, was_ready[stage.name], measured[stage.name])
            count, remembered[stage.name], why = self._paced(now_s, stage, recommended, history)
            replicas.append(count)
            notes += [f"{stage.name}: {why}"] if why else []
        return Scaled(replicas, _synced(now_s, tick_s + ticks * self.sync_s, ready, remembered), notes=notes)

    def _measured(self, since_s: float, before: Mapping[str, Any], stages: Sequence[Served]) -> dict[str, Any]:
        """For each stage, the integral of the metric since the last sync and the seconds that it covers."""
        measured = {}
        for stage in stages:
            total, seconds = before.get(stage.name, (0.0, 0.0))
            value: float | None = stage.concurrency
            if self.metric == "utilisation":
                value = stage.observed.busy_fraction
            weight = since_s if since_s > 0 else 1.0  # the very first step
            if value is not None and value == value:
                total, seconds = total + value * weight, seconds + weight
            measured[stage.name] = (total, seconds)
        return measured

    def _recommended(
        self, observation: Observation, stage: Served, was_ready: int, measured: tuple[float, float]
    ) -> int:
        """The replicas that the metric asks for."""
        total, seconds = measured
        mean, missing, target = total / seconds if seconds else nan, 0, self._target(stage)
        tolerances = Tolerances(
            self.tolerance if self.scale_up_tolerance is None else self.scale_up_tolerance,
            self.tolerance if self.scale_down_tolerance is None else self.scale_down_tolerance,
        )
        if self.metric == "utilisation":
            missing = max(0, stage.ready - was_ready)
        else:
            load = mean
            if self.metric == "rps":
                load = self._load_rps(observation, stage)
            if self.external:
                existing = stage.ready + stage.starting
                return of_external(stage.replicas, existing, load=load, target=target, tolerances=tolerances)
            mean = load / stage.ready if stage.ready else nan
        return recommendation(
            stage.replicas,
            stage.ready,
            stage.starting,
            missing,
            usage=mean,
            target=target,
            tolerances=tolerances,
        )

    def _load_rps(self, observation: Observation, stage: Served) -> float:
        return stage.factor * recent_rps(observation, max(1, round(self.sync_s)))

    def _target(self, stage: Served) -> float:
        if self._targets:
            return self._targets[stage.name]
        defaults = {
            "utilisation": UTILISATION,
            "concurrency": float(stage.batch),
            "rps": UTILISATION * stage.throughput_rps * stage.factor,
        }
        return defaults[self.metric]

    def _paced(
        self, now_s: float, stage: Served, recommended: int, history: Mapping[str, Any]
    ) -> tuple[int, Mapping[str, Any], str]:
        """The recommendation, stabilised and limited; the history with it; and what was changed."""
        current = stage.replicas
        up, down = self._up, self._down
        earlier = within(history["recommended"], now_s, max(up.window_s, down.window_s))
        stable = stabilised(current, recommended, earlier, now_s, up, down)
        count = stage.bounded(allowed(current, stable, history["changes"], now_s, up, down))
        why = ""
        if stable > recommended:
            why = f"recommended {recommended}, kept at {count} for {down.window_s:g} s"
        elif stable < recommended:
            why = f"recommended {recommended}, kept at {count} for {up.window_s:g} s"
        elif count != stable:
            why = f"recommended {stable}, {count} at {'most' if count < stable else 'least'} for now"
        history = {
            "recommended": [*earlier, (now_s, recommended)],
            "changes": remembered(history["changes"], now_s, count - current, up, down),
        }
        return count, history, why


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far the metric may be above and below its target, as shares, so that nothing changes."""

    up: float
    down: float

    def cover(self, ratio: float) -> bool:
        """Whether a ratio of metric and target is near enough to 1."""
        return 1.0 - self.down - EPSILON <= ratio <= 1.0 + self.up + EPSILON


def recommendation(
    current: int,
    ready: int,
    starting: int,
    missing: int,
    *,
    usage: float,
    target: float,
    tolerances: Tolerances,
) -> int:
    """The replicas that the metric asks for.

    `usage`: the mean over the ready replicas that have a metric. `missing`: how many ready ones have none, which count
    as 1 for scaling down (only with utilisation). If no ready replica has a metric, or `usage` is NaN: `current`.
    """
    measured = ready - missing
    if measured <= 0 or usage != usage:
        return current
    ratio = usage / target
    unready = starting if ratio > 1 else 0
    counted = ready + unready
    filled = missing if ratio < 1 else 0
    all_ratio = (usage * measured + filled) / counted / target
    turned = (ratio < 1 < all_ratio) or (all_ratio < 1 < ratio)
    if turned or tolerances.cover(all_ratio):
        return current
    replicas = ceil(all_ratio * counted - EPSILON)
    if (missing or unready) and ((all_ratio < 1 and replicas > current) or (all_ratio > 1 and replicas < current)):
        return current
    return replicas


def of_external(current: int, existing: int, *, load: float, target: float, tolerances: Tolerances) -> int:
    """The replicas that a metric of all of them asks for; `current` where it is within the tolerance or NaN."""
    if load != load or (existing and tolerances.cover(load / (target * existing))):
        return current
    return ceil(load / target - EPSILON)


def _synced(now_s: float, tick_s: float, ready: Mapping[str, int], histories: Mapping[str, Any]) -> dict[str, Any]:
    """The memory after a sync."""
    return {"time_s": now_s, "tick_s": tick_s, "measured": {}, "ready": dict(ready), "stages": dict(histories)}


def _begun(now_s: float, replicas: int) -> dict[str, Any]:
    """The history of an autoscaler that starts now; its first recommendation is the replicas that it finds."""
    return {"recommended": [(now_s, replicas)], "changes": []}
