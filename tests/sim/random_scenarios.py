"""Random hard scenarios in the oracle's format: ties at one instant, drops, rollouts, bounds."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

OPTIONAL = {"factors", "removal", "limit_cores", "when_full"}
DEADLINE = [("central", "deadline"), ("eager", "deadline")]
MODES = [("central", "request")] * 3 + [
    ("eager", "request"),
    ("central", "batch"),
    ("eager", "batch"),
    *DEADLINE,
]


def ways(seed: int) -> dict[str, Any]:
    """How replicas are removed in the scenario of `seed`, where both ways are to be seen."""
    return {"removal": ("drain", "lose")[seed // 2 % 2]}


def scenario(seed: int, *, core_sizes: int = 2, **overrides: Any) -> dict[str, Any]:
    """The scenario of `seed`, always the same; a variant has at most `core_sizes` allocations.

    `overrides` replace whole keys of the result and shift no other draw. Raises TypeError for a
    key that scenarios do not have.
    """
    made = Maker(Random(seed), core_sizes).scenario()
    unknown = sorted(overrides.keys() - made.keys() - OPTIONAL)
    if unknown:
        raise TypeError(f"scenarios have no key {unknown[0]!r}: {', '.join(sorted(made))}")
    return made | overrides


def with_limit(drawn: dict[str, Any], seed: int) -> dict[str, Any]:
    """The scenario with a limit of cores that its decisions often meet."""
    rng = Random(f"limit {seed}")
    initial = sum(each["replicas"] * each["cores"] for each in drawn["initial"])
    limit = {
        "limit_cores": initial + rng.choice([0, 0, 1, 2, 4, 8]),
        "when_full": rng.choice(["replace", "replace", "wait"]),
    }
    return {**drawn, **limit}


class Maker:
    def __init__(self, rng: Random, core_sizes: int, stages: Sequence[int] = (1, 2, 2, 3, 3, 4)) -> None:
        self.rng = rng
        self.counts = stages
        self.core_sizes = core_sizes
        # Sums of quarters are exact, so that they tie; sums of tenths tie or just miss.
        self.step = rng.choice([0.25, 0.25, 0.5, 0.1, None, None])
        self.latencies_on_grid = rng.random() < 0.5

    def scenario(self) -> dict[str, Any]:
        rng = self.rng
        self.duration_s = self.seconds(3, 30)
        stages = [self.stage() for _ in range(rng.choice(self.counts))]
        initial = [self.configuration(stage) for stage in stages]
        interval_s = self.seconds(0.75, 4)
        surge, unavailable = rng.choice([(0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (None, 0), (None, 1)])
        sla_s = self.seconds(2, 10)
        made: dict[str, Any] = {
            "arrivals": self.arrivals(),
            "duration_s": self.duration_s,
            "sla_s": sla_s,
            "stages": stages,
            "initial": initial,
            "decisions": self.decisions(stages, initial, interval_s),
            "hop_s": rng.choice([0.0, 0.0, self.seconds(0.05, 1)]),
            "stop_s": rng.choice([0.0, self.seconds(0.25, 3)]),
            "decision_delay_s": self.delay(interval_s),
            "max_surge": surge,
            "max_unavailable": unavailable,
            "bound_s": self.seconds(0.25, 3) if rng.random() < 0.3 else 10 * sla_s,
        }
        if rng.random() < 0.5:
            made["factors"] = [self.factors(40) for _ in stages]
        made["dispatch"], made["drop"] = rng.choice(MODES)
        return made

    def seconds(self, least: float, most: float) -> float:
        """A time above zero, on the grid if the scenario has one."""
        drawn = self.rng.uniform(least, most)
        return drawn if self.step is None else max(1, round(drawn / self.step)) * self.step

    def stage(self) -> dict[str, Any]:
        variants = {}
        for name in "abcd"[: self.rng.randint(1, 4)]:
            allocations = sorted(self.rng.sample([1, 2, 4], self.rng.randint(1, 2))[: self.core_sizes])
            variants[name] = {
                "latency_s": {cores: self.latency_s() for cores in allocations},
                "start_up_s": self.rng.choice([0.0, self.seconds(0.1, 1), self.seconds(0.5, 5)]),
            }
        limits_s = [self.seconds(0.25, 2), self.seconds(1, 6), self.seconds(4, 15), 60.0]
        drop_limit_s = self.rng.choice(limits_s)
        return {"variants": variants, "drop_limit_s": drop_limit_s}

    def latency_s(self) -> dict[int, float]:
        rng = self.rng
        if self.latencies_on_grid and self.step is not None:
            first, more = self.step * rng.randint(1, 3), self.step * rng.choice([0, 0, 1, 2])
        else:
            first, more = rng.uniform(0.05, 0.8), rng.uniform(0.01, 0.3)
        return {batch: first + more * (batch - 1) for batch in range(1, rng.randint(1, 8) + 1)}

    def configuration(self, stage: dict[str, Any]) -> dict[str, Any]:
        rng = self.rng
        variant = rng.choice(sorted(stage["variants"]))
        drop_limit_s = stage["drop_limit_s"]
        timeouts_s = [0.0, self.seconds(0.1, 1), self.seconds(0.5, 3), drop_limit_s]
        return {
            "variant": variant,
            "cores": rng.choice(sorted(stage["variants"][variant]["latency_s"])),
            "batch": rng.choice([1, 1, 2, 2, 3, 4, 5, 8]),
            "replicas": rng.choice([1, 1, 2, 2, 3, 4, 5, 6]),
            "batch_timeout_s": rng.choice([*timeouts_s, drop_limit_s + self.seconds(0.1, 2)]),
        }

    def decisions(
        self, stages: list[dict[str, Any]], initial: list[dict[str, Any]], interval_s: float
    ) -> list[list[Any]]:
        """A step at every multiple of the interval within the run; some end halfway."""
        history = [initial]
        most = self.rng.choice([0, 3, 1000])
        decisions: list[list[Any]] = []
        while (len(decisions) + 1) * interval_s < self.duration_s and len(decisions) < most:
            following = [
                self.rng.choice(
                    [
                        history[-1][i],
                        self.rng.choice(history)[i],
                        self.configuration(stage),
                        history[-1][i] | {"replicas": self.rng.randint(0, 6)},
                        history[-1][i] | {"batch": self.rng.randint(1, 8)},
                    ]
                )
                for i, stage in enumerate(stages)
            ]
            history.append(following)
            decisions.append([len(history[1:]) * interval_s, following])
        return decisions

    def delay(self, interval_s: float) -> float:
        return self.rng.choice([0.0, 0.0, self.seconds(0.1, 0.5), interval_s, interval_s + self.seconds(0.25, 6)])

    def arrivals(self) -> list[float]:
        """0 to 120 requests below the duration: a steady load, bursts, or one heap."""
        rng = self.rng
        count = rng.choice([0, 1, *[rng.randint(2, 120) for _ in range(10)]])
        # Early enough that rounding leaves them below the duration.
        bursts = [rng.uniform(0, 0.9 * self.duration_s) for _ in range(rng.randint(1, 8))]
        spread_s = rng.choice([0.0, 0.3, 2.0])
        share = rng.choice([0.0, 0.5, 1.0])
        times: list[float] = []
        while len(times) < count:
            if rng.random() < share:
                drawn = rng.choice(bursts) + rng.uniform(0, spread_s)
            else:
                drawn = rng.uniform(0, self.duration_s)
            if self.step is not None:
                drawn = round(drawn / self.step) * self.step
            if drawn < self.duration_s:
                times.append(drawn)
        return sorted(times)

    def factors(self, most: int) -> list[float]:
        kind = self.rng.choice(["none", "grid", "lognormal"])
        count = 0 if kind == "none" else self.rng.randint(1, most)
        if kind == "grid":
            return [self.rng.choice([0.5, 1.0, 1.0, 2.0]) for _ in range(count)]
        return [self.rng.lognormvariate(0.0, 0.4) for _ in range(count)]
