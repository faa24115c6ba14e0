"""Which rules keep a policy steady, and how far each goes."""

from __future__ import annotations

from dataclasses import dataclass

from ipa.policies import checks


@dataclass(frozen=True)
class Steadiness:
    """The settings of `Steady`; with the defaults, nothing is guarded.

    `hysteresis`: a stage keeps its variant, batch size and replicas while what is wanted with the same variant and
    cores sustains as much load within this share; in a mix, each of the variants. `scale_down_window_s`: what a stage
    sustains is at no time less than anything wanted in so many seconds before. `max_step_up`, `max_step_down`: how many
    replicas one decision may add to or take from a stage, in a mix from each variant; None: any number.
    `wait_for_starting`: none are added while those that are ready and starting are enough. `variant_stays_s`: how long
    a stage keeps a variant, or those of a mix, at least. `flap_budget`: how often a stage may be changed in
    `flap_window_s` seconds; None: any number.

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
