"""How often intervals over seeds hold the mean, for outcomes that are distributed as those of runs are.

The distributions are made to look like 2,000 seeds of `video` on `bursty`: violations come in bursts, whose sizes are
lognormal (median 16, mean 53 requests under `ipa`), with so many bursts in a run on average; p99 is skewed (by 3 for
`rate`, 1.9 for `ipa`); cost is nearly normal. Runs are of 14,412 requests and 1,200 s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from ipa.live.profiling import repeats
from ipa.sim import FloatArray
from ipa.studies.intervals import CONFIDENCE, PLAIN, IntervalBounds, bounds, differences, kind_of
from ipa.studies.many.answers import of_summaries
from ipa.studies.many.answers.differences import dominated
from ipa.studies.many.answers.outcome import known_outcome
from ipa.studies.many.tuning.gains import gains

REQUESTS, SPAN_S = 14_412, 1200.0

Draw = Callable[[np.random.Generator, tuple[int, int]], FloatArray]


@dataclass(frozen=True)
class Outcome:
    """A figure of runs: `key` in the summary, how it is drawn, and its mean. `least`: of all intervals over 5 or more
    seeds, the share that has to hold the mean."""

    name: str
    key: str
    draw: Draw
    mean: float
    least: float

    def bounds(self, values: FloatArray, confidence: float = CONFIDENCE) -> IntervalBounds:
        """The intervals of rows of runs."""
        of, span_s = np.full(values.shape, float(REQUESTS)), np.full(values.shape, SPAN_S)
        return bounds(kind_of(self.key), values, confidence, of, span_s)

    def coverage(self, seeds: int, rows: int, random: np.random.Generator) -> tuple[float, float]:
        """Of intervals over so many seeds, the share that holds the mean: ours, and Student's."""
        values = self.draw(random, (rows, seeds))
        found = (self.bounds(values), bounds(PLAIN, values, CONFIDENCE))
        ours, student = (float(np.mean((each.low <= self.mean) & (self.mean <= each.high))) for each in found)
        return ours, student


