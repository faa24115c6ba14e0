"""Beside IPA: a plan no worse than IPA's, or a dearer one whose cores above bring a multiple of their price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from ipa.policies import checks
from ipa.policies.foresight.account import CALM_S, SURGE_S, Account, Standard
from ipa.policies.foresight.choice import (
    Aim,
    Rates,
    at_most,
    change_price,
    cores_of,
    is_any_starting,
    variant_of_each,
)
from ipa.policies.interface import Configuration, Decision, Histories, Memory, Observation, PolicyError
from ipa.policies.optimiser import Answers

if TYPE_CHECKING:
    from ipa.policies.ipa import Ipa

NEVER = "never"
"""As a price: no core above IPA's plan, whatever it brings."""
LITTLE = 1e-3
"""The share of its weight that a core has where only accuracy is wanted, within a limit."""


def checked_price(key: str, value: float | str) -> float | str:
    """A price as given; PolicyError: none."""
    if isinstance(value, str) and value != NEVER:
        raise PolicyError(f"{key}={value!r} is neither a number from 1 nor {NEVER!r}")
    return value if isinstance(value, str) else checks.number(key, value, at_least=1)


def changed(
    was: Mapping[str, Any] | None, worth: float, change_price: float, step_s: float, is_starting: bool
) -> dict[str, Any]:
    """Whether the dearer plan is taken (`is`), and what not changing to the better one has lost (`lost`).

    `was`: what this said at the step before; `worth`: by how much the dearer one is better [objective]. What has been
    lost [objective x s] has to pay for the change of variants, `change_price`; while replicas are starting, nothing
    changes.
    """
    is_better = worth > 0
    if was is None or was["is"] == is_better:
        return {"is": is_better, "lost": 0.0}
    lost = was["lost"] + abs(worth) * step_s
    if is_starting or lost < change_price:
        return {"is": was["is"], "lost": lost}
    return {"is": is_better, "lost": 0.0}


class Chosen(Protocol):
    """Gives the plan for rates, within an observation's limit of cores, by an aim."""

    def __call__(self, observation: Observation, *, aim: Aim, rates: Rates) -> Decision: ...


class BesideIpa:
    """Holds the plans of an aim against those that IPA (`yardstick`) would make of the same observation.

    `price`: so many times its price a core above the plan that is no worse than IPA's has to bring, in objective; or
    `NEVER`. `start_up_s`: the longest start-up time.
    """

    def __init__(self, yardstick: Ipa, aim: Aim, price: float | str, start_up_s: float) -> None:
        self.yardstick, self.price, self.start_up_s = yardstick, price, start_up_s
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
        """The decision for this step; its memory has `account` and `above` too.

        `rates`: those wanted, and those that will do where the first do not fit. `is_new`: next to nothing is known of
        the load; then IPA's own plan comes first."""
        theirs = self.yardstick.decide(observation, {})
        standard = Standard(theirs.configuration, self._pas(theirs.configuration), level_rps, self.start_up_s)
        account = standard.account(memory.get("account"), observation.elapsed_s)
        at_hand = variant_of_each(observation.configuration) if "lost" in memory else None
        if is_new and _serves(theirs, rates[-1]):
            modest = replace(theirs, memory=chosen(observation, aim=self.aim, rates=rates[-1]).memory)
        else:
            modest = self._no_worse(chosen, observation, theirs, standard, account, at_hand, rates, step_s)
        if not is_new and not isinstance(self.price, str):
            best = chosen(observation, aim=self.aim, rates=rates[0])
            worth = self.worth(best.configuration, modest.configuration) if best.feasible else 0.0
            target = best if worth > 0 else modest
            price = 0.0
            if at_hand is not None:
                price = change_price(self.aim.programme.beta, at_hand, target.configuration, self.start_up_s)
            above = changed(memory.get("above"), worth, price, step_s, is_any_starting(observation))
            if above["is"]:
                # What is bought above IPA's plan is no debt, and what IPA's changes would have cost is not saved.
                theirs_before = memory["account"]["variants"] if "account" in memory else None
                kept = standard.noted(account, theirs.configuration, standard.pas, theirs_before)
                return replace(best, memory={**best.memory, "account": kept, "above": above})
            modest = replace(modest, memory={**modest.memory, "above": above})
        kept = standard.noted(account, modest.configuration, self._pas(modest.configuration), at_hand)
        return replace(modest, memory={**modest.memory, "account": kept})

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
        its cost; else what serves it. With `NEVER`, nothing dearer than IPA's own."""
        calm, surge = (at_most(observation, account.most_cores(within_s)) for within_s in (CALM_S, SURGE_S))

        def is_fit(found: Decision) -> bool:
            plan = found.configuration
            return found.feasible and standard.is_met(account, plan, self._pas(plan), at_hand, step_s)

        for each in dict.fromkeys(rates):
            for aim in (self.aim, self.accurate):
                found = chosen(calm, aim=aim, rates=each)
                if is_fit(found):
                    return found
        least = rates[-1]
        does_serve = _serves(theirs, least)
        if does_serve and account.most_cores(CALM_S) >= cores_of(theirs.configuration):
            return replace(theirs, memory=found.memory)
        for limited in (calm, surge):
            found = chosen(limited, aim=self.aim, rates=least)
            if is_fit(found) if self.price == NEVER else found.feasible:
                return found
        if self.price == NEVER and theirs.feasible:
            return replace(theirs, memory=found.memory)
        return chosen(observation, aim=self.aim, rates=least)

    def worth(self, best: Configuration, modest: Configuration) -> float:
        """What the dearer plan is better by [objective], its cores above the other's at `price` times their price; 0 or
        less where it costs no more."""
        assert not isinstance(self.price, str)
        more, less = self.aim.programme.score(best), self.aim.programme.score(modest)
        cores = more["cost_cores"] - less["cost_cores"]
        dearer = (self.price - 1) * self.aim.programme.beta * cores
        return more["total"] - less["total"] - dearer if cores > 0 else 0.0

    def _pas(self, configuration: Configuration) -> float:
        return self.aim.programme.score(configuration)["pas"]


def _serves(theirs: Decision, rates: Rates) -> bool:
    """Whether IPA's plan serves what is due."""
    return theirs.feasible and (theirs.planned_load_rps or 0.0) >= rates.due_rps
