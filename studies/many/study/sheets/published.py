"""The agreement with the published cells, and explanations of the differences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ipa.studies.formatting import NONE, number, plus
from ipa.studies.many.study.conclusions import StudyFindings
from ipa.studies.many.study.decision_times import BATCHES
from ipa.studies.many.study.findings import HORIZON_S, StudyCell, smape_percent
from ipa.studies.many.study.published import ComparedCell, PublishedScore, out_of_order
from ipa.studies.many.study.schema import SeenMost
from ipa.studies.many.study.sheets.systems import Sheet
from ipa.studies.scenario import whole_trace


def score(found: StudyFindings) -> Sheet:
    """The agreement with the published cells."""
    rows = []
    for setting in found.settings:
        scores = found.scores(setting)
        for part, title in (
            ("all", "all"),
            ("calibrated", "calibrated on"),
            ("test", "test"),
            ("test_unfitted", "test, without fitted ones"),
        ):
            given = scores[part]
            if given is not None:
                rows.append((found.setting_title(setting), title, *_score(given)))
    return Sheet(
        "Agreement with the published cells",
        "Of planned cost and planned PAS, as the publication plots them. A row is a workload of a pipeline; it is in "
        "order where no two systems stand otherwise than published, in cost or in PAS, published gaps under 2 % of the "
        "cost or 0.5 PAS aside. Fitted: a parameter of the system was chosen on that very cell.",
        ("setting", "cells", "number", "mean error of cost", "mean error of PAS", "rows in the published order"),
        tuple(rows),
        names=2,
    )


def _score(given: PublishedScore) -> tuple[str, ...]:
    return (
        str(given.cells),
        f"{number(100.0 * given.cost_error, 1)} %",
        number(given.pas_error, 2),
        f"{given.rows_in_order} of {given.rows}",
    )


def cells(found: StudyFindings, setting: str, pipeline: str | None = None) -> Sheet:
    """Every published cell and ours."""
    rows = [
        (each.pipeline, each.workload, found.system_title(each), *_cell(each))
        for each in found.compared
        if each.setting == setting and pipeline in (None, each.pipeline)
    ]
    return Sheet(
        "Published cells beside ours",
        "Means of the planned cost and of the planned PAS, the step before the first decision included. Lost: the "
        f"requests that were dropped or failed. {NONE}: not known to us.",
        (
            *("pipeline", "workload", "system"),
            *("cores, published", "ours", "difference", "PAS, published", "ours", "difference"),
            *("lost, published", "ours", "violated seconds, %, published", "ours"),
        ),
        tuple(rows),
        names=3,
    )


def _cell(each: ComparedCell) -> tuple[str, ...]:
    return (
        number(each.published.cores, 2),
        number(each.ours.cores, 2),
        f"{plus(100.0 * each.cost_error, 1)} %",
        number(each.published.pas, 2),
        number(each.ours.pas, 2),
        plus(each.pas_error, 2),
        *(_or_none(figures.lost, 0) for figures in (each.published, each.ours)),
        *(_or_none(figures.violated_seconds_percent, 1) for figures in (each.published, each.ours)),
    )


def _or_none(value: float | None, decimals: int) -> str:
    return NONE if value is None else number(value, decimals)


def misplaced(found: StudyFindings, setting: str) -> list[str]:
    """The pairs of systems that are not in the published order, one sentence each."""
    rows: dict[tuple[str, str], list[ComparedCell]] = {}
    for each in found.compared:
        if each.setting == setting:
            rows.setdefault((each.pipeline, each.workload), []).append(each)
    return [
        f"{pipeline} {workload}: {what} of {found.title(pipeline, one)} and {found.title(pipeline, other)}"
        for (pipeline, workload), row in rows.items()
        for what, one, other in out_of_order(row)
    ]


def seen_most(found: StudyFindings, setting: str, pipeline: str | None = None) -> Sheet:
    """The most frequent configurations, published and ours."""
    rows: list[tuple[str, ...]] = []
    given = found.plan.published.seen_most if found.plan.published else {}
    for findings in found.findings:
        if pipeline not in (None, findings.pipeline):
            continue
        for workload, of_workload in given.get(findings.pipeline, {}).items():
            for system, published in of_workload.items():
                cell = findings.cell(setting, workload, system)
                if cell is not None:
                    theirs, ours = _listed(map(_published, published)), _listed(_ours(cell, len(published)))
                    rows.append((findings.pipeline, workload, findings.title(system), theirs, ours))
    return Sheet(
        "Configurations seen most",
        "Cores: configuration (share of the decisions; of ours, of the time). Published ones do not all say how many "
        "replicas of a variant they had.",
        ("pipeline", "workload", "system", "published", "ours"),
        tuple(rows),
        names=5,
    )


def _published(each: SeenMost) -> str:
    share = "" if each.share is None else f" ({100 * each.share:.0f} %)"
    return f"{each.cores}{f': {each.configuration}' if each.configuration else ''}{share}"


def _ours(cell: StudyCell, count: int) -> Iterator[str]:
    outcome = next(iter(cell.outcomes.values()))
    for each in outcome.configurations[: max(count, 2)]:
        yield f"{each.cores:g}: {each.text} ({100 * each.share:.0f} %)"


def _listed(parts: Iterable[str]) -> str:
    return "; ".join(parts)


def queue_term(found: StudyFindings, setting: str, defect: str) -> str:
    """The effect of the published optimiser's defect, in words."""
    ours = {(c.pipeline, c.workload, c.system): c for c in found.compared if c.setting == setting}
    with_defect = {(c.pipeline, c.workload, c.system): c for c in found.compared if c.setting == defect}
    both = [(ours[name], with_defect[name]) for name in ours if name in with_defect]
    changed = [
        (one, other)
        for one, other in both
        if abs(one.ours.cores - other.ours.cores) > 1e-9 or abs(one.ours.pas - other.ours.pas) > 1e-9
    ]
    if not changed:
        return f"With the defect all {len(both)} cells are the same: the SLA never binds there."
    most = max(changed, key=lambda pair: abs(pair[0].ours.cores / pair[1].ours.cores - 1.0))
    return (
        f"With the defect {len(changed)} of {len(both)} cells change, {most[0].pipeline} {most[0].workload} "
        f"{found.system_title(most[0])} the most: {number(most[0].ours.cores, 2)} / {number(most[0].ours.pas, 1)} "
        f"becomes {number(most[1].ours.cores, 2)} / {number(most[1].ours.pas, 1)}."
    )


