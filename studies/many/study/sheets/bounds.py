"""How far every system is from the one that bounds them."""

from __future__ import annotations

from ipa.studies.formatting import NONE, number, plus
from ipa.studies.many.study.bounds import AS_RARELY_POINTS, Distance, bounded
from ipa.studies.many.study.found import Found
from ipa.studies.many.study.sheets.sheet import Sheet

MORE, LESS = "*", "†"
"""Beside a distance: the system violates the SLA more often than the bound, or the bound does."""


def bounds(found: Found, setting: str) -> Sheet:
    """One row per pipeline and workload: the figures of the bound, and the distance of every other system."""
    names = {findings.study.bound for findings in found.findings if findings.study.bound}
    others = [system for system in found.systems if system not in names]
    rows = []
    for findings in found.findings:
        for each in bounded(findings, setting):
            distances = {distance.system: distance for distance in each.others}
            texts = (
                NONE
                if (distance := distances.get(system)) is None or distance.objective is None
                else plus(distance.objective.mean, 2) + _mark(distance)
                for system in others
            )
            figures = (("cost_mean_cores", 1.0), ("pas_mean", 1.0), ("sla_violation_rate", 100.0))
            of_bound = (number(each.bound.mean(key, factor), 2) for key, factor in figures)
            rows.append((findings.pipeline, each.bound.workload, *of_bound, number(each.objective, 2), *texts))
    title = " and ".join(dict.fromkeys(f.title(f.study.bound) for f in found.findings if f.study.bound))
    return Sheet(
        f"What bounds them, {found.setting_title(setting)}",
        f"First {title}: cost, PAS, SLA violations and the objective of its programme as it came out, alpha x accuracy "
        f"- beta x cost. Then how much more or less every other system's is. {MORE}: with SLA violations more than "
        f"{AS_RARELY_POINTS:g} points above its; {LESS}: more than {AS_RARELY_POINTS:g} points below its. Neither are "
        f"comparable: the system that violates more has not done the same work, with {LESS} {title} itself.",
        (
            *("pipeline", "workload", "cost, cores", "PAS", "SLA violations, %", "objective"),
            *(next(f.title(system) for f in found.findings if system in f.systems) for system in others),
        ),
        tuple(rows),
        names=2,
    )


def _mark(distance: Distance) -> str:
    return MORE if distance.breaks_more else LESS if distance.breaks_less else ""
