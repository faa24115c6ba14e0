"""Steady: a guard that holds back a policy's changes by rules with a memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from ipa.policies.configurations import factors_of
from ipa.policies.guards.bounds import Guard, recent_rps, sustained_rps
from ipa.policies.guards.rules import RULES, Situation, Steadiness
from ipa.policies.interface import Decision, Memory, Observation, PolicyError, StageConfiguration

KEY = "guards"
"""Key of the guard's memory, beside the policy's own."""


@dataclass(frozen=True, slots=True)
class Past:
    """The memory of a stage.

    `configuration`: the one last observed, and `since_s` the time since which it has this variant. `changed_s`: the
    times of changes within the flap window, without replicas added after the budget was spent. `wished`: wanted
    configurations with their times, oldest first: only those that sustain more than all later ones.
    """

    configuration: StageConfiguration
    since_s: float
    changed_s: tuple[float, ...] = ()
    wished: tuple[tuple[float, StageConfiguration], ...] = ()

    def plain(self) -> list[Any]:
        """As JSON holds it."""
        wished = [[time_s, *_plain(wish)] for time_s, wish in self.wished]
        return [_plain(self.configuration), self.since_s, list(self.changed_s), wished]

    @classmethod
    def of(cls, plain: Sequence[Any], now_s: float) -> Past:
        """From a journal. A later time is from before the clock restarted; it counts as now."""
        last_seen, since_s, changed_s, wished = plain
        return cls(
            StageConfiguration(*last_seen),
            min(since_s, now_s),
            tuple(min(time_s, now_s) for time_s in changed_s),
            tuple((min(time_s, now_s), StageConfiguration(*wish)) for time_s, *wish in wished),
        )


def _plain(configuration: StageConfiguration) -> list[Any]:
    return list(astuple(configuration))


@dataclass(frozen=True)
class Steady(Guard):
    """Holds a policy's changes back by the `settings`, stage by stage; see `rules` for each.

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
        changed_s, since_s = past.changed_s, past.since_s
        last_s = max(now_s - observation.elapsed_s, 0.0)  # when what is new now was decided
        is_changed = _counted(now) != _counted(past.configuration)
        if is_changed and not (self._is_spent(changed_s, last_s) and _is_more(past.configuration, now)):
            changed_s = (*changed_s, last_s)
        if now.variant != past.configuration.variant:
            since_s = last_s
        changed_s = tuple(time_s for time_s in changed_s if now_s - time_s < self.settings.flap_window_s)
        window_s = self.settings.scale_down_window_s
        wishes = [(time_s, wish) for time_s, wish in past.wished if now_s - time_s < window_s]
        rps = self._rps(name, proposed)
        wishes = [(time_s, wish) for time_s, wish in wishes if self._rps(name, wish) > rps]
        return Past(now, since_s, changed_s, (*wishes, (now_s, proposed)) if window_s else ())

    def _is_spent(self, changed_s: Sequence[float], time_s: float) -> bool:
        """Whether the budget was spent at a time."""
        budget, window_s = self.settings.flap_budget, self.settings.flap_window_s
        return budget is not None and sum(time_s - each_s < window_s for each_s in changed_s) >= budget

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
            changes=len(past.changed_s),
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


def _is_more(before: StageConfiguration, after: StageConfiguration) -> bool:
    """Whether there is nothing new but further replicas."""
    return _counted(replace(before, replicas=after.replicas)) == _counted(after) and after.replicas > before.replicas


def _counted(stage: StageConfiguration) -> tuple[str, int, int, int]:
    """What makes a change if it differs."""
    return stage.variant, stage.batch, stage.replicas, stage.cores


def _brief(stage: StageConfiguration) -> str:
    return f"{stage.replicas} x {stage.variant} batch {stage.batch}"