def forecasts(found: StudyFindings) -> Sheet:
    """The error of the first system's forecasts in every setting with all systems."""
    findings = found.findings[0]
    first = findings.systems[0]
    rows = []
    for workload in findings.study.workloads:
        cells = [findings.cell(setting, workload, first) for setting in found.full_settings]
        errors = [None if cell is None else smape_percent(cell) for cell in cells]
        rows.append((workload, *(NONE if error is None else f"{number(error, 1)} %" for error in errors)))
    published = found.plan.published.predictor_smape_percent if found.plan.published else None
    return Sheet(
        "Forecast errors",
        f"SMAPE of {findings.title(first)}'s forecasts against the busiest second of the next {HORIZON_S}"
        + ("." if published is None else f"; the publication claims {published:g} % for its LSTM, on other seconds."),
        ("workload", *(found.setting_title(setting) for setting in found.full_settings)),
        tuple(rows),
    )


# The loads, published and ours.


def loads(found: StudyFindings) -> Sheet:
    """One row per published load: its requests, their mean and range per second, and our differences."""
    findings = found.findings[0]
    rows = []
    for workload, theirs in (found.plan.published.loads if found.plan.published else {}).items():
        cell = next((each for each in findings.cells if each.workload == workload), None)
        if cell is None:
            continue
        counts = whole_trace(cell.scenario, findings.seeds[0]).per_second()
        least, most = int(counts.min()), int(counts.max())
        rows.append(
            (
                workload,
                *(f"{theirs.requests:,}", f"{counts.sum():,}", plus(int(counts.sum()) - theirs.requests, 0)),
                number(theirs.mean_rps, 1),
                number(counts.mean(), 1),
                plus(counts.mean() - theirs.mean_rps, 1),
                f"{theirs.least_rps} to {theirs.most_rps}",
                f"{least} to {most}",
                f"{plus(least - theirs.least_rps, 0)}, {plus(most - theirs.most_rps, 0)}",
            )
        )
    return Sheet(
        "Load patterns, published and ours",
        "The requests of 20 minutes, and by the second their mean, fewest and most. "
        + ("Ours are the same windows of the real trace." if found.plan.has_real_trace else "Ours are synthetic."),
        (
            "workload",
            *(
                column
                for figure in ("requests", "mean, rps", "range, rps")
                for column in (f"{figure}, published", "ours", "difference")
            ),
        ),
        tuple(rows),
    )


# Decision times, published and ours.


def decision_times(found: StudyFindings) -> Sheet:
    """Times of one decision, published and measured."""
    ours = {(timing.shape, timing.batches): timing.seconds for timing in found.timings}
    rows = []
    for each in found.plan.published.decision_times if found.plan.published else ():
        batches = each.batches or BATCHES
        mine = ours[tuple(each.variants), batches]
        rows.append(
            (
                str(len(each.variants)),
                _shape(each.variants),
                f"{each.batches or 'not said'}, {batches}",
                f"{1000 * each.seconds:.0f} ms ({each.how})",
                f"{1000 * mine:.2f} ms",
                f"{each.seconds / mine:,.0f}",
            )
        )
    return Sheet(
        "Time of one decision, published and ours",
        "Of ours the median over random pipelines whose SLA binds, by the exact solver on this machine; it includes "
        "the tables that a run makes once.",
        ("stages", "variants", "batch sizes, theirs and ours", "published optimiser", "ours", "times as fast"),
        tuple(rows),
        names=3,
    )


def _shape(variants: Sequence[int]) -> str:
    same = len(variants) > 2 and len(set(variants)) == 1
    return f"{variants[0]} each" if same else " + ".join(map(str, variants))
