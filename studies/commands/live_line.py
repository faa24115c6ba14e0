"""A live run in one line, and the texts that lines and screens share."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipa.live import StageView, View
    from ipa.policies import Entry, LatencyQuantiles


def line(view: View) -> str:
    """A view in one line."""
    stages = "  ".join(
        f"{name} {stage.configuration.variant} b{stage.configuration.batch} {ready(stage)}/"
        f"{stage.configuration.replicas} q{stage.queue_length}"
        for name, stage in view.stages.items()
    )
    return (
        f"{view.time_s:5.0f} s, {max(view.duration_s - view.time_s, 0.0):.0f} s left  "
        f"load {number(view.load_rps, 0)} rps ({forecast(view.entry)})  {stages}  "
        f"p50 {number(view.latency.p50_s, 3)} p99 {number(view.latency.p99_s, 3)} of {view.sla_s:.2f} s  "
        f"violations {share(view)}  {cores(view.cores)}"
    )


def step_line(entry: Entry) -> str:
    """A control step in one line."""
    decided = "  ".join(
        f"{name} {chosen.variant} b{chosen.batch} x{chosen.replicas}"
        for name, chosen in entry.decision.configuration.items()
    )
    outcome = entry.outcome
    why = "" if outcome is None or not outcome.reason else f"  ({outcome.reason})"
    return f"step {entry.observation.step}: load {entry.observation.load_rps[-1]:g} rps  {decided}{why}"


# ---- words ----


def ready(stage: StageView) -> int:
    """The number of ready replicas of the configured variant."""
    counts = stage.replicas.get(stage.configuration.variant)
    return 0 if counts is None else counts.ready


def forecast(entry: Entry | None) -> str:
    """The forecast and the planned load of the latest decision."""
    if entry is None or entry.decision.forecast_rps is None:
        return "no forecast"
    planned = entry.decision.planned_load_rps
    return f"forecast {entry.decision.forecast_rps:.1f}" + ("" if planned is None else f", planned {planned:.1f}")


def quantiles(latency: LatencyQuantiles) -> tuple[str, str]:
    """The p50 and the p99 in seconds."""
    return number(latency.p50_s, 3), number(latency.p99_s, 3)


def share(view: View) -> str:
    """The share of ended requests that violated the SLA."""
    return f"{100 * view.violations / view.ended:.1f} %" if view.ended else "-"


def number(value: float, digits: int) -> str:
    """A number, or a dash if it is unknown."""
    return "-" if isnan(value) else f"{value:.{digits}f}"


def cores(count: int) -> str:
    """A count of cores."""
    return f"{count} core" if count == 1 else f"{count} cores"


def clock(time_s: float) -> str:
    """A time as minutes and seconds."""
    minutes, seconds = divmod(int(max(time_s, 0.0)), 60)
    return f"{minutes}:{seconds:02}"
