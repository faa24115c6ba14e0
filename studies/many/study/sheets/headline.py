"""The headline: what a curve gains at equal cost, and what it saves at equal accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from ipa.studies.formatting import NONE, plus, signed
from ipa.studies.intervals import Estimate
from ipa.studies.many.study.found import Found
from ipa.studies.many.study.headline import SAME_WORK_POINTS, Match
from ipa.studies.many.study.sheets.sheet import Sheet

MIXED = "≈ "
"""Before a gain for which two settings are mixed."""

_CHOICE = (
    "At another's cost stands the most accurate of IPA's settings whose cost is within 5 % of it, at its PAS the "
    "cheapest whose PAS is within 0.5; ≈: where there is none, the two next to it mixed."
)
_REST = (
    "In round brackets what is left of the other difference, and that of SLA violations in percentage points. Of a "
    "sweep: the mean over its points that no other of them betters, the range, the mean difference of SLA violations, "
    "and for how many of them IPA has such a setting, ≈ where any of these is mixed. Left out beforehand are points "
    f"with more than {SAME_WORK_POINTS:g} percentage points more SLA violations than IPA's setting: they do not do the "
    "same work."
)


def headline(found: Found, setting: str, measure: str, *, brief: bool = False) -> Sheet:
    """The accuracy gained at equal cost and the cost saved at equal accuracy, one row per pipeline and workload.

    `brief`: against systems only, without what is in round brackets.
    """
    grouped: dict[tuple[str, str], dict[tuple[str, str], list[Match]]] = {}
    asked: dict[tuple[str, str], str] = {}
    for match in found.matches:
        if (match.other.setting, match.measure) == (setting, measure) and not (brief and match.other.point):
            name = match.at, match.over
            grouped.setdefault((match.other.pipeline, match.other.workload), {}).setdefault(name, []).append(match)
            title = found.title(match.other.pipeline, match.over)
            asked[name] = f"PAS at the cost of {title}" if match.at == "cost" else f"cost at the PAS of {title}"
    rows = [
        (pipeline, workload, *(_gains(of.get(name, []), brief) for name in asked))
        for (pipeline, workload), of in grouped.items()
    ]
    return Sheet(
        f"The headline, {measure}",
        _CHOICE if brief else f"{_CHOICE} {_REST}",
        ("pipeline", "workload", *asked.values()),
        tuple(rows),
        names=2,
    )


def _gains(matches: Sequence[Match], brief: bool) -> str:
    """The gains over one system, or over the points of a sweep."""
    if not matches:
        return NONE
    if any(match.other.point for match in matches):
        return of_sweep(matches)
    (match,) = matches
    gain = _gain(match)
    if gain is None:
        return "IPA has none"
    left = match.cost_percent if match.at == "cost" else match.pas_points
    parts = []
    if left is not None:
        parts.append(f"cost {plus(left.mean, 1)} %" if match.at == "cost" else f"PAS {plus(left.mean, 1)}")
    if (violations := _violations(match)) is not None:
        parts.append(f"violations {plus(violations, 1)}")
    text = f"{MIXED if match.is_mixed else ''}{signed(gain, 1, _unit(match))}"
    return text if brief else f"{text} ({', '.join(parts)})"


def of_sweep(matches: Sequence[Match]) -> str:
    """The mean gain over a sweep's points, its range, the mean difference of violations, and how many points count."""
    counted = [match for match in matches if not match.is_left_out]
    gains = {match.other.point: gain.mean for match in counted if (gain := _gain(match)) is not None}
    left_out = len(matches) - len(counted)
    points = f"{len(gains)} of {len(counted)} points{f', {left_out} left out' if left_out else ''}"
    if not gains:
        return f"none, {points}"
    parts = [f"{plus(min(gains.values()), 1)} to {plus(max(gains.values()), 1)}"] if len(gains) > 1 else []
    violations = [value for match in counted if (value := _violations(match)) is not None]
    if violations:
        parts.append(f"violations {plus(fmean(violations), 1)}")
    mixed = MIXED if any(match.is_mixed for match in counted) else ""
    return f"{mixed}{plus(fmean(gains.values()), 1)}{_unit(matches[0])} ({', '.join(parts)}), {points}"


def _unit(match: Match) -> str:
    return " PAS" if match.at == "cost" else " % cost"


def _violations(match: Match) -> float | None:
    """By how many percentage points IPA violates the SLA more often."""
    found = None if match.comparison is None else match.comparison.violations_points
    return None if found is None else found.mean


def _gain(match: Match) -> Estimate | None:
    """What is gained: points of PAS at equal cost, percent of the cost at equal PAS (below 0: saved)."""
    return match.pas_points if match.at == "cost" else match.cost_percent
