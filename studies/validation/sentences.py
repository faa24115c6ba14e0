"""A validation in sentences and rows of text, for the terminal and the page."""

from __future__ import annotations

from ipa.studies.formatting import NONE
from ipa.studies.validation.decisions import Agreement
from ipa.studies.validation.figures import JUDGED_UP_TO, JudgedFigure
from ipa.studies.validation.overheads import Overheads
from ipa.studies.validation.validation import CLOSED_LOOP_PERCENT, Validation

OVERHEAD_NAMES = {
    "arrival_s": "a request's way {:.1f} ms",
    "dispatch_overhead_s": "a batch {:+.1f} ms",
    "hop_s": "a hop {:.1f} ms",
    "start_up_extra_s": "a start-up {:+.1f} ms",
    "decision_delay_s": "a decision takes effect after {:.1f} ms",
    "stop_s": "a stop {:.1f} ms",
}

BEYOND_METRICS = ("latency_mean_s", "latency_p99_s", "sla_violations_percent", "drops_percent", "throughput_rps")


def overheads(measured: Overheads) -> str:
    """The measured overheads, in one line."""
    words = [
        wording.format(1e3 * getattr(measured, key).value_s)
        for key, wording in OVERHEAD_NAMES.items()
        if getattr(measured, key).count
    ]
    words += [
        f"a request at {stage} {1e3 * beyond.value_s:+.1f} ms beyond its steps"
        for stage, beyond in measured.generation_by_stage.items()
        if beyond.count
    ]
    return f"Measured on other seconds: {', '.join(words) or 'nothing'}"


def decisions(validation: Validation) -> list[tuple[str, str]]:
    """The shares of equal decisions and of time with equally many ready replicas; the number of refused decisions."""
    alike = ", ".join(f"{stage} {share:.1f} %" for stage, share in validation.replicas_alike_percent.items())
    return [
        ("Equal decisions on the same observation", _share(validation.same_observations, ", wanted 100 %")),
        ("Equal decisions in closed loop", _share(validation.closed_loop, f", wanted {CLOSED_LOOP_PERCENT:g} %")),
        ("Live decisions that were refused", f"{validation.refused} of {validation.same_observations.total}"),
        ("As many replicas ready, share of the time", alike),
    ]


TIPS = (
    "One run's p99 can tip: with start-up, decision and hop 2 ms apart, runs of equal decisions had 1.313 to 1.419 s "
    "(8 %; docs/verification.md), so a difference of as much says nothing."
)
"""The range that the p99 of runs of equal decisions has; how it was found is in the page that it names."""


def beyond(validation: Validation) -> list[tuple[str, str]]:
    """The simulator's errors that are not judged: nearer to saturation, and of drops."""
    lines = []
    if (above := validation.above).chosen.any():
        rows = [row for row in validation.compared(above) if row.metric.key in BEYOND_METRICS]
        errors = (f"{row.metric.title} {row.shown(row.error)} ({row.shown(row.open_loop_error)})" for row in rows)
        name = f"Errors above {100 * JUDGED_UP_TO:g} % utilisation (with live decisions), not judged"
        windows = f"{above.chosen.sum()} of {len(above.chosen)} windows"
        lines.append((name, f"{', '.join(errors)}; {windows}"))
    live, simulated, open_loop = validation.drops
    if live or simulated or open_loop:
        lines.append(("Requests dropped in a run", f"live {live:.0f}, simulated {simulated:.0f} ({open_loop:.0f})"))
    return lines


def judged(validation: Validation) -> str:
    """The part of the run that the verdicts are about."""
    windows = validation.judged
    width_s = validation.scenario.interval_s
    return (
        f"{windows.chosen.sum()} of {len(windows.chosen)} windows of {width_s:g} s, those in which no stage was above "
        f"{100 * JUDGED_UP_TO:g} % utilisation"
    )


def cells(row: JudgedFigure) -> tuple[str, ...]:
    """A row as text, under `HEADINGS`; the last is the verdict."""
    return (
        _figure(row.live),
        row.shown(row.spread).lstrip("+"),
        _figure(row.simulated),
        row.shown(row.error),
        row.shown(row.open_loop_error),
        _allowed(row),
        row.verdict,
    )


def _allowed(row: JudgedFigure) -> str:
    """The allowed error, with the part of it that is spread."""
    if row.allowed is None:
        return ""
    by_spread = row.allowed_by_spread
    of_spread = f" ({row.shown(by_spread).lstrip('+')} of it spread)" if by_spread else ""
    return f"{row.shown(row.allowed).lstrip('+')}{of_spread}"


HEADINGS = ("live", "spread", "simulated", "error", "with live decisions", "allowed", "")


def _share(agreement: Agreement, goal: str = "") -> str:
    return f"{agreement.equal} of {agreement.total} ({agreement.percent:.1f} %{goal})"


def _figure(value: float) -> str:
    return NONE if value != value else f"{value:.4g}"
