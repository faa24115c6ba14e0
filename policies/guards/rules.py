"""The rules that hold back changes of a stage, and their settings: wanted configuration, situation -> what it gets.

All compare configurations by the load they sustain: replicas x profiled throughput. So they work across variants and
batch sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ipa.policies import checks
from ipa.policies.interface import ReplicaCounts, StageConfiguration, StageObservation
from ipa.policies.optimiser import SLACK, replicas_for
from ipa.profiles import Stage


@dataclass(frozen=True)
class Steadiness:
    """The settings of `Steady`; the defaults guard nothing.

    `hysteresis`: a stage keeps its variant, batch size and replicas if the wanted configuration has the same variant
    and cores and sustains the same load within this share. `scale_down_window_s`: a stage sustains at least the most
    that was wanted within this many seconds. `max_step_up`, `max_step_down`: the most replicas that one decision adds
    to or removes from a stage; None: any number. `wait_for_starting`: no replicas are added while the ready and
    starting ones are enough. `variant_stays_s`: the least time for which a stage keeps a variant. `flap_budget`: the
    most changes of a stage within `flap_window_s`; None: any number.

    PolicyError: a value out of range.
    """

    hysteresis: float = 0.0
    scale_down_window_s: float = 0.0
    max_step_up: int | None = None
    max_step_down: int | None = None
    wait_for_starting: bool = False
    variant_stays_s: float = 0.0
    flap_budget: int | None = None
    flap_window_s: float = 600.0

    def __post_init__(self) -> None:
        checks.number("hysteresis", self.hysteresis, at_least=0, at_most=1)
        checks.number("scale_down_window_s", self.scale_down_window_s, at_least=0)
        checks.number("variant_stays_s", self.variant_stays_s, at_least=0)
        checks.number("flap_window_s", self.flap_window_s, above=0)
        checks.flag("wait_for_starting", self.wait_for_starting)
        for key in ("max_step_up", "max_step_down", "flap_budget"):
            if getattr(self, key) is not None:
                checks.integer(key, getattr(self, key))

    @property
    def is_on(self) -> bool:
        """Whether anything is guarded."""
        return self != Steadiness(flap_window_s=self.flap_window_s)


@dataclass(frozen=True, slots=True)
class Situation:
    """A stage at one decision.

    `now`: the present configuration. `wished`: the configurations wanted within the scale-down window, oldest first,
    including this decision's. `planned_rps`: the load that the profiled throughput must reach for the plan; None if the
    policy does not say. `expected_rps`: the forecast or, if higher, the recent load; None without either.
    `variant_for_s`: how long the present variant has been desired. `changes`: within the flap window.
    """

    stage: Stage
    observed: StageObservation
    wished: Sequence[StageConfiguration]
    planned_rps: float | None
    expected_rps: float | None
    variant_for_s: float
    changes: int

    @property
    def now(self) -> StageConfiguration:
        return self.observed.configuration

    @property
    def has_failed(self) -> bool:
        """Whether the present variant cannot serve."""
        return self.now.variant in self.observed.failed_variants

    def replica_rps(self, configuration: StageConfiguration) -> float:
        """What one replica sustains."""
        return self.stage.variant(configuration.variant).throughput_rps(configuration.batch, configuration.cores)

    def rps(self, configuration: StageConfiguration) -> float:
        """What all replicas sustain."""
        return configuration.replicas * self.replica_rps(configuration)

    def now_with(self, proposed: StageConfiguration) -> StageConfiguration:
        """The present variant and batch size, with the replicas that sustain what `proposed` needs to.

        That is the load it sustains, or less if the plan needs less: a replica of it may sustain another load than a
        present one.
        """
        needed_rps = self.rps(proposed)
        if self.planned_rps is not None and self.replica_rps(proposed) != self.replica_rps(self.now):
            needed_rps = min(needed_rps, self.planned_rps)
        return replace(self.now, replicas=replicas_for(needed_rps, self.replica_rps(self.now)))


Rule = Callable[[StageConfiguration, Situation, Steadiness], tuple[StageConfiguration, str]]
"""(wanted, situation, settings) -> what the stage gets, and why if that is something else."""


def hold_the_way_down(
    proposed: StageConfiguration, at: Situation, settings: Steadiness
) -> tuple[StageConfiguration, str]:
    """The configuration of the window that sustains most, the latest of equals (Kubernetes' stabilisation window)."""
    working = [wish for wish in at.wished if wish.variant not in at.observed.failed_variants] or [proposed]
    most = max(reversed(working), key=at.rps)
    if at.rps(most) <= at.rps(proposed) * (1 + SLACK):
        return proposed, ""
    return most, f"wanted within {settings.scale_down_window_s:g} s"


def keep_the_variant(
    proposed: StageConfiguration, at: Situation, settings: Steadiness
) -> tuple[StageConfiguration, str]:
    """The present variant for its time, with as many replicas as the plan needs of it."""
    if proposed.variant == at.now.variant or at.has_failed or at.variant_for_s >= settings.variant_stays_s:
        return proposed, ""
    return at.now_with(proposed), f"{at.now.variant} stays {settings.variant_stays_s:g} s, now {at.variant_for_s:g}"


def ignore_the_small(
    proposed: StageConfiguration, at: Situation, settings: Steadiness
) -> tuple[StageConfiguration, str]:
    """The present configuration, if the proposed one has the same variant and cores and sustains about as much."""
    same = (proposed.variant, proposed.cores) == (at.now.variant, at.now.cores)
    if not (settings.hysteresis and same and at.now.replicas) or proposed == at.now:
        return proposed, ""
    share = abs(at.rps(proposed) - at.rps(at.now)) / at.rps(at.now)
    if share > settings.hysteresis * (1 + SLACK):
        return proposed, ""
    return at.now, f"{100 * share:.3g} % is within {100 * settings.hysteresis:g} %"


def limit_the_step(proposed: StageConfiguration, at: Situation, settings: Steadiness) -> tuple[StageConfiguration, str]:
    """The replicas within the step of the present ones; of another variant, within that of as much throughput."""
    up, down, present = settings.max_step_up, settings.max_step_down, at.now.replicas
    if proposed.variant != at.now.variant:
        present = replicas_for(at.rps(at.now), at.replica_rps(proposed))
    if up is not None and proposed.replicas > present + up:
        return replace(proposed, replicas=present + up), f"at most {up} more"
    if down is not None and proposed.replicas < present - down:
        return replace(proposed, replicas=present - down), f"at most {down} fewer"
    return proposed, ""


def wait_for_the_starting(
    proposed: StageConfiguration, at: Situation, settings: Steadiness
) -> tuple[StageConfiguration, str]:
    """No further replicas of a variant while some are starting that, with the ready ones, sustain its expected load.

    After the pending guard of AIBrix (its issue 2670): metrics stay high until requested replicas are ready, and a
    policy that follows them requests more each time.
    """
    counts = at.observed.replicas.get(at.now.variant, ReplicaCounts())
    is_more = proposed.variant == at.now.variant and proposed.replicas > at.now.replicas
    if not (settings.wait_for_starting and is_more and counts.starting):
        return proposed, ""
    coming_rps = (counts.starting + counts.ready) * at.replica_rps(proposed)
    if at.expected_rps is not None and coming_rps < at.expected_rps * (1 - SLACK):
        return proposed, ""
    return replace(proposed, replicas=at.now.replicas), f"{counts.starting} are starting, which is enough"


def spend_no_more(proposed: StageConfiguration, at: Situation, settings: Steadiness) -> tuple[StageConfiguration, str]:
    """With the budget spent, only further replicas of the present variant if the plan needs them; they do not count."""
    is_spent = settings.flap_budget is not None and at.changes >= settings.flap_budget
    if not is_spent or proposed == at.now or at.has_failed:
        return proposed, ""
    replicas = max(at.now.replicas, at.now_with(proposed).replicas)
    return replace(at.now, replicas=replicas), f"{at.changes} changes in {settings.flap_window_s:g} s"


RULES: tuple[tuple[str, Rule], ...] = (
    ("scale-down window", hold_the_way_down),
    ("variant stays", keep_the_variant),
    ("hysteresis", ignore_the_small),
    ("step limit", limit_the_step),
    ("starting", wait_for_the_starting),
    ("flap budget", spend_no_more),
)
"""In the order of application, each on the result of the previous one."""
