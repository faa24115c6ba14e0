"""The means of a pipeline's systems, or of a sweep's named points, as bars."""

from __future__ import annotations

from collections.abc import Iterator

from ipa.studies.many.study import LOST, Findings, Found
from ipa.studies.pages.study_bars import Row, Series, bars
from ipa.studies.pages.study_figure import Figure, Looks, looks

_PUBLISHED = " Red diamonds: published{}."
_TICKS = (
    " Ticks: planned cost, planned PAS, and the share of seconds whose p99 was above the SLA. Bars have 95 % intervals "
    "over seeds."
)


def means(found: Found, findings: Findings, styles: Looks, setting: str) -> Figure:
    """Bars of cost, accuracy and violations, one group per workload, with published figures beside them."""
    workloads = findings.study.workloads
    series = [
        Series(
            styles[system],
            [cell for workload in workloads if (cell := findings.cell(setting, workload, system))],
        )
        for system in findings.systems
    ]
    cells = [each for each in found.compared if (each.pipeline, each.setting) == (findings.pipeline, setting)]
    costs = {(each.workload, each.system): each.published.cores for each in cells}
    accuracies = {(each.workload, each.system): each.published.pas for each in cells}
    traces, layout = bars(
        (
            Row("cost (cores)", "cost_mean_cores", 1.0, "planned_cost_mean_cores", costs),
            Row("PAS (x 100)", "pas_mean", 1.0, "planned_pas_mean", accuracies),
            Row("SLA violations (%)", "sla_violation_rate", 100.0, "sla_violation_seconds_rate"),
        ),
        workloads,
        series,
        top=70,
    )
    return Figure(
        f"{findings.pipeline}-means-{setting}",
        "Means",
        "Bars: the cost of what existed, the PAS of what was served, the share of requests that violated the SLA."
        + _TICKS
        + (_PUBLISHED.format(", to compare with the ticks") if cells else ""),
        traces,
        layout,
        setting=setting,
    )


def named_points(found: Found, findings: Findings, setting: str) -> Iterator[Figure]:
    """Bars of cost, accuracy and requests lost, a bar for each point of the sweeps that name theirs."""
    workloads = findings.study.workloads
    for name, sweep in findings.study.sweeps.items():
        points = {
            point: [cell for each in workloads if (cell := findings.cell(setting, each, name, point))]
            for point in sweep.points
        }
        if not any(points.values()):
            continue
        styles = looks([(point, point) for point in points])
        lost = {
            (workload, point): figures.lost
            for workload, of in found.published_points(findings.pipeline, name).items()
            for point, figures in of.items()
            if setting == found.settings[0]
        }
        traces, layout = bars(
            (
                Row("cost (cores)", "cost_mean_cores", 1.0, "planned_cost_mean_cores"),
                Row("PAS (x 100)", "pas_mean", 1.0, "planned_pas_mean"),
                Row("SLA violations (%)", "sla_violation_rate", 100.0, "sla_violation_seconds_rate"),
                Row("dropped or failed", LOST, 1.0, "", lost),
            ),
            workloads,
            [Series(styles[point], cells) for point, cells in points.items()],
            top=70,
        )
        yield Figure(
            f"{findings.pipeline}-sweep-{name}-{setting}",
            findings.title(name),
            f"{findings.title(sweep.of)} with each of these: the cost of what existed, the PAS of what was served, the "
            "share of requests that violated the SLA, and the number of those that were dropped or failed."
            + _TICKS
            + (_PUBLISHED.format("") if lost else ""),
            traces,
            layout,
            setting=setting,
        )
