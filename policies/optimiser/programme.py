"""The integer programme of a pipeline.

    maximise    alpha * A - beta * sum_s n_s R_s - gamma * sum_s b_s
    subject to  sum_s [ l_s + (b_s - 1) / load ] <= SLA
                n_s * h_s >= load for every s,   sum_s n_s R_s <= cores

(IPA, JSys 2024.) At each stage it chooses one variant and one batch size; the number of replicas n follows from them:
max(1, ceil(load / h)).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.interface import Configuration, StageConfiguration
from ipa.policies.optimiser.parameters import PROGRAMME_PARAMETERS, Parameters
from ipa.policies.optimiser.table import Table, tabulate

if TYPE_CHECKING:
    from ipa.profiles import Pipeline

PIPELINE_PARAMETERS = (
    "alpha",
    "beta",
    "gamma",
    "accuracy",
    "accuracy_scale",
    "accuracy_floor",
    "candidates",
    "batch_cap",
    "throughput_share",
)


class Programme(Parameters):
    """The programme with given parameters (see `Parameters`), and its tables, which do not depend on the load."""

    @classmethod
    def of(cls, pipeline: Pipeline, **changes: Any) -> Programme:
        """The programme with the pipeline's parameters and `changes` to them; PolicyError: an unknown parameter."""
        checks.known("parameter", changes, PROGRAMME_PARAMETERS)
        own = {key: getattr(pipeline.defaults, key) for key in PIPELINE_PARAMETERS}
        return cls(pipeline, **{**own, **changes})

    @cached_property
    def table(self) -> Table:
        """Everything about the options that does not depend on the load, computed once."""
        return tabulate(self)

    @property
    def core_weight(self) -> float:
        """What a core weighs in the objective: `beta` x its price."""
        return self.beta * self.pipeline.limits.price_per_core

    def score(self, configuration: Configuration) -> dict[str, float]:
        """The parts of the objective, for any configuration of this pipeline.

        They are accuracy (combined), pas (the product of raw accuracies, or what was measured of the pair), cost_cores,
        batch (the sum of sizes), total. Of mixes, they are the means over requests: both accuracies are linear in that
        of each stage.
        """
        chosen = [configuration[stage.name] for stage in self.pipeline.stages]
        if any(each.beside for each in chosen):
            return self._score_of_mixes(chosen)
        variants = [each.variant for each in chosen]
        cores = sum(each.total_cores for each in chosen)
        batch = sum(each.batch for each in chosen)
        return self.table.scales.parts(variants, cores, batch)

    def _score_of_mixes(self, chosen: Sequence[StageConfiguration]) -> dict[str, float]:
        cores = sum(each.total_cores for each in chosen)
        total: dict[str, float] = {}
        for parts in product(*(each.parts for each in chosen)):
            share = prod(part.share for part in parts)
            found = self.table.scales.parts([part.variant for part in parts], cores, sum(part.batch for part in parts))
            total = {name: total.get(name, 0.0) + share * value for name, value in found.items()}
        return total | {"cost_cores": float(cores)}

    def accuracy_of(self, variants: Sequence[str]) -> float:
        """The combined accuracy of one variant for each stage."""
        return self.table.scales.parts(variants, 0, 0)["accuracy"]
