"""Optimistic bounds by Lagrangian relaxation: SLA and cores are priced instead of constrained.

With a price on time and one on cores, only the product of accuracies connects the stages. If the product of the
accuracies picked before stage k is y, the stages from k on can at best reach

    F_k(y) = min over their picks of  sum (cost + prices x spending) - R y (product of accuracies),

which is a lower envelope of straight lines in y, and F_k(y) = min over options (cost + prices x spending + F_(k+1)(y
a)), so the envelopes follow from the last stage backwards. A pick within the limits costs at least F minus the price of
the limits, which bounds every partial pick. Cutting planes find good prices, one at a time.

Costs and accuracies are floats, as shares of the greatest one. Bounds only prune, with a margin for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

STEPS = 12
# Prices are good enough if the bound can rise by at most this share of the gap.
ENOUGH = 0.1
ROUNDING = 1e-12


class ScaledOption(NamedTuple):
    """An option: cost and accuracy as shares; time [ns] and cores above the stage's least."""

    cost: float
    spent: tuple[int, int]
    accuracy: float


Chain = tuple[int, "Chain"] | None
Line = tuple[float, float, Chain]
"""Value at y = 0, downward slope, and the line's options, stage by stage."""


class Envelope(NamedTuple):
    """The lower envelope of some lines; line i is the lowest from cut i - 1 to cut i."""

    lines: list[Line]
    cuts: list[float]


@dataclass(frozen=True, slots=True)
class Relaxation:
    """The envelopes F_0 .. F_S for the prices of a nanosecond and a core.

    `limit_price` is the price of the limits. `bound` is F_0(1) minus that price, attained by `pick`. `cost` (less the
    reward) and `spent` are those of the pick.
    """

    prices: tuple[float, float]
    limit_price: float
    envelopes: Sequence[Envelope]
    bound: float
    pick: tuple[int, ...]
    cost: float
    spent: tuple[int, int]

    @property
    def margin(self) -> float:
        """The largest error of a bound due to rounding."""
        return ROUNDING * len(self.pick) * (1.0 + self.limit_price)


class Relaxed:
    """A programme's relaxations found while searching prices, and the cost of the best pick found within the limits.

    `stages` hold their options by falling accuracy. An absent limit is 0, not `limited`, and options spend nothing of
    it. `least_share`: the required product of accuracies, which has no price: bounds ignore it.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[ScaledOption]],
        reward: float,
        limits: tuple[int, int],
        limited: tuple[bool, bool],
        least_share: float = 0.0,
    ) -> None:
        self._stages, self._reward, self._limits, self._least_share = stages, reward, limits, least_share
        self._lows = [1.0]
        for stage in stages[:-1]:
            self._lows.append(self._lows[-1] * stage[-1].accuracy)
        self.tried: list[Relaxation] = []
        # An upper bound for all picks, whatever they spend.
        self.cost = sum(max(option.cost for option in stage) for stage in stages)
        prices = (0.0, 0.0)
        if not any(limited):
            self._at(prices)
        for axis in (0, 1):
            if limited[axis]:
                prices = self._improved(prices, axis)
        self.tried.sort(key=lambda relaxation: -relaxation.bound)

    def _improved(self, prices: tuple[float, float], axis: int) -> tuple[float, float]:
        """The prices, with that of one axis moved to the maximum of the bound.

        The bound is concave in the price, and every pick is a line above it: its cost without prices, with the excess
        of its spending as slope. The highest point below the lines is tried next.
        """
        other_axis = 1 - axis

        def line(cost: float, spent: tuple[int, int]) -> tuple[float, int]:
            return cost + prices[other_axis] * (spent[other_axis] - self._limits[other_axis]), spent[
                axis
            ] - self._limits[axis]

        def priced(price: float) -> tuple[float, float]:
            return (price, prices[1]) if axis == 0 else (prices[0], price)

        best = self._at(priced(0.0))
        rising = line(best.cost, best.spent)
        if rising[1] <= 0:
            return best.prices
        falling = line(*self._met([_least_spending(stage, axis) for stage in self._stages]))
        for _ in range(STEPS):
            price = (falling[0] - rising[0]) / (rising[1] - falling[1])
            tried = self._at(priced(price))
            best = max(best, tried, key=lambda relaxation: relaxation.bound)
            gap = rising[0] + price * rising[1] - best.bound
            if gap <= max(ROUNDING, ENOUGH * (self.cost - best.bound)):
                break
            cut = line(tried.cost, tried.spent)
            if cut[1] > 0:
                rising = cut
            else:
                falling = cut
        return best.prices

    def _at(self, prices: tuple[float, float]) -> Relaxation:
        limits = self._limits
        limit_price = prices[0] * limits[0] + prices[1] * limits[1]
        envelopes, lowest, pick = _envelopes(self._stages, self._reward, prices, self._lows)
        relaxation = Relaxation(prices, limit_price, envelopes, lowest - limit_price, pick, *self._met(pick))
        self.tried.append(relaxation)
        return relaxation

    def _met(self, pick: Sequence[int]) -> tuple[float, tuple[int, int]]:
        """A pick's cost (less the reward) and spending; records the least cost of a pick within the limits."""
        cost, ns, cores, product = 0.0, 0, 0, 1.0
        for stage, i in zip(self._stages, pick, strict=True):
            option_cost, (wait, extra), share = stage[i]
            cost, ns, cores, product = cost + option_cost, ns + wait, cores + extra, product * share
        cost -= self._reward * product
        if ns <= self._limits[0] and cores <= self._limits[1] and product >= self._least_share:
            self.cost = min(self.cost, cost)
        return cost, (ns, cores)


