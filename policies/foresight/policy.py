"""The policy: IPA's programme on what has been seen, without its margins, and with the risk of surges as a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import ceil, inf
from typing import TYPE_CHECKING, Any, NamedTuple

from ipa.policies import checks
from ipa.policies.foresight.backlog import MOST, NO_BACKLOG, Backlog, coming_rps, is_late, required_rps
from ipa.policies.foresight.beside_ipa import NEVER, BesideIpa, checked_gain
from ipa.policies.foresight.choice import (
    Aim,
    Rates,
    change_price,
    is_any_starting,
    lower_of,
    not_fewer,
    rounded_up,
    steadied,
    variant_of_each,
    variants_of,
)
from ipa.policies.foresight.flaps import changes_of, spent
from ipa.policies.foresight.insurance import Allowed, Timing, insured_rps, return_rps
from ipa.policies.foresight.learning import learnt, now_of
from ipa.policies.foresight.level import Level, highest_rps, level_of
from ipa.policies.foresight.margin import Tried
from ipa.policies.foresight.peak import peak_of
from ipa.policies.foresight.pending import as_decided, pending
from ipa.policies.foresight.rescue import at_once, has_room, meanwhile, most_of, not_more, rescuing, uneven, with_room
from ipa.policies.foresight.silence import told_of
from ipa.policies.foresight.surges import AFTER_S, DAY_S, Surge, from_memory
from ipa.policies.foresight.throughput import have_rps, noted
from ipa.policies.interface import Decision, Histories, Memory, Observation
from ipa.policies.ipa import PLANNING_PARAMETERS, Ipa, OptimisingPolicy, decision_from_solution
from ipa.policies.predictors import OUTLOOK_PARAMETERS

if TYPE_CHECKING:
    from ipa.policies.optimiser import Problem
    from ipa.profiles import Pipeline

DISPATCHES = ("central", "eager")

LATENCY_SHARE = 0.63
"""Of the SLA, for which the programme plans; the rest is for queues."""
FILL, FILL_UNRESCUED = 0.97, 1.1
"""The calm rate is this share of the load to come: about the mean, as a queue evens seconds out, where what waits can
wait for new replicas; and more where it cannot."""
CATCHES_UP = 0.5
"""With eager dispatch: the share of the lead that a replica which is behind needs to catch up, once new ones share the
load."""
CATCH_SHARE = {"central": 0.8, "eager": 0.6}
"""By dispatch: of the SLA, within which the backlog is to be served."""
WAIT_SHARE = 0.9
"""Of the SLA, within which what comes in a surge is to be served."""
GAIN_ABOVE_IPA = {"central": 0.5, "eager": 0.0}
"""By dispatch, if none is given. With eager dispatch, a replica that is behind stays so for long, and most requests are
in time only where enough replicas stand ready: there, IPA's cost is no bound."""
HALVED_S, HALVED_LEADS = 20.0, 2.0
"""A plan falls by no more than half in this time, or in so many leads if that is longer: a load that stops from one
second to the next may only be unseen, and what is taken away has to be started again."""
OWN_PARAMETERS = (
    "risk",
    "flap_budget",
    "flap_window_s",
    "gain_above_ipa",
    "interval_s",
    "decision_delay_s",
    "dispatch",
)

SURGE_SHARE = 0.5
"""Of the risk, for surges; the rest is for what else goes wrong."""
GRAVE = 30.0
"""So many times the risk is insured against whatever IPA's plan costs; below, only within that."""
NEW_S = 120.0
"""A load that has been seen for less than this may do anything, and IPA's plan, which has its margins, is taken."""
ONE_IN_S = 3000.0
"""A surge whose time it is, or that may come back, may make no more late than the risk allows in so long, however
seldom it comes."""


class Insured(NamedTuple):
    """What insures against surges [rps]: in full; without those that come back at once; as far as they are to be
    expected; and against grave risks alone."""

    full_rps: float
    slow_rps: float
    expected_rps: float
    due_rps: float

    def beyond(self, calm_rps: float, level_rps: float) -> Insured:
        """No less than is planned for in calm; what is insured beyond the level is rounded up."""
        if self.full_rps <= level_rps:
            calm = max(calm_rps, level_rps)
            return Insured(calm, calm, calm, calm_rps)
        full_rps, slow_rps, expected_rps = (max(calm_rps, rounded_up(rate_rps)) for rate_rps in self[:3])
        return Insured(full_rps, slow_rps, expected_rps, max(calm_rps, self.due_rps))


