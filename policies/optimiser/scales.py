"""The objective in whole numbers, so that ties are exact for every solver.

Accuracies are fractions (raw ones to 1e-9, ranks exact) and weights are the decimals as written.
With D and W their common denominators, and U the number that stands for an accuracy of 1 (sum: D,
average: D x stages, product: D ^ stages), U W (alpha A - beta cores - gamma batch) is whole.

A *loss* is one whole number, added up over the stages and minimised. Its digits are, from the highest: the objective's
loss, the number of stages that get another variant, the cores, the batch sizes, the number of stages that get another
variant or batch size, and the place in the order. So the sum of losses orders configurations by the rule for ties, and
no two configurations have the same sum (except, in a graph, two that differ only in replicas). Where a core weighs
nothing, the cores come before the variants: those that are not needed are given back. Where the goal is the least cost,
another variant weighs in the objective, below a core and above all accuracy.

With product accuracy the loss excludes the accuracy: a configuration's rank is its loss minus `reward` times the
product. The same holds for measured accuracies of combinations of variants, where D is their common denominator and U
is D, and for those of a graph (see `flows`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from ipa.policies.goals import Goal
from ipa.policies.optimiser.flows import Combinations, Ways
from ipa.policies.optimiser.parameters import Parameters

if TYPE_CHECKING:
    from ipa.profiles import Stage

NS = 1_000_000_000
CORES_BITS, BATCH_BITS, CHANGED_BITS = 48, 32, 12
"""The bits of the digits below the objective's; both counts of stages have `CHANGED_BITS`."""


@dataclass(frozen=True, slots=True)
class Scales:
    """The whole-number scales of one programme.

    `terms` and `raw` map each stage's variants to their accuracy, in units of 1 / D and as a fraction. `shift` is the
    number of bits below the objective's digits, `order_bits` the number below the count of changes. `switching`: the
    weight of another variant, in the units of the other weights. `joint`: replaces the product in a graph, and where
    combinations were measured; then all terms are 1.
    """

    terms: tuple[dict[str, int], ...]
    raw: tuple[dict[str, float], ...]
    multiply: bool
    unit: int
    weight_unit: int
    alpha: int
    beta: int
    gamma: int
    switching: int
    order_bits: int
    measured: Callable[[Sequence[str]], float]
    joint: Ways | Combinations | None = None

    @property
    def shift(self) -> int:
        """The bits below the objective's digits of a loss."""
        return self.order_bits + CHANGED_BITS + BATCH_BITS + CORES_BITS + CHANGED_BITS

    @property
    def reward(self) -> int:
        """The reduction of a loss per unit of the product of accuracies (0 if the loss includes accuracy)."""
        return self.alpha << self.shift if self.multiply else 0

    @property
    def changed_loss(self) -> int:
        """The loss of a stage that does not keep its variant and batch size."""
        return 1 << self.order_bits

    @property
    def switched_loss(self) -> int:
        """The further loss of a stage that does not keep its variant."""
        switched_shift = self.order_bits + CHANGED_BITS + BATCH_BITS + (CORES_BITS if self.beta else 0)
        return (self.switching * self.unit << self.shift) + (1 << switched_shift)

    @property
    def core_loss(self) -> int:
        """The loss of one core."""
        cores_shift = self.order_bits + CHANGED_BITS + BATCH_BITS + (0 if self.beta else CHANGED_BITS)
        return (self.beta * self.unit << self.shift) + (1 << cores_shift)

    def batch_loss(self, batch: int) -> int:
        """The loss of a batch size."""
        batch_shift = self.order_bits + CHANGED_BITS
        return (self.gamma * batch * self.unit << self.shift) + (batch << batch_shift)

    def accuracy_loss(self, term: int) -> int:
        """The (negative) loss of a stage's accuracy; 0 with product accuracy."""
        return 0 if self.multiply else -(self.alpha * term << self.shift)

    def combine(self, terms: Sequence[int]) -> int:
        """The pipeline's accuracy in units of 1 / U."""
        return math.prod(terms) if self.multiply else sum(terms)

    def objective(self, loss: int) -> float:
        """The objective of a configuration, from its loss (less the reward)."""
        return -(loss >> self.shift) / (self.unit * self.weight_unit)

    def parts(self, variants: Sequence[str], cores: int, batch: int) -> dict[str, float]:
        """The parts of the objective, for one variant per stage; `cores` and `batch` are sums over the stages."""
        terms = [t[v] for t, v in zip(self.terms, variants, strict=True)]
        accuracy = self.combine(terms) if self.joint is None else self.joint.accuracy(terms, variants)
        total = self.alpha * accuracy - self.unit * (self.beta * cores + self.gamma * batch)
        return {
            "accuracy": accuracy / self.unit,
            "pas": self.measured(variants),
            "cost_cores": float(cores),
            "batch": float(batch),
            "total": total / (self.unit * self.weight_unit),
        }


