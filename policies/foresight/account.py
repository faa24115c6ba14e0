"""The account of a policy that may cost no more than another: what it has saved against the other's plans so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CALM_S, SURGE_S = 600.0, 20.0
"""Within so much the savings may be spent: on more accuracy, and on replicas that are needed."""
REPAID_S = 30.0
"""Within so much a debt is repaid."""


PAID_S = 60.0
"""Within so much a cheaper plan has to pay for the changes that it makes necessary, there and back."""


@dataclass(frozen=True, slots=True)
class Account:
    """What has been saved so far [core-seconds; below 0: a debt], what the other's present plan costs [cores], and how
    far ahead in accuracy our plans have been [points of PAS x requests]."""

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
        """Whether what is saved, and what a plan will soon have saved, pays for changes."""
        return change_core_s <= max(0.0, self.saved_core_s + PAID_S * max(0.0, self.theirs_cores - ours_cores))

    def may_trail(self, lead: float, step_s: float) -> bool:
        """Whether a plan is as accurate as the other's, or what is ahead makes up for it until the next step.

        `lead`: points of PAS x requests/s."""
        return lead >= 0 or self.ahead + lead * step_s >= 0

    def noted(self, ours_cores: float, change_core_s: float, lead: float) -> dict[str, float]:
        """What the next step has to know: our plan's cores, what its change of variants costs beside it, its lead."""
        return {
            "saved": self.saved_core_s - change_core_s,
            "theirs": self.theirs_cores,
            "ours": ours_cores,
            "ahead": self.ahead,
            "lead": lead,
        }
