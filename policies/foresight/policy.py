"""The policy: IPA's programme on what has been seen, without its margins, and with the risk of surges as a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.foresight.backlog import coming_rps, required_rps
from ipa.policies.foresight.clock import period_of
from ipa.policies.foresight.insurance import Timing, insured_rps
from ipa.policies.foresight.level import SHORT_S, Level, level_of, mean
from ipa.policies.foresight.surges import (
    BIN_S,
    BINS,
    DEVIATIONS,
    REMEMBERED_S,
    RISE,
    Surge,
    from_memory,
    large_onsets_s,
    surges_in,
    to_memory,
)
from ipa.policies.interface import Configuration, Decision, Memory, Observation
from ipa.policies.optimising_policy import PLANNING_PARAMETERS, OptimisingPolicy, decision_from_solution
from ipa.policies.predictors import OUTLOOK_PARAMETERS

if TYPE_CHECKING:
    from ipa.profiles import Pipeline

DISPATCHES = ("central", "eager")

LATENCY_SHARE = 0.63
"""Of the SLA, for which the programme plans; the rest is for queues."""
BAND, FILL = 0.3, 0.97
"""Planned is FILL x (mean of ten seconds + BAND x deviation of a second): the mean, as a queue evens seconds out."""
CATCH_SHARE, WAIT_SHARE = 0.8, 0.9
"""Of the SLA, within which the backlog, and what comes in a surge, is to be served."""
HALVED_S = 10.0
"""A plan falls by no more than half in this time: a load that stops from one second to the next may only be unseen."""
MOST = 3.0
"""A backlog asks for at most this many times the load."""
STEADY = 0.05
"""A planned rate stays while less by no more than this would do."""
SURGE_SHARE = 0.5
"""Of the risk, for surges; the rest is for what else goes wrong."""


class Foresight(OptimisingPolicy):
    """IPA's programme on the mean load, insured against surges as far as the risk asks for.

    `risk`: the share of requests that may be late. `interval_s`: the time between decisions, which only the first one
    needs. `decision_delay_s`: that of the scenario. `dispatch`: that of the scenario, "central" or "eager". The
    defaults of `load_margin`, `rounding` and `throughput_share` are a plan without caution. For other parameters see
    `OptimisingPolicy`; those of the forecast are left out. PolicyError: an impossible value.
    """

    further_parameters = tuple(name for name in PLANNING_PARAMETERS if name not in OUTLOOK_PARAMETERS)
    reads = ("past_rps",)

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        risk: float = 0.001,
        interval_s: float = 10.0,
        decision_delay_s: float = 0.0,
        dispatch: str = "central",
        load_margin: float = 0.0,
        rounding: str = "none",
        throughput_share: float = 1.0,
        sla_s: float | None = None,
        **planning: Any,
    ) -> None:
        checks.known("parameter", planning, self.further_parameters)
        self.risk = checks.number("risk", risk, above=0, at_most=1)
        self.interval_s = checks.number("interval_s", interval_s, above=0)
        self.decision_delay_s = checks.number("decision_delay_s", decision_delay_s, at_least=0)
        self.dispatch = checks.choice("dispatch", dispatch, DISPATCHES)
        self.sla_s = pipeline.sla_s if sla_s is None else checks.number("sla_s", sla_s, above=0)
        super().__init__(
            pipeline,
            load_margin=load_margin,
            rounding=rounding,
            throughput_share=throughput_share,
            sla_s=LATENCY_SHARE * self.sla_s,
            **planning,
        )
        self._stages = pipeline.stages
        self._start_up_s = max(variant.start_up_s for stage in pipeline.stages for variant in stage.variants)
        self._lead_s = self.decision_delay_s + self._start_up_s

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        planning = {key: value for key, value in super().parameters.items() if key not in OUTLOOK_PARAMETERS}
        own = {key: getattr(self, key) for key in ("risk", "interval_s", "decision_delay_s", "dispatch")}
        return {**own, **planning, "sla_s": self.sla_s}

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The decision for this step. PolicyError: a solver that cannot answer."""
        level = level_of(observation.load_rps)
        if level is None or observation.is_silent:
            return self._hold(observation, memory)
        step_s = observation.elapsed_s or self.interval_s
        seen = self._learnt(observation, memory, step_s)
        surges = from_memory(seen["surges"])
        peak_rps = self.forecast(level, surges, seen["now_s"])
        peak_rps = max(peak_rps, seen.get("peak_rps", 0.0) * 0.5 ** (step_s / HALVED_S))
        seen["peak_rps"] = peak_rps
        calm_rps = FILL * peak_rps
        is_surge = bool(surges) and surges[-1].end_s is None
        if not is_surge:
            timing = Timing(step_s, self._lead_s, WAIT_SHARE * self.sla_s, self.dispatch == "eager")
            allowed = SURGE_SHARE * seen["risk"] * seen["mean_rps"] * step_s
            insured = insured_rps(
                seen["now_s"], level.m10_rps, surges, seen["period_s"], seen["seen_s"], timing, allowed
            )
            calm_rps = max(calm_rps, insured)
        need_rps = calm_rps
        if observation.elapsed_s:
            need_rps = max(calm_rps, self.required(observation, level, peak_rps, step_s, seen["share"]))
        slowest = min(seen["share"].values(), default=1.0)
        calm_rps, need_rps = calm_rps / slowest, need_rps / slowest
        calm_rps, need_rps = self._steadied(calm_rps, need_rps, seen)
        return self._chosen(observation, memory, seen, calm_rps, need_rps, peak_rps, step_s)

    # ---- what is seen ----

    def _learnt(self, observation: Observation, memory: Memory, step_s: float) -> dict[str, Any]:
        """What is remembered from now on."""
        now_s = observation.time_s if observation.clock_s is None else observation.clock_s
        known: dict[str, Any] = dict(memory.get("seen", {}))
        load_rps: Sequence[float] = observation.load_rps
        if not known:
            load_rps = (*(observation.past_rps or ()), *load_rps)
            samples = sum(count == count for count in load_rps)
            known = {"surges": [], "seen_s": float(samples), "mean_rps": mean(load_rps), "share": {}, "period_s": None}
            known["onsets"] = -1
        else:
            recent = mean(load_rps[-max(1, round(step_s)) :])
            known["seen_s"] = min(known["seen_s"] + step_s, REMEMBERED_S)
            if recent == recent:
                known["mean_rps"] += (recent - known["mean_rps"]) * min(1.0, step_s / known["seen_s"])
        surges = surges_in(load_rps, now_s, from_memory(known["surges"]))
        fresh = [surge.onset_s for surge in surges if not surge.follows]
        latest = fresh[-1] if fresh else -1
        if latest != known["onsets"]:
            known["onsets"], known["period_s"] = latest, period_of(large_onsets_s(surges))
        known["surges"] = to_memory(surges)
        known["now_s"] = now_s
        known["share"] = self._shares(observation, memory, step_s)
        known["risk"] = self.risk
        return known

    def _shares(self, observation: Observation, memory: Memory, step_s: float) -> dict[str, float]:
        """Stage -> the share of its profiled throughput that it reaches, from what saturated stages have completed."""
        before = memory.get("stages", {})
        found = {}
        for stage in self._stages:
            seen = observation.stages[stage.name]
            was = before.get(stage.name)
            share = 1.0 if was is None else was["share"]
            if was is not None and observation.elapsed_s:
                have_rps, ready = self._throughput(observation, stage.name)
                full = 2 * ready * seen.configuration.batch
                same = was["ready"] == ready and was["batch"] == seen.configuration.batch
                if same and min(was["queue"], seen.queue_length) >= full and seen.completions >= 30:
                    reached = seen.completions / (step_s * have_rps)
                    share += 0.5 * (min(1.0, max(0.5, reached)) - share)
                else:
                    share += (1.0 - share) * min(1.0, step_s / 1800)
            found[stage.name] = share
        return found

    def _throughput(self, observation: Observation, name: str) -> tuple[float, int]:
        """What the ready replicas of a stage serve by their profiles [rps], and how many they are."""
        seen = observation.stages[name]
        stage = next(stage for stage in self._stages if stage.name == name)
        have_rps, ready = 0.0, 0
        for variant_name, counts in seen.replicas.items():
            variant = stage.variant(variant_name)
            batch = min(seen.configuration.batch, variant.max_batch())
            have_rps += counts.ready * variant.throughput_rps(batch)
            ready += counts.ready
        return have_rps, ready

    def forecast(self, level: Level, surges: Sequence[Surge], now_s: float) -> float:
        """The load to come [rps]: the level, and in the first minute of a surge what such surges have come to."""
        peak_rps = level.m10_rps + BAND * level.deviation_rps
        if not surges or surges[-1].end_s is not None:
            risen_rps = level.m3_rps - level.m60_rps
            beyond = risen_rps > max(RISE * level.m60_rps, DEVIATIONS * level.deviation_rps / sqrt(SHORT_S))
            peaks = sorted(surge.peak_rps for surge in surges)
            if not beyond or not peaks:
                return peak_rps
            return max(peak_rps, level.m3_rps, level.m60_rps + peaks[(3 * len(peaks)) // 4])
        if now_s - surges[-1].onset_s > BIN_S * BINS:
            return peak_rps
        surge = surges[-1]
        age = len(surge.excess)
        noise = 3 * level.deviation_rps * sqrt(BIN_S * max(age, 1))
        alike = [each for each in surges[:-1] if is_alike(each.excess[:age], surge.excess, noise)]
        peaks = sorted(each.peak_rps for each in alike)
        if peaks:
            beyond_rps = peaks[(3 * len(peaks)) // 4]
        else:
            # It goes on as it has begun, for as long again.
            risen_rps = max(level.m3_rps - surge.base_rps, 0.0)
            beyond_rps = risen_rps + max(level.m3_rps - level.m10_rps, 0.0)
        return max(peak_rps, level.m3_rps, surge.base_rps + beyond_rps)

    # ---- what is needed ----

    def required(
        self, observation: Observation, level: Level, peak_rps: float, step_s: float, share: Mapping[str, float]
    ) -> float:
        """The least rate [rps] at which all that waits and comes until the next decision's replicas is in time."""
        now_rps = min(level.m3_rps, peak_rps)
        coming = coming_rps(now_rps, peak_rps, self._lead_s, ceil(self._lead_s + step_s))
        most_rps, waiting = 0.0, 0
        for stage in self._stages:
            waiting += observation.stages[stage.name].queue_length
            have_rps = self._throughput(observation, stage.name)[0] * share.get(stage.name, 1.0)
            rate_rps = required_rps(waiting, have_rps, coming, self._lead_s, CATCH_SHARE * self.sla_s)
            most_rps = max(most_rps, rate_rps)
        return min(most_rps, MOST * peak_rps)

    @staticmethod
    def _steadied(calm_rps: float, need_rps: float, seen: dict[str, Any]) -> tuple[float, float]:
        """The rates, or those of the step before where they are higher by no more than `STEADY`."""
        rates = (calm_rps, need_rps)
        before = seen.get("rates", rates)
        kept = [old if new <= old <= new / (1 - STEADY) else new for new, old in zip(rates, before, strict=True)]
        seen["rates"] = kept
        return kept[0], max(kept)

    # ---- what is chosen ----

    def _chosen(
        self,
        observation: Observation,
        memory: Memory,
        seen: dict[str, Any],
        calm_rps: float,
        need_rps: float,
        peak_rps: float,
        step_s: float,
    ) -> Decision:
        problem = self._posed(observation, need_rps)
        free = self.answers.solve(problem)
        if need_rps > calm_rps:
            lasting = self.answers.solve(self._posed(observation, calm_rps)).configuration
            swollen = self.answers.solve(replace(problem, variants=_variants(lasting)))
            free = swollen if swollen.feasible else free
        now = {**memory, "seen": seen, "lost": 0.0, "stages": self._noted(observation, seen)}
        if "lost" not in memory:
            return decision_from_solution(free, now, peak_rps, need_rps)
        kept = self.answers.solve(replace(problem, variants=_variants(observation.configuration)))
        gain = max(free.objective["total"] - kept.objective["total"], 0.0)
        lost = memory["lost"] + gain * step_s if gain > 0 else 0.0
        is_early = any(counts.starting for stage in observation.stages.values() for counts in stage.replicas.values())
        if kept.feasible and (is_early or lost < self._price(observation.configuration, free.configuration)):
            found = decision_from_solution(kept, {**now, "lost": lost}, peak_rps, need_rps)
            return replace(found, configuration=_not_fewer(found.configuration, observation))
        return decision_from_solution(free, now, peak_rps, need_rps)

    def _noted(self, observation: Observation, seen: Mapping[str, Any]) -> dict[str, Any]:
        return {
            stage.name: {
                "share": seen["share"][stage.name],
                "queue": observation.stages[stage.name].queue_length,
                "ready": self._throughput(observation, stage.name)[1],
                "batch": observation.stages[stage.name].configuration.batch,
            }
            for stage in self._stages
        }

    def _price(self, one: Configuration, other: Configuration) -> float:
        """What a change of variants costs, in objective x seconds: the new replicas start beside the old ones."""
        cores = sum(each.total_cores for name, each in other.items() if each.variant != one[name].variant)
        return self.programme.beta * cores * self._start_up_s


def is_alike(one: Sequence[float], other: Sequence[float], noise: float) -> bool:
    """Whether two surges have brought about as much so far: within a factor of two, or of the noise."""
    if len(one) < len(other):
        return False
    if not other:
        return True
    return one[-1] / 2 - noise <= other[-1] <= 2 * one[-1] + noise


def _variants(configuration: Configuration) -> dict[str, list[str]]:
    return {name: [stage.variant] for name, stage in configuration.items()}


def _not_fewer(configuration: Configuration, observation: Observation) -> Configuration:
    """The configuration, but no fewer replicas where some are starting: those would be the ones to go."""
    found = dict(configuration)
    for name, stage in observation.stages.items():
        at_hand = stage.configuration
        counts = stage.replicas.get(at_hand.variant)
        wanted = found[name]
        if counts is not None and counts.starting and wanted.variant == at_hand.variant:
            found[name] = replace(wanted, replicas=max(wanted.replicas, at_hand.replicas))
    return found
