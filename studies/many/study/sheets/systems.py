"""Tables of text that compare the systems of a study, for the page, Markdown and the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from ipa.studies.formatting import NONE, number, plus, signed
from ipa.studies.intervals import Estimate, held_fixed, limits
from ipa.studies.many.study.bounds import AS_RARELY_POINTS, Distance, bounded
from ipa.studies.many.study.conclusions import StudyFindings
from ipa.studies.many.study.findings import INFEASIBLE_SHARE, LOST, Findings, StudyCell, comparisons
from ipa.studies.many.study.headline import SAME_WORK_POINTS, Match


@dataclass(frozen=True)
class Sheet:
    """A table of text: the first `names` columns are names, the others figures."""

    title: str
    reading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1


# Comparisons of the systems, on one pipeline or on all.


_FIGURES = (
    ("cost, cores", "cost_mean_cores", 1.0, 2),
    ("PAS", "pas_mean", 1.0, 2),
    ("SLA violations, %", "sla_violation_rate", 100.0, 2),
    ("violated seconds, %", "sla_violation_seconds_rate", 100.0, 2),
    ("latency p99, s", "latency_p99_s", 1.0, 2),
    ("changes", "changes", 1.0, 1),
    ("infeasible, %", INFEASIBLE_SHARE, 100.0, 1),
)

_INFEASIBLE = (
    "Infeasible: decisions for a planned load that nothing carries within the SLA and the limits, so that the policy "
    "takes the next best, at last whatever carries the most."
)


def systems(findings: Findings, setting: str) -> Sheet:
    """One row per workload and system: means over the seeds with their intervals."""
    rows = [
        (
            workload,
            findings.title(system),
            *(_estimate(cell, key, factor, digits) for _, key, factor, digits in _FIGURES),
        )
        for workload in findings.study.workloads
        for system in findings.systems
        if (cell := findings.cell(setting, workload, system)) is not None
    ]
    return Sheet(
        "All systems",
        f"{_seeds(findings)} {_INFEASIBLE}",
        ("workload", "system", *(title for title, *_ in _FIGURES)),
        tuple(rows),
        names=2,
    )


def overall(study: StudyFindings, setting: str) -> Sheet:
    """One row per pipeline and system: means over its workloads and seeds."""
    rows = []
    for findings in study.findings:
        for system in findings.systems:
            workloads = findings.study.workloads
            cells = [cell for workload in workloads if (cell := findings.cell(setting, workload, system))]
            if cells:
                figures = (
                    number(fmean(cell.mean(key, factor) for cell in cells), digits)
                    for _, key, factor, digits in _FIGURES
                )
                rows.append((findings.pipeline, findings.title(system), *figures))
    return Sheet(
        f"Every system, {study.setting_title(setting)}",
        f"Means over the workloads and the seeds; the report has each of them with its interval. {_INFEASIBLE}",
        ("pipeline", "system", *(title for title, *_ in _FIGURES)),
        tuple(rows),
        names=2,
    )


def _seeds(findings: Findings) -> str:
    count = len(findings.seeds)
    if count == 1:
        return "One seed, so no intervals."
    return f"Means over {count} seeds. {limits(findings.traces)}"


def _estimate(cell: StudyCell, key: str, factor: float, digits: int) -> str:
    estimate = cell.estimate(key, factor)
    return NONE if estimate is None else estimate.text(digits)


def sentences(findings: Findings, setting: str) -> list[tuple[str, str]]:
    """For every workload and other system: the workload, and the first system's comparison with it in words."""
    first = findings.title(findings.systems[0])
    return [
        (comparison.one.workload, f"{first} against {findings.title(comparison.other.system)}: {comparison.shown}")
        for comparison in comparisons(findings)
        if comparison.one.setting == setting
    ]


# Comparisons of the named points of a sweep.


_OF_POINTS = (
    ("cost, cores", "cost_mean_cores", 1.0, 2),
    ("PAS", "pas_mean", 1.0, 2),
    ("SLA violations, %", "sla_violation_rate", 100.0, 2),
    ("violated seconds, %", "sla_violation_seconds_rate", 100.0, 2),
    ("dropped or failed", LOST, 1.0, 0),
    ("changes", "changes", 1.0, 0),
)


