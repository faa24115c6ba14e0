"""The rules that keep a stage steady: what is wanted of it, in its situation -> what it gets.

All compare configurations by what they sustain: replicas x profiled throughput. So they hold across variants and batch
sizes too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ipa.policies.guards.settings import Steadiness
from ipa.policies.interface import ReplicaCounts, StageConfiguration, StageObservation
from ipa.policies.optimiser import replicas_for
from ipa.profiles import Stage

SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Situation:
    """A stage at one decision.

    `now`: what is desired at present. `wished`: what was wanted within the scale-down window, oldest first, now
    included. `planned_rps`: the load that the profiled throughput must reach for the plan, None where the policy does
    not say; `expected_rps`: the forecast or, if more, the recent load, None without any. `variant_for_s`: how long the
    present variant has been desired. `changes`: within the flap window.
    """

    stage: Stage
    seen: StageObservation
    wished: Sequence[StageConfiguration]
    planned_rps: float | None
    expected_rps: float | None
    variant_for_s: float
    changes: int

    @property
    def now(self) -> StageConfiguration:
        return self.seen.configuration

    @property
    def has_failed(self) -> bool:
        """Whether the present variant cannot serve."""
        return self.now.variant in self.seen.failed_variants

    def replica_rps(self, of: StageConfiguration) -> float:
        """What one replica sustains."""
        return self.stage.variant(of.variant).throughput_rps(of.batch, of.cores)

    def rps(self, of: StageConfiguration) -> float:
        """What all replicas sustain."""
        return of.replicas * self.replica_rps(of)

    def now_with(self, wanted: StageConfiguration) -> StageConfiguration:
        """The present variant and batch size, with replicas for what is needed of `wanted`.

        That is what it sustains; where one replica of it sustains more or less than one of the present, the plan may
        need less.
        """
        needed_rps = self.rps(wanted)
        if self.planned_rps is not None and self.replica_rps(wanted) != self.replica_rps(self.now):
            needed_rps = min(needed_rps, self.planned_rps)
        return replace(self.now, replicas=replicas_for(needed_rps, self.replica_rps(self.now)))


Rule = Callable[[StageConfiguration, Situation, Steadiness], tuple[StageConfiguration, str]]
"""(wanted, situation, settings) -> what the stage gets, and why if that is something else."""


def hold_the_way_down(
    wanted: StageConfiguration, at: Situation, settings: Steadiness
) -> tuple[StageConfiguration, str]:
    """The wish of the window that sustains most, the latest among equals (Kubernetes' stabilisation window)."""
    working = [each for each in at.wished if each.variant not in at.seen.failed_variants] or [wanted]
    most = max(reversed(working), key=at.rps)
    if at.rps(most) <= at.rps(wanted) * (1 + SLACK):
        return wanted, ""
    return most, f"wanted within {settings.scale_down_window_s:g} s"


def keep_the_variant(wanted: StageConfiguration, at: Situation, settings: Steadiness) -> tuple[StageConfiguration, str]:
    """The present variant for its time, with as many replicas as the plan needs of it."""
    if wanted.variant == at.now.variant or at.has_failed or at.variant_for_s >= settings.variant_stays_s:
        return wanted, ""
    return at.now_with(wanted), f"{at.now.variant} stays {settings.variant_stays_s:g} s, now {at.variant_for_s:g}"


def ignore_the_small(wanted: StageConfiguration, at: Situation, settings: Steadiness) -> tuple[StageConfiguration, str]:
    """What is there, if what is wanted with the same variant and cores sustains about as much."""
    same = (wanted.variant, wanted.cores) == (at.now.variant, at.now.cores)
    if not settings.hysteresis or not same or wanted == at.now:
        return wanted, ""
    share = abs(at.rps(wanted) - at.rps(at.now)) / at.rps(at.now)
    if share > settings.hysteresis * (1 + SLACK):
        return wanted, ""
    return at.now, f"{100 * share:.3g} % is within {100 * settings.hysteresis:g} %"


def limit_the_step(wanted: StageConfiguration, at: Situation, settings: Steadiness) -> tuple[StageConfiguration, str]:
    """At most so many replicas more or fewer; of another variant, than sustain what is there."""
    same = wanted.variant == at.now.variant
    base = at.now.replicas if same else replicas_for(at.rps(at.now), at.replica_rps(wanted))
    if settings.max_step_up is not None and wanted.replicas > base + settings.max_step_up:
        return replace(wanted, replicas=base + settings.max_step_up), f"at most {settings.max_step_up} more"
    if settings.max_step_down is not None and wanted.replicas < base - settings.max_step_down:
        return replace(wanted, replicas=base - settings.max_step_down), f"at most {settings.max_step_down} fewer"
    return wanted, ""


def wait_for_the_starting(
    wanted: StageConfiguration, at: Situation, settings: Steadiness
) -> tuple[StageConfiguration, str]:
    """No further replicas while some start, and they and those that are ready sustain the expected load.

    After the pending guard of AIBrix (its issue 2670): metrics stay high until replicas that were asked for are ready,
    and a policy that goes by them asks for more each time.
    """
    counts = at.seen.replicas.get(at.now.variant, ReplicaCounts())
    is_more = wanted.variant == at.now.variant and wanted.replicas > at.now.replicas
    if not (settings.wait_for_starting and is_more and counts.starting):
        return wanted, ""
    coming = counts.starting + counts.ready
    if at.expected_rps is not None and coming * at.replica_rps(wanted) < at.expected_rps * (1 - SLACK):
        return wanted, ""
    return replace(wanted, replicas=at.now.replicas), f"{counts.starting} are starting, which is enough"


def spend_no_more(wanted: StageConfiguration, at: Situation, settings: Steadiness) -> tuple[StageConfiguration, str]:
    """With the budget spent only more replicas of what is there, if the plan needs them; these are not counted."""
    if settings.flap_budget is None or at.changes < settings.flap_budget or wanted == at.now or at.has_failed:
        return wanted, ""
    more = at.now_with(wanted)
    kept = more if more.replicas > at.now.replicas else at.now
    return kept, f"{at.changes} changes in {settings.flap_window_s:g} s"


RULES: tuple[tuple[str, Rule], ...] = (
    ("scale-down window", hold_the_way_down),
    ("variant stays", keep_the_variant),
    ("hysteresis", ignore_the_small),
    ("step limit", limit_the_step),
    ("starting", wait_for_the_starting),
    ("flap budget", spend_no_more),
)
"""In the order in which they are asked, each about the answer of the one before."""
