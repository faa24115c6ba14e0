"""Steady: a guard that holds back a policy's changes, stage by stage, by a table of rules with a memory.

All rules compare configurations by the load they sustain: replicas x profiled throughput. So they work across variants
and batch sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from ipa.policies import checks
from ipa.policies.configurations import factors_of
from ipa.policies.guards.bounds import Guard, recent_rps, sustained_rps
from ipa.policies.interface import (
    Decision,
    Memory,
    Observation,
    PolicyError,
    ReplicaCounts,
    StageConfiguration,
    StageObservation,
)
from ipa.policies.optimiser import SLACK, replicas_for
from ipa.profiles import Stage

KEY = "guards"
"""Key of the guard's memory, beside the policy's own."""


@dataclass(frozen=True)
class Steadiness:
    """The settings of `Steady`; the defaults guard nothing.

    `hysteresis`: a stage keeps its variant, batch size and replicas if the wanted configuration has the same variant
    and cores and sustains the same load within this share. `scale_down_window_s`: a stage sustains at least the most
    that was wanted within this many seconds. `max_step_up`, `max_step_down`: the most replicas that one decision adds
    to or removes from a stage; None: any number. `wait_for_starting`: no replicas are added while the ready and
    starting ones are enough. `variant_stays_s`: the least time for which a stage keeps a variant.

    PolicyError: a value out of range.
    """

    hysteresis: float = 0.0
    scale_down_window_s: float = 0.0
    max_step_up: int | None = None
    max_step_down: int | None = None
    wait_for_starting: bool = False
    variant_stays_s: float = 0.0

    def __post_init__(self) -> None:
        checks.number("hysteresis", self.hysteresis, at_least=0, at_most=1)
        checks.number("scale_down_window_s", self.scale_down_window_s, at_least=0)
        checks.number("variant_stays_s", self.variant_stays_s, at_least=0)
        checks.flag("wait_for_starting", self.wait_for_starting)
        for key in ("max_step_up", "max_step_down"):
            if getattr(self, key) is not None:
                checks.integer(key, getattr(self, key))

    @property
    def is_on(self) -> bool:
        """Whether anything is guarded."""
        return self != Steadiness()


@dataclass(frozen=True, slots=True)
class Situation:
    """A stage at one decision.

    `now`: the present configuration. `wished`: the configurations wanted within the scale-down window, oldest first,
    including this decision's. `planned_rps`: the load that the profiled throughput must reach for the plan; None if the
    policy does not say. `expected_rps`: the forecast or, if higher, the recent load; None without either.
    `variant_for_s`: how long the present variant has been desired.
    """

    stage: Stage
    observed: StageObservation
    wished: Sequence[StageConfiguration]
    planned_rps: float | None
    expected_rps: float | None
    variant_for_s: float

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


RULES: tuple[tuple[str, Rule], ...] = (
    ("scale-down window", hold_the_way_down),
    ("variant stays", keep_the_variant),
    ("hysteresis", ignore_the_small),
    ("step limit", limit_the_step),
    ("starting", wait_for_the_starting),
)
"""In the order of application, each on the result of the previous one."""


@dataclass(frozen=True, slots=True)
class Past:
    """The memory of a stage.

    `configuration`: the one last observed, and `since_s` the time since which it has this variant. `wished`: wanted
    configurations with their times, oldest first: only those that sustain more than all later ones.
    """

    configuration: StageConfiguration
    since_s: float
    wished: tuple[tuple[float, StageConfiguration], ...] = ()

    def plain(self) -> list[Any]:
        """As JSON holds it."""
        wished = [[time_s, *_plain(wish)] for time_s, wish in self.wished]
        return [_plain(self.configuration), self.since_s, wished]

    @classmethod
    def of(cls, plain: Sequence[Any], now_s: float) -> Past:
        """From a journal. A later time is from before the clock restarted; it counts as now."""
        last_seen, since_s, wished = plain
        return cls(
            StageConfiguration(*last_seen),
            min(since_s, now_s),
            tuple((min(time_s, now_s), StageConfiguration(*wish)) for time_s, *wish in wished),
        )


def _plain(configuration: StageConfiguration) -> list[Any]:
    return list(astuple(configuration))


@dataclass(frozen=True)
class Steady(Guard):
    """Holds a policy's changes back by the `settings`, stage by stage; see `RULES` for each.

    Everything may change at the first decision, before anything runs. The memory holds what the guard observes, so all
    changes in force count, whoever decided them.
    """

    settings: Steadiness

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The policy's decision, as far as the rules let it through. PolicyError: a memory that is not the guard's."""
        own = {key: value for key, value in memory.items() if key != KEY}
        decision = self.asked(observation, own)
        now_s = observation.time_s
        pasts = _past(memory.get(KEY, {}), now_s)
        configuration, notes, past = dict(decision.configuration), list(decision.notes), {}
        if any(stage.replicas for stage in observation.stages.values()):
            for stage in self.pipeline.stages:
                name, proposed = stage.name, configuration[stage.name]
                if observation.stages[name].configuration.variant not in stage.largest_batches:
                    continue  # a variant that has been ruled out since is let go at once
                before = self._updated(pasts.get(name), observation, name, proposed)
                at = self._situation(before, observation, decision, name)
                for guard, rule in RULES:
                    answer, why = rule(proposed, at, self.settings)
                    if answer != proposed:
                        notes.append(f"{guard}: {name} {_brief(proposed)} -> {_brief(answer)} ({why})")
                        proposed = answer
                configuration[name] = proposed
                past[name] = before.plain()
        return replace(
            decision,
            configuration=configuration if configuration != decision.configuration else decision.configuration,
            memory={**decision.memory, KEY: past},
            notes=tuple(notes),
        )

    def _updated(self, past: Past | None, observation: Observation, name: str, proposed: StageConfiguration) -> Past:
        """The past with what is observed and wanted now."""
        now_s, now = observation.time_s, observation.stages[name].configuration
        if past is None:
            # What stands at the start is the first wish, as with Kubernetes' stabilisation window.
            past = Past(now, max(now_s - observation.elapsed_s, 0.0), wished=((now_s, now),))
        since_s = past.since_s
        if now.variant != past.configuration.variant:
            since_s = max(now_s - observation.elapsed_s, 0.0)  # when what is new now was decided
        window_s = self.settings.scale_down_window_s
        wishes = [(time_s, wish) for time_s, wish in past.wished if now_s - time_s < window_s]
        rps = self._rps(name, proposed)
        wishes = [(time_s, wish) for time_s, wish in wishes if self._rps(name, wish) > rps]
        return Past(now, since_s, (*wishes, (now_s, proposed)) if window_s else ())

    def _situation(self, past: Past, observation: Observation, decision: Decision, name: str) -> Situation:
        expected = [chosen for chosen in (decision.forecast_rps, recent_rps(observation)) if chosen is not None]
        share = min(self.pipeline.defaults.throughput_share, self.pipeline.limits.utilisation)
        planned_rps = decision.planned_load_rps
        factor = factors_of(self.pipeline, {key: chosen.variant for key, chosen in decision.configuration.items()})[
            name
        ]
        return Situation(
            stage=self.pipeline.stage(name),
            observed=observation.stages[name],
            wished=[chosen for _, chosen in past.wished],
            planned_rps=None if planned_rps is None else planned_rps / share * factor,
            expected_rps=max(expected) * factor if expected else None,
            variant_for_s=observation.time_s - past.since_s,
        )

    def _rps(self, name: str, configuration: StageConfiguration) -> float:
        """What a configuration sustains; 0 with a variant that is no longer there."""
        if configuration.variant not in self.pipeline.stage(name).largest_batches:
            return 0.0
        return sustained_rps(self.pipeline, name, configuration)


def _past(memory: Any, now_s: float) -> dict[str, Past]:
    try:
        return {str(name): Past.of(plain, now_s) for name, plain in memory.items()}
    except (AttributeError, LookupError, TypeError, ValueError):
        raise PolicyError(f"memory {KEY!r} is {memory!r}; a guarded policy leaves this key to the guard") from None


def _brief(stage: StageConfiguration) -> str:
    return f"{stage.replicas} x {stage.variant} batch {stage.batch}"
