"""The headline: what a curve gains at equal cost, and what it saves at equal accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from studies.intervals import Estimate
from studies.study.found import Found
from studies.study.headline import Match
from studies.study.sheets.sheet import NONE, Sheet, plus
from studies.wording import signed


def headline(found: Found, setting: str, measure: str, *, brief: bool = False) -> Sheet:
    """The accuracy gained at equal cost and the cost saved at equal accuracy, a row a pipeline and workload.

    `brief`: against systems alone, without what stands in round brackets.
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
        "At another's cost stands the most accurate of IPA's settings whose cost is within 5 % of it, at its PAS the "
        "cheapest whose PAS is within 0.5; ≈: where there is none, the two next to it mixed. In round brackets what is "
        "left of the other difference, and that of SLA violations in percentage points. Of a sweep: the mean over its "
        "points that no other of them betters, the range, and for how many of them IPA has such a setting.",
        ("pipeline", "workload", *asked.values()),
        tuple(rows),
        names=2,
    )


def _gains(matches: Sequence[Match], brief: bool) -> str:
    """The gains over one system, or over the points of a sweep."""
    if not matches:
        return NONE
    gains = [gain for match in matches if (gain := _gain(match)) is not None]
    if not gains:
        return "IPA has none"
    unit = " PAS" if matches[0].at == "cost" else " % cost"
    if any(match.other.point for match in matches):
        means = [gain.mean for gain in gains]
        spread = f" ({plus(min(means), 1)} to {plus(max(means), 1)})" if len(means) > 1 else ""
        return f"{plus(fmean(means), 1)}{unit}{spread}, {len(gains)} of {len(matches)}"
    (match,) = matches
    left = match.cost_percent if match.at == "cost" else match.pas_points
    violations = None if match.comparison is None else match.comparison.violations_points
    parts = []
    if left is not None:
        parts.append(f"cost {plus(left.mean, 1)} %" if match.at == "cost" else f"PAS {plus(left.mean, 1)}")
    if violations is not None:
        parts.append(f"violations {plus(violations.mean, 1)}")
    text = f"{'≈ ' if match.is_mixed else ''}{signed(gains[0], 1, unit)}"
    return text if brief else f"{text} ({', '.join(parts)})"


def _gain(match: Match) -> Estimate | None:
    """What is gained: points of PAS at equal cost, percent of the cost at equal PAS (below 0: saved)."""
    return match.pas_points if match.at == "cost" else match.cost_percent