def scales(parameters: Parameters, order_bits: int) -> Scales:
    """The scales of the programme with these parameters; numbering its configurations takes `order_bits` bits."""
    stages = parameters.pipeline.stages
    exact = [accuracy_terms(stage, parameters) for stage in stages]
    combinations = combination_terms(parameters)
    if combinations is not None:
        exact = [dict.fromkeys(terms, Fraction(1, combinations.unit)) for terms in exact]
    denominator = math.lcm(*(term.denominator for terms in exact for term in terms.values()))
    multiply = parameters.accuracy in ("product", "pairs")
    unit = denominator ** len(stages) if parameters.accuracy == "product" else denominator
    joint: Ways | Combinations | None = combinations
    if joint is None and parameters.pipeline.graph is not None and parameters.accuracy == "product":
        joint = Ways.of(parameters.pipeline.graph, [stage.name for stage in stages], denominator)
    if joint is not None:
        unit = joint.unit
    weights = [Fraction(str(w)) for w in (parameters.alpha, parameters.beta, parameters.gamma)]
    weights[1] *= Fraction(str(parameters.pipeline.limits.price_per_core))
    weight_unit = math.lcm(*(weight.denominator for weight in weights))
    alpha, beta, gamma = (int(weight * weight_unit) for weight in weights)
    return Scales(
        terms=tuple({name: int(term * denominator) for name, term in e.items()} for e in exact),
        raw=tuple({v.name: v.accuracy for v in stage.variants} for stage in stages),
        multiply=multiply,
        unit=unit * len(stages) if parameters.accuracy == "average" else unit,
        weight_unit=weight_unit,
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        switching=alpha if isinstance(parameters.goal, Goal) and parameters.goal.aim == "cost" else 0,
        order_bits=order_bits,
        measured=parameters.pipeline.accuracy_of,
        joint=joint,
    )


def combination_terms(parameters: Parameters) -> Combinations | None:
    """The measured accuracies of combinations of variants, raised to the floor; None if the programme counts none."""
    measured = parameters.pipeline.measured_accuracies
    if not measured or parameters.accuracy != ("product" if parameters.pipeline.graph else "pairs"):
        return None
    floor = Fraction(round(parameters.accuracy_floor * NS), NS)
    exact = {key: max(floor, Fraction(round(accuracy * NS), NS)) for key, accuracy in measured.items()}
    unit = math.lcm(*(accuracy.denominator for accuracy in exact.values()))
    return Combinations({key: int(accuracy * unit) for key, accuracy in exact.items()}, unit)


def accuracy_terms(stage: Stage, parameters: Parameters) -> dict[str, Fraction]:
    """Variant -> its accuracy as the programme counts it: raw or as a rank, raised to the floor."""
    if parameters.accuracy_scale == "rank":
        terms = stage.ranks(parameters.candidates_of(stage))
    else:
        terms = {v.name: Fraction(round(v.accuracy * NS), NS) for v in stage.variants}
    floor = Fraction(round(parameters.accuracy_floor * NS), NS)
    return {name: max(floor, term) for name, term in terms.items()}
