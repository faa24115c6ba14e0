"""KEDA's activation: when a stage goes to no replica, and when it wakes.

Source: KEDA 2.19, pkg/scaling/executor/scale_scaledobjects.go. From one replica up, KEDA leaves the replicas to a
HorizontalPodAutoscaler. Every polling interval it looks at the same metric itself, which is *active* above the
activation threshold:

    active, no replica                              the fewest replicas that the autoscaler may have
    inactive, not active for the cooldown period    no replica
    otherwise                                       what the autoscaler has

The autoscaler does nothing while there is no replica. A stage that has never been active waits for the initial cooldown
period instead, from when it was put there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from ipa.policies.scaler import EPSILON, moment


@dataclass(frozen=True, slots=True)
class Activation:
    """When a stage is active, in units of the metric, and how often and how soon that has consequences [s]."""

    threshold: float
    polling_s: float
    cooldown_s: float
    initial_cooldown_s: float

    def begun_s(self, now_s: float) -> float:
        """When a stage that is put there now counts as last active."""
        return now_s + self.initial_cooldown_s - self.cooldown_s

    def polled_s(self, last_s: float, now_s: float) -> float:
        """The latest time to poll, up to now; the one before where none has come since."""
        last_s = moment(last_s, now_s)
        return last_s + floor((now_s - last_s) / self.polling_s + EPSILON) * self.polling_s

    def replicas(self, current: int, least: int, load: float, active_s: float, now_s: float) -> tuple[int, float]:
        """The replicas at a poll, of `current` ones, and when the stage was last active.

        `load`: the metric, of all replicas; NaN: unknown, which changes nothing. `active_s`: when it was last active.
        """
        if load != load:
            return current, active_s
        if load > self.threshold:
            return current or least, now_s
        active_s = min(active_s, now_s + self.initial_cooldown_s)  # a clock may restart
        return 0 if now_s - active_s > self.cooldown_s + EPSILON else current, active_s
