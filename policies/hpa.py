"""Kubernetes' HorizontalPodAutoscaler (HPA, autoscaling/v2), one for each stage.

Source: Kubernetes, "Horizontal Pod Autoscaling" (kubernetes.io) and pkg/controller/podautoscaler, with its defaults.
Every sync period (15 s), with U the mean of the metric over the replicas that have one:

    desired = ceil(replicas counted x U / target), or unchanged if |U / target - 1| <= tolerance (10 %)

*Replicas that are not ready* count only for scaling up, where starting ones count as 0. *Ready replicas without a
metric* count as 100 % for scaling down and as 0 for scaling up. If counting them brings the ratio within the tolerance
or reverses its direction, nothing changes. *Stabilisation*: scaling down goes no lower than any recommendation of the
last 300 s, of which the replicas at the start are the first. *Rate*: within 15 s at most 4 more replicas or 100 % more,
whichever is more; scaling down is not limited.

In place of the metrics server, `utilisation` is the stage's busy fraction since the last sync (a busy model server uses
all its cores). A replica that has become ready since then has no metric yet; in Kubernetes, too, a metric counts only
once its window lies entirely after the replica became ready. The controller's clock ticks every 15 s, and the first
control step at or after a tick is a sync; the steps between only measure. An interval that divides 15 s (5 or 15 s)
therefore gives the real period, and any other does on average: 10 s syncs at 20, 30, 50, 60 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, nan
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.interface import Memory, Observation
from ipa.policies.scaler import EPSILON, SCALER_PARAMETERS, Scaled, Scaler, Served, exists, recent_rps, within

if TYPE_CHECKING:
    from ipa.profiles import Pipeline

METRICS = ("utilisation", "concurrency", "rps")
UTILISATION = 0.8
"""The default target of `utilisation`, and of `rps` as a share of the profiled throughput."""
LIMIT_PERIOD_S = 15.0


class Hpa(Scaler):
    """The HorizontalPodAutoscaler at fixed variants and batches.

    `metric`: "utilisation"; or, both per ready replica, "concurrency" (requests queued and in service at the stage, the
    mean since the last sync) or "rps" (the load of the last sync period). `target`: the metric that a replica should
    have; None: 0.8 of the time for utilisation, the stage's batch for concurrency, 0.8 x the profiled throughput for
    rps. `tolerance`: nothing changes while the metric is within this share of the target. `sync_s`: the time between
    two syncs. `scale_down_window_s`: scaling down goes no lower than any recommendation of this window.
    `scale_up_pods`: the most replicas to add within 15 s. `scale_up_percent`: the same as a percentage; whichever is
    more counts. For other parameters see `Scaler`. Before
    anything runs there is no metric; the first decision carries the mean load of the last 10 s at the target.

    PolicyError: an impossible value.
    """

    further_parameters = SCALER_PARAMETERS

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        metric: str = "utilisation",
        target: float | None = None,
        tolerance: float = 0.1,
        sync_s: float = 15.0,
        scale_down_window_s: float = 300.0,
        scale_up_pods: int = 4,
        scale_up_percent: float = 100.0,
        **scaler: Any,
    ) -> None:
        checks.known("parameter", scaler, SCALER_PARAMETERS)
        super().__init__(pipeline, **scaler)
        self.metric = checks.choice("metric", metric, METRICS)
        most = 1 if metric == "utilisation" else None
        self.target = None if target is None else checks.number("target", target, above=0, at_most=most)
        self.tolerance = checks.number("tolerance", tolerance, at_least=0)
        self.sync_s = checks.number("sync_s", sync_s, above=0)
        self.scale_down_window_s = checks.number("scale_down_window_s", scale_down_window_s, at_least=0)
        self.scale_up_pods = checks.integer("scale_up_pods", scale_up_pods, at_least=0)
        self.scale_up_percent = checks.number("scale_up_percent", scale_up_percent, at_least=0)
        self.reads = {"utilisation": ("busy_fraction",), "concurrency": ("concurrency",)}.get(metric, ())
        self.share = self.target if metric == "utilisation" and self.target else UTILISATION

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
        was_ready, known = memory.get("ready", ready), memory.get("stages", {})
        replicas, remembered, notes = [], {}, []
        for stage in stages:
            recommended = self._recommended(observation, stage, was_ready[stage.name], measured[stage.name])
            history = known.get(stage.name) or _begun(now_s, stage.replicas)
            count, remembered[stage.name], why = self._paced(now_s, stage.replicas, recommended, history)
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
                value = stage.seen.busy_fraction
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
        if self.metric == "utilisation":
            missing = max(0, stage.ready - was_ready)
        else:
            load = mean if self.metric == "concurrency" else recent_rps(observation, max(1, round(self.sync_s)))
            mean = load / stage.ready if stage.ready else nan
        return recommendation(
            stage.replicas,
            stage.ready,
            stage.starting,
            missing,
            usage=mean,
            target=target,
            tolerance=self.tolerance,
        )

    def _target(self, stage: Served) -> float:
        if self.target is not None:
            return self.target
        defaults = {
            "utilisation": UTILISATION,
            "concurrency": float(stage.batch),
            "rps": UTILISATION * stage.throughput_rps,
        }
        return defaults[self.metric]

    def _paced(
        self, now_s: float, current: int, recommended: int, history: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any], str]:
        """The recommendation, stabilised and limited; the history with it; and what was changed."""
        recommendations = [*within(history["recommended"], now_s, self.scale_down_window_s), (now_s, recommended)]
        highest = max(count for _, count in recommendations)
        wanted = max(recommended, min(current, highest))
        added = within(history["added"], now_s, LIMIT_PERIOD_S)
        before = current - sum(count for _, count in added)
        most = max(before + self.scale_up_pods, ceil(before * (1 + self.scale_up_percent / 100) - EPSILON), current)
        count = self.bounded(min(wanted, most))
        if count > current:
            added = [*added, (now_s, count - current)]
        why = ""
        if wanted > recommended:
            why = f"recommended {recommended}, kept at {count} for {self.scale_down_window_s:g} s"
        elif count < wanted:
            why = f"recommended {wanted}, {count} at most for now"
        return count, {"recommended": recommendations, "added": added}, why


def recommendation(
    current: int,
    ready: int,
    starting: int,
    missing: int,
    *,
    usage: float,
    target: float,
    tolerance: float,
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
    if turned or abs(1 - all_ratio) <= tolerance + EPSILON:
        return current
    wanted = ceil(all_ratio * counted - EPSILON)
    if (missing or unready) and ((all_ratio < 1 and wanted > current) or (all_ratio > 1 and wanted < current)):
        return current
    return wanted


def _synced(now_s: float, tick_s: float, ready: Mapping[str, int], histories: Mapping[str, Any]) -> dict[str, Any]:
    """The memory after a sync."""
    return {"time_s": now_s, "tick_s": tick_s, "measured": {}, "ready": dict(ready), "stages": dict(histories)}


def _begun(now_s: float, replicas: int) -> dict[str, Any]:
    """The history of an autoscaler that starts now; its first recommendation is the replicas that it finds."""
    return {"recommended": [(now_s, replicas)], "added": []}
