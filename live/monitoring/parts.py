"""What one gateway's samples say, and the sum of several gateways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipa.live.monitoring import counters

COUNTED = {
    "arrivals": "ipa_stage_arrivals_total",
    "completions": "ipa_stage_completions_total",
    "drops": "ipa_stage_drops_total",
    "failures": "ipa_stage_failures_total",
    "busy_s": "ipa_busy_seconds_total",
    "request_s": "ipa_stage_request_seconds_total",
}
"""The counter of each field of a `StageReading` that is counted since the reading before."""
GAUGES = {"queue_length": "ipa_queue_length", "in_service": "ipa_in_service"}
"""The gauge of each field that is what it is now."""

STALE_AFTER_S = 60.0
"""A gauge whose newest sample is older says nothing about the present."""


@dataclass(frozen=True)
class Part:
    """One gateway: its load in the whole seconds asked for, NaN: unknown; and (stage, field) -> value.

    Times are those of the run's clock: `newest_s` of the newest sample, `until_s` of the end of what is counted, and
    `covered_s` is the time that the integrals cover.
    """

    load_rps: Sequence[float]
    values: Mapping[tuple[str, str], float]
    newest_s: float
    until_s: float
    covered_s: float


def added_load_rps(parts: Sequence[Part], seconds: int) -> tuple[float, ...]:
    """The load of all gateways."""
    return counters.added([part.load_rps for part in parts], seconds)


def added_values(parts: Sequence[Part], stage: str) -> dict[str, Any]:
    """Field -> value at a stage, over all gateways; requests are whole."""
    sums = {field: sum(part.values.get((stage, field), 0.0) for part in parts) for field in (*COUNTED, *GAUGES)}
    return {field: value if field.endswith("_s") else round(value) for field, value in sums.items()}