def _least_spending(stage: Sequence[ScaledOption], axis: int) -> int:
    return min(range(len(stage)), key=lambda i: (stage[i].spent[axis], stage[i].cost))


def _envelopes(
    stages: Sequence[Sequence[ScaledOption]], reward: float, prices: tuple[float, float], lows: Sequence[float]
) -> tuple[list[Envelope], float, tuple[int, ...]]:
    """F_0 .. F_S, F_0(1) and the pick that attains it; `lows[k]` is the least product of accuracies before stage k."""
    time_price, core_price = prices
    following = Envelope([(0.0, reward, None)], [])
    envelopes = [following]
    for stage, low in zip(reversed(stages), reversed(lows), strict=True):
        least = inf
        best: list[tuple[float, float, int]] = []
        for i, (cost, (ns, cores), accuracy) in enumerate(stage):
            priced = cost + time_price * ns + core_price * cores
            if priced < least:
                if best and best[-1][1] == accuracy:
                    best.pop()
                best.append((priced, accuracy, i))
                least = priced
        lines: list[Line] = [
            (priced + value, accuracy * slope, (i, chain))
            for priced, accuracy, i in best
            for value, slope, chain in following.lines
        ]
        following = _lowest(lines, low)
        envelopes.append(following)
    envelopes.reverse()
    value, slope, chain = following.lines[-1]  # the lowest at y = 1
    pick = []
    while chain is not None:
        i, chain = chain
        pick.append(i)
    return envelopes, value - slope, tuple(pick)


def _lowest(lines: list[Line], low: float) -> Envelope:
    """The lower envelope of lines for y from `low` to 1."""
    if len(lines) == 1:
        return Envelope(lines, [])
    lines.sort(key=lambda line: (line[1], line[0]))
    envelope: list[Line] = []
    cuts: list[float] = []
    for line in lines:
        value, slope, _ = line
        cut = low
        while envelope:
            above, flatter, _ = envelope[-1]
            cut = (value - above) / (slope - flatter) if slope > flatter else inf
            if cut > (cuts[-1] if cuts else low):
                break
            envelope.pop()
            if cuts:
                cuts.pop()
        if not envelope:
            envelope.append(line)
        elif cut < 1.0:
            envelope.append(line)
            cuts.append(cut)
    return Envelope(envelope, cuts)