def named_points(study: StudyFindings, setting: str, pipeline: str | None = None) -> Iterator[Sheet]:
    """A sheet for each sweep that names its points: one row per pipeline, workload and point."""
    sweeps = {
        name: sweep
        for of_pipeline in study.findings
        for name, sweep in of_pipeline.study.sweeps.items()
        if sweep.points
    }
    for name, sweep in sweeps.items():
        with_sweep = [
            of_pipeline
            for of_pipeline in study.findings
            if name in of_pipeline.study.sweeps and pipeline in (None, of_pipeline.pipeline)
        ]
        rows = [
            (findings.pipeline, workload, cell.point_title, *_figures(cell))
            for findings in with_sweep
            for workload in findings.study.workloads
            for cell in findings.of(setting, workload, name)
        ]
        if rows:
            yield Sheet(
                with_sweep[0].title(name),
                f"{with_sweep[0].title(sweep.of)} with each of these; means over the seeds.",
                ("pipeline", "workload", "with", *(title for title, *_ in _OF_POINTS)),
                tuple(rows),
                names=3,
            )


def _figures(cell: StudyCell) -> list[str]:
    return [number(cell.mean(key, factor), digits) for _, key, factor, digits in _OF_POINTS]


def lost(study: StudyFindings, setting: str, pipeline: str | None = None) -> Sheet:
    """The lost requests at named points with published figures, on the loads that have them, and whether they are in
    the published order, that of the points. Sweeps that include these points are listed too; the columns of points that
    a sweep lacks are empty."""
    published = study.plan.published.points if study.plan.published else {}
    published_loads = [points for by_pipeline in published.values() for points in by_pipeline.values()]
    workloads = {workload for points in published_loads for workload in points}
    names = {name for points in published_loads for named in points.values() for name in named}
    sweeps = [
        (findings, name, list(sweep.points))
        for findings in study.findings
        for name, sweep in findings.study.sweeps.items()
        if pipeline in (None, findings.pipeline) and names and names <= set(sweep.points)
    ]
    columns = list(dict.fromkeys(point for *_, points in sweeps for point in points))
    rows = []
    for findings, name, titles in sweeps:
        for workload in filter(workloads.__contains__, findings.study.workloads):
            cells = findings.of(setting, workload, name)
            if len(cells) != len(titles):
                continue
            own = (by_pipeline for by_pipeline in published.values() if findings.pipeline in by_pipeline)
            by_workload = next(own, {}).get(findings.pipeline, {})
            published_points = [by_workload.get(workload, {}).get(point) for point in titles]
            our_losses = [round(cell.mean(LOST, 1.0) or 0.0) for cell in cells]
            is_in_order = our_losses == sorted(our_losses) and our_losses[-2] < our_losses[-1]
            lost_of = {
                title: f"{number(cell.mean(LOST, 1.0), 0)} ({number(cell.mean('cost_mean_cores', 1.0), 2)})"
                for title, cell in zip(titles, cells, strict=True)
            }
            figures = [lost_of.get(title, NONE) for title in columns]
            of_theirs = [NONE if point is None else number(point.lost, 0) for point in published_points]
            way = findings.title(name).partition(", ")[2] or "as published"
            rows.append(
                (findings.pipeline, workload, way, *figures, ", ".join(of_theirs), "yes" if is_in_order else "no")
            )
    return Sheet(
        "Lost, published and ours",
        "The requests that were dropped or failed, and in brackets the cost in cores; means over the seeds. In order: "
        "none loses more than the next, and the last one more than the one before.",
        ("pipeline", "workload", "with", *columns, "published", "in order"),
        tuple(rows),
        names=3,
    )


# The distance of every system from the one that bounds them.


MORE, LESS = "*", "†"
"""Marks of a distance: the system violates the SLA more often than the bound, or less often."""


