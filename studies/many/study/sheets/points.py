"""The named points of a sweep beside each other."""

from __future__ import annotations

from collections.abc import Iterator

from ipa.studies.formatting import NONE, number
from ipa.studies.many.study.findings import LOST, Cell
from ipa.studies.many.study.found import Found
from ipa.studies.many.study.sheets.sheet import Sheet

_FIGURES = (
    ("cost, cores", "cost_mean_cores", 1.0, 2),
    ("PAS", "pas_mean", 1.0, 2),
    ("SLA violations, %", "sla_violation_rate", 100.0, 2),
    ("violated seconds, %", "sla_violation_seconds_rate", 100.0, 2),
    ("dropped or failed", LOST, 1.0, 0),
    ("changes", "changes", 1.0, 0),
)


def named_points(found: Found, setting: str, pipeline: str | None = None) -> Iterator[Sheet]:
    """A sheet for each sweep that names its points: one row per pipeline, workload and point."""
    sweeps = {name: sweep for each in found.findings for name, sweep in each.study.sweeps.items() if sweep.points}
    for name, sweep in sweeps.items():
        of = [each for each in found.findings if name in each.study.sweeps and pipeline in (None, each.pipeline)]
        rows = [
            (findings.pipeline, workload, cell.point, *_figures(cell))
            for findings in of
            for workload in findings.study.workloads
            for cell in findings.of(setting, workload, name)
        ]
        if rows:
            yield Sheet(
                of[0].title(name),
                f"{of[0].title(sweep.of)} with each of these; means over the seeds.",
                ("pipeline", "workload", "with", *(title for title, *_ in _FIGURES)),
                tuple(rows),
                names=3,
            )


def _figures(cell: Cell) -> list[str]:
    return [number(cell.mean(key, factor), digits) for _, key, factor, digits in _FIGURES]


def lost(found: Found, setting: str, pipeline: str | None = None) -> Sheet:
    """What is lost at the named points of which that is published, on the loads of which it is, and whether the order
    is the published one: that of the points. Of other sweeps that have these points, too; each has its own further
    points, with nothing in the columns of those of the others."""
    published = found.plan.published.points if found.plan.published else {}
    known = {workload for of in published.values() for each in of.values() for workload in each}
    names = {point for of in published.values() for each in of.values() for at in each.values() for point in at}
    sweeps = [
        (findings, name, list(sweep.points))
        for findings in found.findings
        for name, sweep in findings.study.sweeps.items()
        if pipeline in (None, findings.pipeline) and names and names <= set(sweep.points)
    ]
    columns = list(dict.fromkeys(point for *_, points in sweeps for point in points))
    rows = []
    for findings, name, titles in sweeps:
        for workload in (each for each in findings.study.workloads if each in known):
            cells = findings.of(setting, workload, name)
            if len(cells) != len(titles):
                continue
            theirs = next((of[findings.pipeline] for of in published.values() if findings.pipeline in of), {})
            given = [theirs.get(workload, {}).get(point) for point in titles]
            ours = [round(cell.mean(LOST, 1.0) or 0.0) for cell in cells]
            is_in_order = ours == sorted(ours) and ours[-2] < ours[-1]
            lost_of = {
                title: f"{number(cell.mean(LOST, 1.0), 0)} ({number(cell.mean('cost_mean_cores', 1.0), 2)})"
                for title, cell in zip(titles, cells, strict=True)
            }
            figures = [lost_of.get(title, NONE) for title in columns]
            of_theirs = [NONE if each is None else number(each.lost, 0) for each in given]
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
