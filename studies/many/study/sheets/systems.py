"""The systems side by side, of one pipeline or of all."""

from __future__ import annotations

from statistics import fmean

from ipa.studies.formatting import NONE, number
from ipa.studies.intervals import LIMITS
from ipa.studies.many.study.compare import comparisons
from ipa.studies.many.study.findings import INFEASIBLE_SHARE, Cell, Findings
from ipa.studies.many.study.found import Found
from ipa.studies.many.study.sheets.sheet import Sheet

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


def overall(found: Found, setting: str) -> Sheet:
    """One row per pipeline and system: means over its workloads and seeds."""
    rows = []
    for findings in found.findings:
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
        f"Every system, {found.setting_title(setting)}",
        f"Means over the workloads and the seeds; the report has each of them with its interval. {_INFEASIBLE}",
        ("pipeline", "system", *(title for title, *_ in _FIGURES)),
        tuple(rows),
        names=2,
    )


def _seeds(findings: Findings) -> str:
    count = len(findings.seeds)
    if count == 1:
        return "One seed, so no intervals."
    return f"Means over {count} seeds. {LIMITS}"


def _estimate(cell: Cell, key: str, factor: float, digits: int) -> str:
    found = cell.estimate(key, factor)
    return NONE if found is None else found.text(digits)


def sentences(findings: Findings, setting: str) -> list[tuple[str, str]]:
    """For every workload and system the workload, and how the first system compares, in words."""
    first = findings.title(findings.systems[0])
    return [
        (each.one.workload, f"{first} against {findings.title(each.other.system)}: {each.shown}")
        for each in comparisons(findings)
        if each.one.setting == setting
    ]
