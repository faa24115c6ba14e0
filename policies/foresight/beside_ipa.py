"""Beside IPA: a plan no worse than IPA's, or one that costs more and is better by a share of IPA's bill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from ipa.policies import checks
from ipa.policies.foresight.account import CALM_S, STAY_S, SURGE_S, Account, Standard
from ipa.policies.foresight.choice import (
    Aim,
    Rates,
    change_price,
    cores_of,
    is_any_starting,
    lower_of,
    same_replicas,
    starting_in_vain,
    variant_of_each,
)
from ipa.policies.foresight.rescue import has_room
from ipa.policies.interface import Configuration, Decision, Histories, Memory, Observation, PolicyError
from ipa.policies.optimiser import Answers, Problem

if TYPE_CHECKING:
    from ipa.policies.ipa import Ipa

NEVER = "never"
"""As a gain: no core above IPA's plan, whatever it brings."""
LITTLE = 1e-3
"""The share of its weight that a core has where only accuracy is wanted, within a limit."""


def checked_gain(key: str, value: float | str) -> float | str:
    """A gain as given; PolicyError: none."""
    if isinstance(value, str) and value != NEVER:
        raise PolicyError(f"{key}={value!r} is neither a number from 0 nor {NEVER!r}")
    return value if isinstance(value, str) else checks.number(key, value, at_least=0)


def changed(
    was: Mapping[str, Any] | None, worth: float, change_price: float, step_s: float, is_starting: bool
) -> dict[str, Any]:
    """Whether the dearer plan is taken (`is`), and what not changing to the better one has lost (`lost`).

    `was`: what this said at the step before; `worth`: by how much the dearer one is better [objective], or 0 where
    there is none that is dearer: then it is not taken any more. Else what has been lost [objective x s] has to pay for
    the change of variants, `change_price`, and while replicas are starting, nothing changes.
    """
    if worth == 0:
        return {"is": False, "lost": 0.0}
    is_better = worth > 0
    if was is None or was["is"] == is_better:
        return {"is": is_better, "lost": 0.0}
    lost = was["lost"] + abs(worth) * step_s
    if is_starting or lost < change_price:
        return {"is": was["is"], "lost": lost}
    return {"is": is_better, "lost": 0.0}


class Chosen(Protocol):
    """Gives the plan for rates by an aim, of at most so many cores, and within an observation's limit; at once with the
    variants of `only` (stage -> variant), where they are given."""

    def __call__(
        self, *, aim: Aim, rates: Rates, most_cores: int | None = None, only: Mapping[str, str] | None = None
    ) -> Decision: ...


def _each_once(chosen: Chosen, limit_cores: int | None) -> Chosen:
    """The same, but each plan is made once, as limits that differ may come to the same; `limit_cores`: the
    observation's."""
    known: dict[tuple[Any, ...], Decision] = {}

    def found(
        *, aim: Aim, rates: Rates, most_cores: int | None = None, only: Mapping[str, str] | None = None
    ) -> Decision:
        most_cores = lower_of(most_cores, limit_cores)
        key = (most_cores, id(aim), rates, only and tuple(only.items()))
        if key not in known:
            known[key] = chosen(aim=aim, rates=rates, most_cores=most_cores, only=only)
        return known[key]

    return found


