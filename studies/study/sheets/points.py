"""The named points of a sweep beside each other."""

from __future__ import annotations

from collections.abc import Iterator

from ipa.studies.drawing import NONE, number
from ipa.studies.many import AT_BATCH_CHANGES, INTERRUPTED
from ipa.studies.study.findings import LOST, Cell
from ipa.studies.study.found import Found
from ipa.studies.study.sheets.sheet import Sheet

_FIGURES = (
    ("cost, cores", "cost_mean_cores", 1.0, 2),
    ("PAS", "pas_mean", 1.0, 2),
    ("SLA violations, %", "sla_violation_rate", 100.0, 2),
    ("violated seconds, %", "sla_violation_seconds_rate", 100.0, 2),
    ("dropped or failed", LOST, 1.0, 0),
)
_AT_RISK = (
    ("changes", "changes", 1.0, 0),
    ("in service when removed", INTERRUPTED, 1.0, 0),
    ("at batch changes", AT_BATCH_CHANGES, 1.0, 0),
)


def named_points(found: Found, setting: str, pipeline: str | None = None) -> Iterator[Sheet]:
    """A sheet for each sweep that names its points: one row per pipeline, workload and point."""
    sweeps = {name: sweep for each in found.findings for name, sweep in each.study.sweeps.items() if sweep.points}
    for name, sweep in sweeps.items():
        of = [each for each in found.findings if name in each.study.sweeps and pipeline in (None, each.pipeline)]
        rows = []
        has_published = any(found.published_points(each.pipeline, name) for each in of)
        for findings in of:
            published = found.published_points(findings.pipeline, name)
            for workload in findings.study.workloads:
                for cell in findings.of(setting, workload, name):
                    theirs = published.get(workload, {}).get(cell.point)
                    lost = [NONE if theirs is None else number(theirs.lost, 0)] if has_published else []
                    first, more = _figures(cell, _FIGURES), _figures(cell, _AT_RISK)
                    rows.append((findings.pipeline, workload, cell.point, *first, *lost, *more))
        if rows:
            system = of[0].title(sweep.of)
            yield Sheet(
                of[0].title(name),
                f"{system} with each of these; means over the seeds. The last two columns count requests that a "
                "rollout of live containers may lose and that of the model does not: in service at a replica when it "
                "was removed, or at a stage when its batch size changed.",
                (
                    *("pipeline", "workload", "with"),
                    *(title for title, *_ in _FIGURES),
                    *(("dropped or failed, published",) if has_published else ()),
                    *(title for title, *_ in _AT_RISK),
                ),
                tuple(rows),
                names=3,
            )


def _figures(cell: Cell, figures: tuple[tuple[str, str, float, int], ...]) -> list[str]:
    return [number(cell.mean(key, factor), digits) for _, key, factor, digits in figures]
