"""A pipeline: frozen values.

Made from a file by `ipa.profiles.load`, or in code; either way a value that breaks a law of the
profiles is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from ipa.profiles import default_rules
from ipa.profiles.defaults import Defaults, defaults_problem
from ipa.profiles.errors import ProfileError
from ipa.profiles.stage import Stage, named, refuse_twins


@dataclass(frozen=True)
class Provenance:
    """Where figures come from: measured, interpolated, calibrated or assumed; the source, law or reason."""

    kind: str
    text: str


@dataclass(frozen=True)
class Pipeline:
    """Stages in a chain, what policies use unless told otherwise, and where the figures come from.

    What `defaults` leave out is filled in by the rules of `ipa.profiles.default_rules`.
    """

    name: str
    description: str
    stages: tuple[Stage, ...]
    defaults: Defaults = field(default_factory=Defaults)
    provenance: Mapping[str, Provenance] = field(default_factory=dict, hash=False, repr=False)

    def __post_init__(self) -> None:
        refuse_twins(self.name, "stage", (stage.name for stage in self.stages))
        wrong = defaults_problem(
            self.defaults,
            {stage.name: [variant.name for variant in stage.variants] for stage in self.stages},
        )
        if wrong:
            raise ProfileError(f"{self.name}: defaults.{'.'.join(map(str, wrong[0]))}: {wrong[1]}")
        object.__setattr__(self, "defaults", default_rules.complete(self.defaults, self.stages))

    @property
    def sla_s(self) -> float:
        """The end-to-end SLA: the sum of the stages', to the nanosecond (4.62 + 2.27 is 6.89)."""
        return round(math.fsum(stage.sla_s for stage in self.stages), 9)

    @property
    def drop_limits_s(self) -> tuple[float, ...]:
        """Per stage, the age since it came to the pipeline at which a request is dropped [s].

        Unless the stage has its own: 2 x SLA at the first, the SLA at later ones (IPA, JSys 2024).
        """
        defaults_s = (2 * self.sla_s, *(self.sla_s for _ in self.stages[1:]))
        return tuple(
            default_s if stage.drop_limit_s is None else stage.drop_limit_s
            for stage, default_s in zip(self.stages, defaults_s, strict=True)
        )

    def with_limits(self, sla_s: float | None, drop_limits_s: Mapping[str, float]) -> Pipeline:
        """The pipeline with another end-to-end SLA, shared out as the old one, and drop limits.

        `drop_limits_s`: stage -> limit; ProfileError for a stage that is not there.
        """
        for name in drop_limits_s:
            self.stage(name)
        factor = 1.0 if sla_s is None else sla_s / self.sla_s
        stages = (
            replace(
                stage,
                sla_s=stage.sla_s * factor,
                drop_limit_s=drop_limits_s.get(stage.name, stage.drop_limit_s),
            )
            for stage in self.stages
        )
        return replace(self, stages=tuple(stages))

    @cached_property
    def by_name(self) -> Mapping[str, Stage]:
        """The stages by name, in their order."""
        return {stage.name: stage for stage in self.stages}

    def stage(self, name: str) -> Stage:
        """The stage of that name; ProfileError names the nearest."""
        return named(name, self.by_name, f"{self.name} has no stage")