class Foresight(OptimisingPolicy):
    """IPA's programme on the mean load, insured against surges as far as the risk asks for.

    `risk`: the share of requests that may be late. `flap_budget`: how often a stage may change its variant in a while,
    beyond which only its replicas change; None: as often as that pays. `flap_window_s`: how long that while is.
    `gain_above_ipa`: by how many times IPA's cost a plan that costs more than IPA's has to be better, in objective,
    than the best one within that cost, or than a better one that savings pay for; "never": no plan that costs more; 0:
    IPA is not asked; None: 0.5, or 0 with eager dispatch. What has been saved may be spent with any of these but 0.
    `interval_s`: the time between decisions, which only the first one needs. `decision_delay_s`: from a decision until
    it takes effect. `dispatch`: "central" or "eager". A scenario gives these three, unless they are given here. The
    defaults of `load_margin`, `rounding` and `throughput_share` are a plan without caution. Others: see
    `OptimisingPolicy`, but for those of the forecast. PolicyError: an impossible value.
    """

    further_parameters = tuple(name for name in PLANNING_PARAMETERS if name not in OUTLOOK_PARAMETERS)
    reads = ("past_rps",)
    facts = ("interval_s", "decision_delay_s", "dispatch")

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        risk: float = 0.001,
        flap_budget: int | None = 10,
        flap_window_s: float = 600.0,
        gain_above_ipa: float | str | None = None,
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
        self.flap_budget = None if flap_budget is None else checks.integer("flap_budget", flap_budget)
        self.flap_window_s = checks.number("flap_window_s", flap_window_s, above=0)
        self.interval_s = checks.number("interval_s", interval_s, above=0)
        self.decision_delay_s = checks.number("decision_delay_s", decision_delay_s, at_least=0)
        self.dispatch = checks.choice("dispatch", dispatch, DISPATCHES)
        gain = GAIN_ABOVE_IPA[self.dispatch] if gain_above_ipa is None else gain_above_ipa
        self.gain_above_ipa = checked_gain("gain_above_ipa", gain)
        self.sla_s = pipeline.sla_s if sla_s is None else checks.number("sla_s", sla_s, above=0)
        super().__init__(
            pipeline,
            load_margin=load_margin,
            rounding=rounding,
            throughput_share=throughput_share,
            sla_s=LATENCY_SHARE * self.sla_s,
            **planning,
        )
        self._aim = Aim(self.programme, self.answers)
        self._stages = pipeline.stages
        self._start_up_s = max(variant.start_up_s for stage in pipeline.stages for variant in stage.variants)
        self._beside: BesideIpa | None = None
        if self.gain_above_ipa != 0:
            yardstick = Ipa(pipeline, sla_s=self.sla_s, **planning)
            self._beside = BesideIpa(yardstick, self._aim, self.gain_above_ipa, self._start_up_s)

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        planning = {key: value for key, value in super().parameters.items() if key not in OUTLOOK_PARAMETERS}
        own = {key: getattr(self, key) for key in OWN_PARAMETERS}
        return {**own, **planning, "sla_s": self.sla_s}

    def compute_ahead(self, histories: Histories) -> None:
        """Those of IPA; where it is not asked there is nothing to do, as forecasts have no part in this policy."""
        if self._beside is not None:
            self._beside.compute_ahead(histories)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The decision for this step. PolicyError: a solver that cannot answer."""
        in_force = variant_of_each(observation.configuration)
        step_s = round(observation.elapsed_s, 1) or self.interval_s  # a live step comes some milliseconds late
        shown = as_decided(observation, memory, self.decision_delay_s)
        found = self._decided(shown, memory, step_s, in_force)
        unseen = pending(observation, memory, found.configuration, self.decision_delay_s, step_s)
        if not unseen and "pending" not in memory:
            return found
        return replace(found, memory={**found.memory, "pending": unseen})

    def _decided(
        self, observation: Observation, memory: Memory, step_s: float, in_force: Mapping[str, str]
    ) -> Decision:
        """The decision for what is shown; `in_force`: stage -> the variant that really is."""
        told, silences = told_of(observation, memory, now_of(observation, memory.get("seen", {})), step_s)
        if silences.spans or silences.in_all_s:
            memory = {**memory, "silence": silences.kept}
        level = level_of(told.load_rps)
        if level is None and "seen" not in memory:
            level = level_of([count for count in told.past_rps or () if count == count])  # as before the dark
        if level is None or observation.is_silent:
            return self._in_the_dark(observation, memory)
        seen, surges = learnt(self._stages, told, memory, step_s, self.decision_delay_s)
        peak_rps = peak_of(level, surges, seen["now_s"])
        halved_s = max(HALVED_S, HALVED_LEADS * self._lead_s(seen))
        peak_rps = max(peak_rps, seen.get("peak_rps", 0.0) * 0.5 ** (step_s / halved_s))
        seen["peak_rps"], seen["level_rps"] = peak_rps, level.m10_rps
        tried = self._tried(told, memory, seen, surges, step_s)
        seen["tried"] = tried.kept
        fill = self._fill(seen, tried)
        calm_rps = fill * peak_rps
        if surges and surges[-1].is_lasting:
            back_rps = self._return_rps(seen, level.m10_rps, highest_rps(told.load_rps, AFTER_S), step_s)
            full_rps = max(calm_rps, rounded_up(back_rps)) if back_rps > level.m10_rps else calm_rps
            insured = Insured(full_rps, calm_rps, calm_rps, calm_rps)
        else:
            insured = self._insured(seen, surges, seen["now_s"], step_s).beyond(calm_rps, level.m10_rps)
        backlog = self._backlog(observation, level, peak_rps, step_s, seen) if observation.elapsed_s else NO_BACKLOG
        slowest = min(seen["share"].values(), default=1.0)
        rates = [
            Rates(
                *steadied(rate_rps / slowest, max(rate_rps, rounded_up(backlog.required_rps)) / slowest, seen, name),
                max(insured.due_rps, backlog.required_rps) / slowest,
                peak_rps,
                fill * level.m60_rps / slowest,
            )
            for name, rate_rps in zip(("rates", "slow_rates", "expected_rates"), insured[:3], strict=True)
        ]
        chosen = partial(
            self._chosen, observation, memory=memory, seen=seen, step_s=step_s, stuck=backlog.stuck, in_force=in_force
        )
        if self._beside is None:
            return chosen(aim=self._aim, rates=rates[0])
        is_new = seen["past_s"] < NEW_S
        return self._beside.decide(chosen, observation, memory, level.m10_rps, rates, step_s, is_new)

    def _in_the_dark(self, observation: Observation, memory: Memory) -> Decision:
        """Without a sample everything stays, but for replicas against a surge that nobody would see.

        The silence is taken to go on for as long again as it has lasted (Lindy's law).
        """
        held = self._hold(observation, memory)
        seen = memory.get("seen")
        if seen is None:
            return held
        surges = from_memory(seen["surges"])
        if (surges and surges[-1].is_lasting) or self.gain_above_ipa == NEVER:
            return held
        now_s = now_of(observation, seen)
        unseen_s = max(observation.elapsed_s, 2 * observation.sample_age_s)
        slowest = min(seen["share"].values(), default=1.0)
        insured = self._insured(seen, surges, now_s, unseen_s)
        need_rps = (insured.full_rps if self._beside is None else insured.expected_rps) / slowest
        if need_rps <= max(seen["rates"] if self._beside is None else seen["expected_rates"]):
            return held
        problem = self._posed(observation, need_rps)
        found = self.answers.solve(replace(problem, variants=variants_of(observation.configuration)))
        if not found.feasible:
            return held
        more = {
            name: replace(wanted, replicas=max(wanted.replicas, observation.configuration[name].replicas))
            for name, wanted in found.configuration.items()
        }
        if not has_room(problem, more):
            return held
        notes = (*held.notes, "insured in the dark")
        return replace(held, configuration=more, objective=self.programme.score(more), notes=notes)

    # ---- what is needed ----

    def _lead_s(self, seen: Mapping[str, Any]) -> float:
        """The time from a decision until its replicas serve [s], as profiled or as late as has been seen."""
        late_s: float = seen["late_s"]
        return self.decision_delay_s + self._start_up_s + late_s

    @property
    def _may_wait_s(self) -> float:
        """What the plans leave of the SLA for queues [s]; with eager dispatch, what waits does not come back."""
        return 0.0 if self.dispatch == "eager" else (1 - LATENCY_SHARE) * self.sla_s

    def _timing(self, seen: Mapping[str, Any], step_s: float) -> Timing:
        return Timing(step_s, self._lead_s(seen), WAIT_SHARE * self.sla_s, self.dispatch == "eager")

    def _tried(
        self,
        observation: Observation,
        memory: Memory,
        seen: Mapping[str, Any],
        surges: Sequence[Surge],
        step_s: float,
    ) -> Tried:
        """What margins would have done so far; the first time, in all of the past."""
        load_rps: Sequence[float] = observation.load_rps
        is_first = "seen" not in memory
        if is_first:
            load_rps = (*(observation.past_rps or ()), *load_rps)[-round(DAY_S) :]
        return Tried.of(seen.get("tried")).after(
            load_rps, surges, seen["now_s"], self._timing(seen, step_s), is_past=is_first
        )

    def _fill(self, seen: Mapping[str, Any], tried: Tried) -> float:
        """The share of the load to come that is planned for in calm: the more, the less of a queue can wait for new
        replicas; and a margin where ordinary seconds have needed one.

        With eager dispatch, what waits stays with its replica. That one catches up once new ones share the load, which
        counts only where they are bought at their price.
        """
        lead_s = self._lead_s(seen)
        has_s, needs_s = self.sla_s, lead_s
        if self.dispatch == "eager":
            has_s, needs_s = has_s - lead_s, CATCHES_UP * lead_s
        rescued = 1.0 if has_s >= needs_s else max(has_s, 0.0) / needs_s
        if self.dispatch == "eager" and self._beside is not None:
            rescued = 0.0
        margin = tried.least((1 - SURGE_SHARE) * self.risk)
        return max(FILL_UNRESCUED - (FILL_UNRESCUED - FILL) * rescued, margin if margin > 1 else 0.0)

    def _insured(self, seen: Mapping[str, Any], surges: Sequence[Surge], now_s: float, step_s: float) -> Insured:
        """The rates [rps] that insure against a surge which begins now and is not noticed for `step_s`."""
        expected, by_one = SURGE_SHARE * self.risk * seen["mean_rps"] * step_s, self._by_one(seen)
        allowed = (
            Allowed(expected, by_one, by_one),
            Allowed(expected, by_one),
            Allowed(expected),
            Allowed(GRAVE * expected),
        )
        timing = self._timing(seen, step_s)
        return Insured(
            *insured_rps(now_s, seen["level_rps"], surges, seen["period_s"], seen["seen_s"], timing, allowed)
        )

    def _return_rps(self, seen: Mapping[str, Any], level_rps: float, height_rps: float, step_s: float) -> float:
        """The rate [rps] that insures against a surge which has fallen and is back at its height at once."""
        return return_rps(level_rps, height_rps, self._timing(seen, step_s), self._by_one(seen))

    def _by_one(self, seen: Mapping[str, Any]) -> float:
        """How many requests a surge may make late whose time it is, or that comes back."""
        return self.risk * float(seen["mean_rps"]) * ONE_IN_S

    def _backlog(
        self, observation: Observation, level: Level, peak_rps: float, step_s: float, seen: Mapping[str, Any]
    ) -> Backlog:
        """What is needed for all that waits and comes until the next decision's replicas."""
        now_rps, lead_s = min(level.m3_rps, peak_rps), self._lead_s(seen)
        coming = coming_rps(now_rps, peak_rps, lead_s, ceil(lead_s + step_s))
        most_rps, waiting, wait_s = 0.0, 0, CATCH_SHARE[self.dispatch] * self.sla_s
        stuck = []
        for stage in self._stages:
            here = observation.stages[stage.name].queue_length
            waiting += here
            at_hand_rps = have_rps(stage, observation)[0] * seen["share"].get(stage.name, 1.0)
            rate_rps = required_rps(waiting, at_hand_rps, coming, lead_s, wait_s, self.dispatch)
            most_rps = max(most_rps, rate_rps)
            if self.dispatch == "eager" and at_hand_rps > 0 and is_late(here, at_hand_rps, coming, lead_s, wait_s):
                stuck.append(stage.name)
        return Backlog(min(most_rps, MOST[self.dispatch] * peak_rps), tuple(stuck))

    # ---- what is chosen ----

    def _chosen(
        self,
        observation: Observation,
        *,
        aim: Aim,
        rates: Rates,
        memory: Memory,
        seen: dict[str, Any],
        step_s: float,
        stuck: Sequence[str],
        in_force: Mapping[str, str],
        most_cores: int | None = None,
        only: Mapping[str, str] | None = None,
    ) -> Decision:
        """The plan for the rates: that of the calm rate with the replicas for what is needed, or the one at hand; or
        one that gives back what is stuck. `in_force`: stage -> the variant that it has; `most_cores`: of the plan, but
        for replicas that are starting already; `only`: to be taken at once."""
        calm_rps, need_rps, peak_rps = rates.calm_rps, rates.need_rps, rates.peak_rps
        stages = self._noted(observation, memory, seen, in_force)
        fixed = spent(observation, {name: each["changed_s"] for name, each in stages.items()}, self.flap_budget)
        if only is not None:
            fixed = {**{name: [variant] for name, variant in only.items()}, **fixed}
        room = replace(self._posed(observation, need_rps), programme=aim.programme)
        problem = replace(room, limit_cores=lower_of(most_cores, observation.limit_cores))
        free = aim.solved(problem, fixed)
        if need_rps > calm_rps:
            lasting = aim.solved(replace(problem, load_rps=calm_rps), fixed).configuration
            swollen = aim.answers.solve(replace(problem, variants=variants_of(lasting)))
            free = swollen if swollen.feasible else free
        now = {**memory, "seen": seen, "lost": 0.0, "stages": stages}
        is_eager = self.dispatch == "eager"
        held = uneven(self.programme, self._stages, observation, peak_rps) if is_eager else {}
        rescue = None if is_any_starting(observation) else rescuing(aim, problem, observation, stuck, fixed, calm_rps)
        if rescue is not None:
            now["rescued_s"] = seen["now_s"]
            wanted = rescue.solution.configuration
            more = most_of(
                held,
                at_once(wanted, observation, stuck, MOST[self.dispatch] * peak_rps / rescue.load_rps),
                meanwhile(self._stages, observation, wanted, peak_rps, self._lead_s(seen), self._may_wait_s),
            )
            return self._with(more, problem, decision_from_solution(rescue.solution, now, peak_rps, rescue.load_rps))
        if "lost" not in memory:
            return decision_from_solution(free, now, peak_rps, need_rps)
        staying = partial(self._staying, observation, room=room, problem=problem, held=held, memory=memory, seen=seen)
        if only is not None:
            return staying(decision_from_solution(free, now, peak_rps, need_rps))
        kept = aim.answers.solve(replace(problem, variants=variants_of(observation.configuration)))
        gain = max(free.objective["total"] - kept.objective["total"], 0.0)
        lost = memory["lost"] + gain * step_s if gain > 0 else 0.0
        at_hand = variant_of_each(observation.configuration)
        price = change_price(self.programme.core_weight, at_hand, free.configuration, self._start_up_s)
        stays = is_any_starting(observation) or lost < price
        if not is_eager and not stays and rates.minute_rps > need_rps:
            minute = aim.solved(replace(problem, load_rps=rates.minute_rps), fixed)
            free = minute if minute.feasible else free
            stays = not minute.feasible or variant_of_each(minute.configuration) == at_hand
        may_come_rps = max(peak_rps, calm_rps)  # the calm rate has what is insured in it
        changing = meanwhile(
            self._stages, observation, free.configuration, may_come_rps, self._lead_s(seen), self._may_wait_s
        )
        if not is_eager and not stays:
            roomy = with_room(problem, free.configuration, changing)
            stays = any(roomy[name].replicas < replicas for name, replicas in changing.items())
        if stays and kept.feasible:
            return staying(decision_from_solution(kept, {**now, "lost": lost}, peak_rps, need_rps))
        found = decision_from_solution(free, now, peak_rps, need_rps)
        return self._with(most_of(held, changing), problem, found)

    def _staying(
        self,
        observation: Observation,
        found: Decision,
        *,
        room: Problem,
        problem: Problem,
        held: Mapping[str, int],
        memory: Memory,
        seen: Mapping[str, Any],
    ) -> Decision:
        """The decision where variants stay: with what is starting, as far as there is `room` for it; with no more at a
        stage that a rescue is changing; and with the replicas of `held`, as far as the problem has room for them."""
        found = self._with(not_fewer(found.configuration, observation), room, found)
        if seen["now_s"] - memory.get("rescued_s", -inf) < self._lead_s(seen):
            found = replace(found, configuration=not_more(found.configuration, observation))
        return self._with(held, problem, found)

    def _with(self, replicas: Mapping[str, int], problem: Problem, found: Decision) -> Decision:
        """The decision with no fewer replicas than these (stage -> number), as far as there is room for them."""
        if not replicas:
            return found
        more = with_room(problem, found.configuration, replicas)
        return replace(found, configuration=more, objective=self.programme.score(more))

    def _noted(
        self, observation: Observation, memory: Memory, seen: Mapping[str, Any], in_force: Mapping[str, str]
    ) -> dict[str, dict[str, Any]]:
        """Stage -> what the next step has to know of it."""
        before, found = memory.get("stages", {}), {}
        for stage in self._stages:
            variant = in_force[stage.name]
            changed_s = changes_of(variant, before.get(stage.name), seen["now_s"], self.flap_window_s)
            known = noted(stage, observation, seen["share"][stage.name])
            starting = seen["starting"][stage.name]
            found[stage.name] = {**known, "variant": variant, "changed_s": changed_s, "starting": starting}
        return found