def bounds(study: StudyFindings, setting: str) -> Sheet:
    """One row per pipeline and workload: the figures of the bound, and the distance of every other system."""
    names = {findings.study.bound for findings in study.findings if findings.study.bound}
    others = [system for system in study.systems if system not in names]
    rows = []
    for findings in study.findings:
        for of_workload in bounded(findings, setting):
            distances = {distance.system: distance for distance in of_workload.others}
            texts = (
                NONE
                if (distance := distances.get(system)) is None or distance.objective is None
                else plus(distance.objective.mean, 2) + _mark(distance)
                for system in others
            )
            figures = (("cost_mean_cores", 1.0), ("pas_mean", 1.0), ("sla_violation_rate", 100.0))
            of_bound = (number(of_workload.bound.mean(key, factor), 2) for key, factor in figures)
            rows.append(
                (findings.pipeline, of_workload.bound.workload, *of_bound, number(of_workload.objective, 2), *texts)
            )
    title = " and ".join(dict.fromkeys(f.title(f.study.bound) for f in study.findings if f.study.bound))
    return Sheet(
        f"What bounds them, {study.setting_title(setting)}",
        f"First {title}: cost, PAS, SLA violations and the objective of its programme as it came out, alpha x accuracy "
        f"- beta x cost. Then how much more or less every other system's is. {MORE}: with SLA violations more than "
        f"{AS_RARELY_POINTS:g} points above its; {LESS}: more than {AS_RARELY_POINTS:g} points below its. Neither are "
        f"comparable: the system that violates more has not done the same work, with {LESS} {title} itself.",
        (
            *("pipeline", "workload", "cost, cores", "PAS", "SLA violations, %", "objective"),
            *(next(f.title(system) for f in study.findings if system in f.systems) for system in others),
        ),
        tuple(rows),
        names=2,
    )


def _mark(distance: Distance) -> str:
    return MORE if distance.breaks_more else LESS if distance.breaks_less else ""


# The headline: a curve's gain at equal cost, and its saving at equal accuracy.


MIXED = "≈ "
"""The mark of a gain for which two settings are mixed."""

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


def headline(study: StudyFindings, setting: str, measure: str, *, brief: bool = False) -> Sheet:
    """The accuracy gained at equal cost and the cost saved at equal accuracy, one row per pipeline and workload.

    `brief`: over systems only, without the part in round brackets.
    """
    grouped: dict[tuple[str, str], dict[tuple[str, str], list[Match]]] = {}
    column_titles: dict[tuple[str, str], str] = {}
    for match in study.matches:
        if (match.other.setting, match.measure) == (setting, measure) and not (brief and match.other.point):
            name = match.at, match.over
            grouped.setdefault((match.other.pipeline, match.other.workload), {}).setdefault(name, []).append(match)
            title = study.title(match.other.pipeline, match.over)
            column_titles[name] = f"PAS at the cost of {title}" if match.at == "cost" else f"cost at the PAS of {title}"
    several = {trace for of_pipeline in study.findings if len(of_pipeline.seeds) > 1 for trace in of_pipeline.traces}
    rows = [
        (pipeline, workload, *(_gains(by_name.get(name, []), brief) for name in column_titles))
        for (pipeline, workload), by_name in grouped.items()
    ]
    return Sheet(
        f"The headline, {measure}",
        " ".join(filter(None, [_CHOICE, "" if brief else _REST, held_fixed(several)])),
        ("pipeline", "workload", *column_titles.values()),
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
    beside = match.cost_percent if match.at == "cost" else match.pas_points
    parts = []
    if beside is not None:
        parts.append(f"cost {plus(beside.mean, 1)} %" if match.at == "cost" else f"PAS {plus(beside.mean, 1)}")
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
    """IPA's SLA violations less the other's, in percentage points."""
    estimate = None if match.comparison is None else match.comparison.violations_points
    return None if estimate is None else estimate.mean


def _gain(match: Match) -> Estimate | None:
    """The gain: points of PAS at equal cost, or percent of the cost at equal PAS (below 0: saved)."""
    return match.pas_points if match.at == "cost" else match.cost_percent


# The runs that failed.


def failures(study: StudyFindings) -> Sheet:
    """One row per system or point on a workload in a setting: the seeds that failed, and the first one's error."""
    groups: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    for failure in study.failures:
        trial = failure.trial
        name = trial.pipeline, trial.setting, trial.workload, trial.system, trial.point or NONE
        groups.setdefault(name, []).append((trial.seed, failure.error))
    return Sheet(
        "Runs that failed",
        "A system with a failed run is in no other table, nor is a sweep of it; of a sweep, the point is left out. The "
        "same command tries these runs again.",
        ("pipeline", "setting", "workload", "system", "point", "seeds", "error of the first"),
        tuple((*name, ", ".join(str(seed) for seed, _ in failed), failed[0][1]) for name, failed in groups.items()),
        names=7,
    )
