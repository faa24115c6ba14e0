"""The laws that can be checked on totals alone, in a run that has not recorded all requests: L1, L8 and L9."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ipa.sim.interface import Engine
from ipa.sim.laws import LawError, close, cost_differs
from ipa.sim.records import Records


@dataclass(slots=True)
class StageTotals:
    """Counts of requests in a stage's batches and drops, and the sums of the times at which each happened."""

    finished: int = 0
    finished_sum_s: float = 0.0
    delivered: int = 0  # to the next stage; at the last stage, all that have finished
    delivered_sum_s: float = 0.0
    dropped: int = 0
    dropped_sum_s: float = 0.0


def check(stages: Sequence[StageTotals], records: Records, engine: Engine) -> None:
    """Raise LawError naming every law that a finished run breaks; `records` hold all its replicas."""
    broken = list(violations(stages, records, engine))
    if broken:
        raise LawError("the simulation broke its own laws: " + "; ".join(broken))


def violations(stages: Sequence[StageTotals], records: Records, engine: Engine) -> Iterator[str]:
    """What is wrong, one sentence for each broken law: the engine's figures must agree with its batches and drops."""
    came, came_sum_s = len(engine.arrivals_s), float(engine.arrivals_s.sum())
    magnitude_s = len(engine.arrivals_s) * records.run_end_s
    for position, (total, state) in enumerate(zip(stages, engine.stages, strict=True)):
        name, present = records.stages[position], came - total.finished - total.dropped
        counted = (came, total.finished, total.dropped)
        if counted != (state.enqueued, state.completions, state.dropped) or present < 0:
            yield f"L1: at stage {name} the requests that came, finished and were dropped are not those of its batches"
        yield from cost_differs(records, position)
        presence_s = total.finished_sum_s + total.dropped_sum_s + present * records.run_end_s - came_sum_s
        if not close(float(records.integral_s[position]), presence_s, magnitude_s):
            yield f"L9: at stage {name} the requests present do not add up to the time spent there"
        came, came_sum_s = total.delivered, total.delivered_sum_s