def bursts(per_run: float, median: float, sigma: float, least: float) -> Outcome:
    """Violations in bursts of lognormal size."""

    def draw(random: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
        count = random.poisson(per_run, shape)
        total = np.zeros(shape)
        for number in range(int(count.max())):
            total += np.where(count > number, random.lognormal(np.log(median), sigma, shape), 0.0)
        return np.minimum(total / REQUESTS, 1.0)

    mean = per_run * median * exp(sigma**2 / 2) / REQUESTS
    name = f"violations, {per_run:g} bursts a run of {median * exp(sigma**2 / 2):.0f} requests"
    return Outcome(name, "sla_violation_rate", draw, mean, least)


def alone(rate: float) -> Outcome:
    """Violations that have nothing to do with each other."""
    return Outcome(
        f"violations, single ones, {100 * rate:g} %",
        "sla_violation_rate",
        lambda random, shape: random.binomial(REQUESTS, rate, shape) / REQUESTS,
        rate,
        0.94,
    )


def skewed(name: str, base_s: float, scale_s: float, sigma: float, least: float) -> Outcome:
    """A latency: `base_s`, and something lognormal above it."""
    return Outcome(
        name,
        "latency_p99_s",
        lambda random, shape: base_s + scale_s * random.lognormal(0.0, sigma, shape),
        base_s + scale_s * exp(sigma**2 / 2),
        least,
    )


def upper_ends_held(outcome: Outcome, seeds: int, rows: int, random: np.random.Generator) -> float:
    """Of intervals over so many seeds, the share whose upper end is at least the mean: a bound of 97.5 %."""
    return float(np.mean(outcome.mean <= outcome.bounds(outcome.draw(random, (rows, seeds))).high))


WHOLE_BURSTS = bursts(1.2, 120.0, 0.0, 0.0)
"""Bursts of 10 s in which all requests are late, as assumed where none was seen; the mean is 1 %."""

RARE = bursts(0.01, 16.0, 1.55, 0.94)
SKEWED = skewed("p99 as of rate, skewness 2.9", 1.72, 0.04, 0.7, 0.93)

OUTCOMES = (
    RARE,
    bursts(0.3, 16.0, 1.55, 0.94),
    bursts(1.0, 60.0, 0.8, 0.9),
    bursts(5.0, 60.0, 0.8, 0.92),
    alone(0.0005),
    SKEWED,
    skewed("p99, skewness 6.2", 2.0, 0.7, 1.0, 0.9),
    Outcome("p99, exponential above 2 s", "latency_p99_s", lambda r, shape: 2.0 + r.exponential(1.0, shape), 3.0, 0.94),
    Outcome("cost, normal", "cost_mean_cores", lambda r, shape: r.normal(2.85, 0.03, shape), 2.85, 0.94),
)


def wrong_winners(settings: Sequence[Outcome], seeds: int, rows: int, random: np.random.Generator) -> float:
    """Of comparisons of settings by the least mean, the share in which one is shown to win that is not the best."""
    values = [each.draw(random, (rows, seeds)) for each in settings]
    best = min(each.mean for each in settings)
    of, span_s = np.full((rows, seeds), float(REQUESTS)), np.full((rows, seeds), SPAN_S)
    confidence = 1.0 - (1.0 - CONFIDENCE) / (len(settings) - 1)
    wrong = np.zeros(rows, dtype=bool)
    for place, each in enumerate(settings):
        others = [value for at, value in enumerate(values) if at != place]
        found = [differences(kind_of(each.key), one, values[place], confidence, of, span_s) for one in others]
        is_best_alone = each.mean == best and [other.mean for other in settings].count(best) == 1
        wrong |= np.all([one.low > 0.0 for one in found], axis=0) & (not is_best_alone)
    return float(wrong.mean())


def wrongly_dominated(settings: int, seeds: int, rows: int, random: np.random.Generator, correlation: float) -> float:
    """Of tables of equal settings, the share in which some setting is called dominated.

    `correlation`: of cost and PAS, both less or both more at once, over the runs.
    """
    outcomes = (known_outcome("cost_mean_cores"), known_outcome("pas_mean"))
    wrong = 0
    for _ in range(rows):
        cost, rest = random.normal(size=(2, settings, seeds))
        pas = correlation * cost + (1.0 - correlation**2) ** 0.5 * rest
        summaries = {
            str(place): {
                seed: {"cost_mean_cores": 3.0 + 0.1 * cost[place, seed], "pas_mean": 40.0 + pas[place, seed]}
                for seed in range(seeds)
            }
            for place in range(settings)
        }
        wrong += bool(dominated(of_summaries("policy", summaries, outcomes), outcomes))
    return wrong / rows


def changes_held(outcome: Outcome, windows: int, rows: int, random: np.random.Generator) -> float:
    """Of tunings that found a setting like the defaults, the share whose interval of the change holds 0."""
    held, throughput_rps = 0, np.full(windows, REQUESTS / SPAN_S)
    for both in zip(*(outcome.draw(random, (rows, windows)) for _ in range(2)), strict=True):
        one, other = ({outcome.key: each, "throughput_rps": throughput_rps} for each in both)
        (found,) = gains([outcome.key], one, other, 1, SPAN_S)
        held += found.change.low <= 0.0 <= found.change.high
    return held / rows


STEADY = Outcome("p99, steady", "latency_p99_s", lambda random, shape: random.normal(1.77, 0.003, shape), 1.77, 0.94)

WINNERS = {
    "violations: rare bursts, against few but steady ones": (RARE, *(3 * (alone(0.00003),))),
    "p99: skewed, against steady ones with a little less": (SKEWED, *(3 * (STEADY,))),
    "p99: eight settings alike, skewed": 8 * (SKEWED,),
}
"""Settings, none of which is shown to win with right but one that alone has the least mean."""

CORRELATIONS = {
    "independent": 0.0,
    "less of both or more of both at once": 0.9,
    "more of one with less of the other": -0.9,
}
"""How cost and PAS of equal settings go together over runs."""


def profiled(
    of: tuple[Callable[[Sequence[float]], repeats.TimeEstimate], ...],
    within: float,
    truth: float,
    cases: int,
    random: np.random.Generator,
) -> float:
    """How often the profiler's last interval holds the truth, where it measures until all are narrow: exponential
    latencies with a mean of 1, at most 6,000 of them."""
    held = 0
    for _ in range(cases):
        values = random.exponential(1.0, 6000).tolist()
        stopping = repeats.StoppingRule(within, of)
        count = stopping.look_at
        while count < 6000 and not stopping.is_over(values[:count]):
            count = stopping.look_at
        found = of[-1](values[:count])
        held += found.low <= truth <= found.high
    return held / cases
