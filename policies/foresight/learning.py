"""What is learnt from an observation and remembered: the surges and their clock, the mean load, what stages reach
and how late replicas are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ipa.policies.foresight.clock import period_of
from ipa.policies.foresight.level import mean
from ipa.policies.foresight.startup import faded, later_s, starting_since
from ipa.policies.foresight.surges import (
    DAY_S,
    REMEMBERED_S,
    Surge,
    from_memory,
    large_onsets_s,
    later,
    surges_in,
    to_memory,
)
from ipa.policies.foresight.throughput import share_of
from ipa.policies.interface import Memory, Observation
from ipa.profiles import Stage


def now_of(observation: Observation, known: Mapping[str, Any]) -> float:
    """What the clock shows, in whole seconds, as loads are counted; `known` from the step before.

    A decision that comes some milliseconds late is at the same time of a period: while the clock keeps within a second
    of the intervals since then, these count.
    """
    clock_s = observation.time_s if observation.clock_s is None else observation.clock_s
    due_s: float = known.get("now_s", clock_s) + round(observation.elapsed_s)
    return due_s if known and abs(clock_s - due_s) < 1.0 else float(round(clock_s))


def learnt(
    stages: Sequence[Stage], observation: Observation, memory: Memory, step_s: float, decision_delay_s: float
) -> tuple[dict[str, Any], list[Surge]]:
    """What is remembered from now on, and the surges in it; the first time, all of the past is learnt from."""
    known: dict[str, Any] = dict(memory.get("seen", {}))
    now_s = now_of(observation, known)
    load_rps: Sequence[float] = observation.load_rps
    if not known:
        load_rps = (*(observation.past_rps or ()), *load_rps)
        samples = sum(count == count for count in load_rps)
        known = {"surges": [], "seen_s": float(samples), "share": {}, "period_s": None}
        last_day_rps = mean(load_rps[-round(DAY_S) :])
        known["mean_rps"] = last_day_rps if last_day_rps == last_day_rps else mean(load_rps)
        known["onsets"], known["is_opening"] = -1, not observation.elapsed_s
        known["past_s"] = float(len(observation.past_rps or ()))
    else:
        if known.pop("is_opening", False) and observation.elapsed_s:
            # The past ends where the load begins, which in a live run is some seconds after the first decision.
            begun_s = now_s - round(observation.elapsed_s)
            known["surges"] = to_memory(later(from_memory(known["surges"]), begun_s - known["now_s"]))
        known["past_s"] = known.get("past_s", 0.0) + step_s
        recent = mean(load_rps[-max(1, round(step_s)) :])
        known["seen_s"] = min(known["seen_s"] + step_s, REMEMBERED_S)
        if recent == recent:
            known["mean_rps"] += (recent - known["mean_rps"]) * min(1.0, step_s / min(known["seen_s"], DAY_S))
    surges = surges_in(load_rps, now_s, from_memory(known["surges"]))
    fresh = [surge.onset_s for surge in surges if not surge.follows]
    latest = fresh[-1] if fresh else -1
    if latest != known["onsets"]:
        of_last_day = [surge for surge in surges if surge.onset_s >= now_s - DAY_S]
        known["onsets"], known["period_s"] = latest, period_of(large_onsets_s(of_last_day))
    known["surges"] = to_memory(surges)
    known["now_s"] = now_s
    before = memory.get("stages", {})
    known["share"] = {stage.name: share_of(stage, observation, before.get(stage.name), step_s) for stage in stages}
    known["starting"] = {
        stage.name: starting_since(observation.stages[stage.name], before.get(stage.name), now_s, step_s)
        for stage in stages
    }
    late_s = [later_s(stage, known["starting"][stage.name], now_s, step_s, decision_delay_s) for stage in stages]
    known["late_s"] = max(faded(known.get("late_s", 0.0), step_s), *late_s)
    return known, surges
