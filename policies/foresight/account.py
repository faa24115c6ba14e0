"""The account of a policy that may cost no more than another: what it has saved against the other's plans so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CALM_S, SURGE_S = 600.0, 20.0
"""Within so much the savings may be spent: on more accuracy, and on replicas that are needed."""
REPAID_S = 30.0
"""Within so much a debt is repaid."""


@dataclass(frozen=True, slots=True)
class Account:
    """What has been saved so far [core-seconds; below 0: a debt], and what the other's present plan costs [cores]."""

    saved_core_s: float
    theirs_cores: float

    @classmethod
    def of(
        cls, was: Mapping[str, Any] | None, theirs_cores: float, step_s: float, their_change_core_s: float = 0.0
    ) -> Account:
        """The account after a step. `was`: what `noted` said at the step before; `their_change_core_s`: what the
        other's own change of variants costs. No more is kept than the other's plan costs in `CALM_S`, so that hours of
        calm do not pay for an evening."""
        if was is None:
            return cls(0.0, theirs_cores)
        saved = was["saved"] + step_s * (was["theirs"] - was["ours"]) + their_change_core_s
        return cls(min(saved, CALM_S * theirs_cores), theirs_cores)

    def most_cores(self, within_s: float) -> int:
        """The cores that a plan may cost, savings being spent within a time."""
        allowed = self.theirs_cores + self.saved_core_s / (within_s if self.saved_core_s > 0 else REPAID_S)
        return max(0, int(allowed + 1e-9))

    def noted(self, ours_cores: float, change_core_s: float) -> dict[str, float]:
        """What the next step has to know: our plan's cores, and what its change of variants costs beside it."""
        return {"saved": self.saved_core_s - change_core_s, "theirs": self.theirs_cores, "ours": ours_cores}