class BesideIpa:
    """Holds the plans of an aim against those that IPA (`yardstick`) would make of the same observation.

    `gain`: by so many times what IPA's plan costs a plan that costs more has to be better, in objective; or `NEVER`.
    `start_up_s`: the longest start-up time.
    """

    def __init__(self, yardstick: Ipa, aim: Aim, gain: float | str, start_up_s: float) -> None:
        self.yardstick, self.gain, self.start_up_s = yardstick, gain, start_up_s
        self.aim = aim
        accurate = replace(aim.programme, beta=LITTLE * aim.programme.beta)
        self.accurate = Aim(accurate, Answers(accurate, yardstick.solver, yardstick.solver_fallback))

    def compute_ahead(self, histories: Histories) -> None:
        """IPA's forecasts for these `load_rps` at once."""
        self.yardstick.compute_ahead(histories)

    def decide(
        self,
        chosen: Chosen,
        observation: Observation,
        memory: Memory,
        level_rps: float,
        rates: Sequence[Rates],
        step_s: float,
        is_new: bool,
    ) -> Decision:
        """The decision for this step; its memory has `account`, `above` and `held_s` too.

        `rates`: those wanted, and those that will do where the first do not fit. `is_new`: next to nothing is known of
        the load; then IPA's own plan comes first."""
        chosen = _each_once(chosen, observation.limit_cores)
        theirs = self.yardstick.decide(observation, {})
        theirs_before = memory["account"]["variants"] if "account" in memory else None
        standard = Standard(
            theirs.configuration,
            self._pas(theirs.configuration),
            level_rps,
            self.start_up_s,
            self.gain == NEVER,
            theirs_before,
        )
        account = standard.account(memory.get("account"), observation.elapsed_s)
        at_hand = variant_of_each(observation.configuration) if "lost" in memory else None
        if is_new and _serves(theirs, rates[-1].due_rps):
            modest = replace(theirs, memory=chosen(aim=self.aim, rates=rates[-1]).memory)
        else:
            modest = self._no_worse(chosen, observation, theirs, standard, account, at_hand, rates, step_s)
        if not is_new and not isinstance(self.gain, str):
            best = chosen(aim=self.aim, rates=rates[0])
            worth = 0.0
            if best.feasible:
                within = chosen(aim=self.aim, rates=rates[0], most_cores=cores_of(theirs.configuration))
                usual = modest
                if self._is_fit(within, standard, account, at_hand, step_s):
                    is_better = not modest.feasible or self._total(within) >= self._total(modest)
                    usual = within if is_better else modest
                worth = self.worth(best.configuration, usual.configuration, theirs.configuration)
            target = best if worth > 0 else modest
            price = 0.0
            if at_hand is not None:
                price = change_price(self.aim.programme.core_weight, at_hand, target.configuration, self.start_up_s)
            above = changed(memory.get("above"), worth, price, step_s, is_any_starting(observation))
            if above["is"]:
                # What is bought above IPA's plan is no debt, and what IPA's changes would have cost is not saved.
                kept = standard.noted(account, theirs.configuration, standard.pas, theirs_before)
                return replace(best, memory={**best.memory, "account": kept, "above": above, "held_s": 0.0})
            modest = replace(modest, memory={**modest.memory, "above": above})
        modest = self._held(modest, observation, memory, step_s, is_new)
        # With `NEVER`, whatever IPA's batches serve: a replica with larger ones stops later, and costs more.
        does_serve = self.gain == NEVER or _serves(theirs, modest.planned_load_rps or 0.0)
        if theirs.feasible and does_serve and same_replicas(modest.configuration, theirs.configuration):
            modest = replace(theirs, memory=modest.memory)
        kept = standard.noted(account, modest.configuration, self._pas(modest.configuration), at_hand)
        objective = self.aim.programme.score(modest.configuration)
        return replace(modest, objective=objective, memory={**modest.memory, "account": kept})

    def _no_worse(
        self,
        chosen: Chosen,
        observation: Observation,
        theirs: Decision,
        standard: Standard,
        account: Account,
        at_hand: Mapping[str, str] | None,
        rates: Sequence[Rates],
        step_s: float,
    ) -> Decision:
        """The best plan that costs no more than IPA's and is as accurate, savings and gains so far included, for the
        first of the rates for which there is one; else IPA's own, unless it serves less than is due or a debt forbids
        its cost; else one that savings pay for soon, then what serves what is due. In a debt, where IPA's plan would
        serve that, the variants at hand stay while a change does not pay. A plan that keeps the variants at hand may
        spend what is saved sooner, also where the best plan has others for which that is not enough, and what would be
        taken instead is worth less; where no change can be paid for, IPA's variants will do. With `NEVER`, nothing is
        bought on credit."""
        stay, calm, surge = (account.most_cores(within_s) for within_s in (STAY_S, CALM_S, SURGE_S))
        their_variants = variant_of_each(theirs.configuration)
        may_take_theirs = at_hand is not None and (at_hand == their_variants or not is_any_starting(observation))

        def is_fit(found: Decision) -> bool:
            return self._is_fit(found, standard, account, at_hand, step_s)

        def fitting(most_cores: int, each: Rates) -> Decision | None:
            for aim in (self.aim, self.accurate):
                found = chosen(aim=aim, rates=each, most_cores=most_cores)
                if is_fit(found):
                    return found
            if may_take_theirs:
                found = chosen(aim=self.aim, rates=each, most_cores=most_cores, only=their_variants)
                if is_fit(found):
                    return found
            return None

        for each in dict.fromkeys(rates):
            if at_hand is not None:
                found = chosen(aim=self.aim, rates=each, most_cores=stay)
                if variant_of_each(found.configuration) == at_hand and is_fit(found):
                    return found
            fit = fitting(calm, each)
            if fit is not None and at_hand is not None:
                kept = chosen(aim=self.aim, rates=each, most_cores=stay, only=at_hand)
                is_same = variant_of_each(kept.configuration) == at_hand
                if is_same and is_fit(kept) and self._total(kept) > self._total(fit):
                    return kept
            if fit is not None:
                return fit
        least = rates[-1]
        own = replace(theirs, memory=chosen(aim=self.aim, rates=least, most_cores=calm).memory)
        does_serve = _serves(theirs, least.due_rps)
        if does_serve and account.most_cores(CALM_S) >= cores_of(theirs.configuration):
            return own
        fit = fitting(surge, least)
        if fit is not None:
            return fit
        if self.gain == NEVER and theirs.feasible:
            return own
        for most_cores in (calm, surge):
            found = chosen(aim=self.aim, rates=least, most_cores=most_cores)
            if found.feasible:
                return found
        within = chosen(aim=self.aim, rates=least, most_cores=cores_of(theirs.configuration))
        if does_serve:  # in debt, where a change to any but IPA's variants would be one more
            stays = within.feasible and variant_of_each(within.configuration) == at_hand
            return within if stays else own
        return within if within.feasible else chosen(aim=self.aim, rates=least)

    def _held(
        self, modest: Decision, observation: Observation, memory: Memory, step_s: float, is_new: bool
    ) -> Decision:
        """The plan, but stages that are behind keep what is in force while its replicas are starting: what the plan
        has instead would take as long again. Its memory has `held_s`, for how long that has gone on: no longer than a
        start-up takes, in whole steps. With `NEVER` nothing is held, as that may cost more; nor while next to nothing
        is known of the load."""
        held_s: float = memory.get("held_s", 0.0)
        kept = starting_in_vain(modest.configuration, observation)
        held = {**modest.configuration, **kept}
        room = Problem(self.aim.programme, 0.0, limit_cores=observation.limit_cores)
        may_hold = not is_new and self.gain != NEVER and held_s < self.start_up_s
        if not kept or not may_hold or not has_room(room, held):
            return replace(modest, memory={**modest.memory, "held_s": 0.0})
        return replace(
            modest,
            configuration=held,
            objective=self.aim.programme.score(held),
            notes=(*modest.notes, "stays while replicas are starting"),
            memory={**modest.memory, "held_s": held_s + step_s},
        )

    def worth(self, best: Configuration, usual: Configuration, theirs: Configuration) -> float:
        """By how much a plan that costs more than IPA's is better than the `usual` one, within that cost or paid for by
        savings, beyond what is asked [objective]; 0 where it costs no more.

        What the usual one leaves of IPA's cost buys the best one for a share of the time anyway; only the rest of the
        time counts.
        """
        assert not isinstance(self.gain, str)
        best_cores, usual_cores, their_cores = cores_of(best), cores_of(usual), cores_of(theirs)
        if best_cores <= their_cores:
            return 0.0
        left = max(their_cores - usual_cores, 0) / max(best_cores - usual_cores, 1)
        programme = self.aim.programme
        better = programme.score(best)["total"] - programme.score(usual)["total"]
        return (1 - left) * better - self.gain * programme.core_weight * their_cores

    def _is_fit(
        self,
        found: Decision,
        standard: Standard,
        account: Account,
        at_hand: Mapping[str, str] | None,
        step_s: float,
    ) -> bool:
        """Whether there is such a plan, accurate enough beside IPA's and with its changes paid for."""
        plan = found.configuration
        return found.feasible and standard.is_met(account, plan, self._pas(plan), at_hand, step_s)

    def _total(self, plan: Decision) -> float:
        return self.aim.programme.score(plan.configuration)["total"]

    def _pas(self, configuration: Configuration) -> float:
        return self.aim.programme.score(configuration)["pas"]


def _serves(theirs: Decision, rate_rps: float) -> bool:
    """Whether IPA's plan is for at least such a rate."""
    return theirs.feasible and (theirs.planned_load_rps or 0.0) >= rate_rps
