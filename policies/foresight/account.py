"""The account of a policy that is to be no worse than another: what it has saved and gained against its plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ipa.policies.foresight.choice import changed_cores, cores_of, variant_of_each
from ipa.policies.interface import Configuration

CALM_S, SURGE_S = 600.0, 20.0
"""Within so much the savings may be spent: on more accuracy, and on replicas that are needed."""
STAY_S = 30.0
"""Within so much they may be spent on the variants at hand, which a change would give up and come back to."""
REPAID_S = 30.0
"""Within so much a debt is repaid."""
PAID_S = 60.0
"""Within so much a cheaper plan has to pay for its changes of variants."""


@dataclass(frozen=True, slots=True)
class Account:
    """What has been saved so far [core-seconds; below 0: a debt], what the other's present plan costs [cores], and how
    far our plans have been ahead in accuracy [accuracy x requests]."""

    saved_core_s: float
    theirs_cores: float
    ahead: float = 0.0

    @classmethod
    def of(
        cls, was: Mapping[str, Any] | None, theirs_cores: float, step_s: float, their_change_core_s: float = 0.0
    ) -> Account:
        """The account after a step. `was`: what `noted` said at the step before; `their_change_core_s`: what the
        other's own change of variants costs. No more is kept than the other's plan costs in `CALM_S`, and half of what
        was ahead is forgotten in that time, so that hours of calm do not pay for an evening."""
        if was is None:
            return cls(0.0, theirs_cores)
        saved = was["saved"] + step_s * (was["theirs"] - was["ours"]) + their_change_core_s
        kept = 0.5 ** (step_s / CALM_S) if was["ahead"] > 0 else 1.0
        return cls(min(saved, CALM_S * theirs_cores), theirs_cores, kept * was["ahead"] + step_s * was["lead"])

    def most_cores(self, within_s: float) -> int:
        """The cores that a plan may cost, savings being spent within a time."""
        allowed = self.theirs_cores + self.saved_core_s / (within_s if self.saved_core_s > 0 else REPAID_S)
        return max(0, int(allowed + 1e-9))

    def pays(self, change_core_s: float, ours_cores: float) -> bool:
        """Whether what is saved, and what a plan saves within `PAID_S`, pays for changes of variants."""
        soon_core_s = PAID_S * max(0.0, self.theirs_cores - ours_cores)
        return change_core_s <= max(0.0, self.saved_core_s + soon_core_s)

    def may_trail(self, lead: float, step_s: float) -> bool:
        """Whether a plan is as accurate as the other's, or what is ahead makes up for it for `REPAID_S`.

        `lead`: how far it is ahead [accuracy x requests/s]."""
        return lead >= 0 or self.ahead + lead * max(step_s, REPAID_S) >= 0

    def noted(self, ours_cores: float, change_core_s: float, lead: float) -> dict[str, Any]:
        """What the next step has to know: our plan's cores, what its change of variants costs beside it, its lead."""
        saved = self.saved_core_s - change_core_s
        return {"saved": saved, "theirs": self.theirs_cores, "ours": ours_cores, "ahead": self.ahead, "lead": lead}


@dataclass(frozen=True, slots=True)
class Standard:
    """The other's plan at a step, its accuracy, the load [rps] and the longest start-up time [s].

    What its change of variants costs counts as saved; if `is_strict`, only against a change of ours at the same step,
    as a rollout in steps may cost less than is reckoned. `before`: its variants at the step before.
    """

    plan: Configuration
    pas: float
    load_rps: float
    start_up_s: float
    is_strict: bool = False
    before: Mapping[str, str] | None = None

    def account(self, was: Mapping[str, Any] | None, step_s: float) -> Account:
        """The account now; `was`: what `noted` said at the step before."""
        change_core_s = 0.0 if self.is_strict or was is None else self._change_core_s(was["variants"], self.plan)
        return Account.of(was, cores_of(self.plan), step_s, change_core_s)

    def is_met(
        self, account: Account, ours: Configuration, pas: float, at_hand: Mapping[str, str] | None, step_s: float
    ) -> bool:
        """Whether a plan of ours is accurate enough, and its changes are paid for."""
        return self.is_paid(account, ours, at_hand) and account.may_trail(self._lead(pas), step_s)

    def is_paid(self, account: Account, ours: Configuration, at_hand: Mapping[str, str] | None) -> bool:
        """Whether the changes of a plan of ours are paid for: there and back to the other's plan.

        `at_hand`: stage -> its variant now; None: there is nothing yet."""
        way_core_s = self._our_change_core_s(at_hand, ours) + self._change_core_s(variant_of_each(ours), self.plan)
        return account.pays(way_core_s, cores_of(ours))

    def noted(
        self, account: Account, ours: Configuration, pas: float, at_hand: Mapping[str, str] | None
    ) -> dict[str, Any]:
        """What the next step has to know, with our plan decided."""
        kept = account.noted(cores_of(ours), self._our_change_core_s(at_hand, ours), self._lead(pas))
        return {**kept, "variants": variant_of_each(self.plan)}

    def _lead(self, pas: float) -> float:
        return (pas - self.pas) * self.load_rps

    def _our_change_core_s(self, at_hand: Mapping[str, str] | None, ours: Configuration) -> float:
        """What a change of ours costs, less the other's of this step if that is not in the account."""
        theirs_core_s = self._change_core_s(self.before, self.plan) if self.is_strict else 0.0
        return max(self._change_core_s(at_hand, ours) - theirs_core_s, 0.0)

    def _change_core_s(self, variants: Mapping[str, str] | None, then: Configuration) -> float:
        """What a change of variants costs: the new replicas start beside the old ones."""
        return 0.0 if variants is None else changed_cores(variants, then) * self.start_up_s
