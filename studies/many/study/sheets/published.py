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


def score(study: StudyFindings) -> Sheet:
    """The agreement with the published cells."""
    rows = []
    for setting in study.settings:
        scores = study.scores(setting)
        for part, title in (
            ("all", "all"),
            ("calibrated", "calibrated on"),
            ("test", "test"),
            ("test_unfitted", "test, without fitted ones"),
        ):
            of_part = scores[part]
            if of_part is not None:
                rows.append((study.setting_title(setting), title, *_score(of_part)))
    return Sheet(
        "Agreement with the published cells",
        "Of planned cost and planned PAS, as the publication plots them. A row is a workload of a pipeline; it is in "
        "order where no two systems stand otherwise than published, in cost or in PAS, published gaps under 2 % of the "
        "cost or 0.5 PAS aside. Fitted: a parameter of the system was chosen on that very cell.",
        ("setting", "cells", "number", "mean error of cost", "mean error of PAS", "rows in the published order"),
        tuple(rows),
        names=2,
    )


def _score(score: PublishedScore) -> tuple[str, ...]:
    return (
        str(score.cells),
        f"{number(100.0 * score.cost_error, 1)} %",
        number(score.pas_error, 2),
        f"{score.rows_in_order} of {score.rows}",
    )


def cells(study: StudyFindings, setting: str, pipeline: str | None = None) -> Sheet:
    """Every published cell and ours."""
    rows = [
        (cell.pipeline, cell.workload, study.system_title(cell), *_cell(cell))
        for cell in study.compared
        if cell.setting == setting and pipeline in (None, cell.pipeline)
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


def _cell(cell: ComparedCell) -> tuple[str, ...]:
    return (
        number(cell.published.cores, 2),
        number(cell.ours.cores, 2),
        f"{plus(100.0 * cell.cost_error, 1)} %",
        number(cell.published.pas, 2),
        number(cell.ours.pas, 2),
        plus(cell.pas_error, 2),
        *(_or_none(figures.lost, 0) for figures in (cell.published, cell.ours)),
        *(_or_none(figures.violated_seconds_percent, 1) for figures in (cell.published, cell.ours)),
    )


def _or_none(value: float | None, decimals: int) -> str:
    return NONE if value is None else number(value, decimals)


def misplaced(study: StudyFindings, setting: str) -> list[str]:
    """The pairs of systems that are not in the published order, one sentence each."""
    rows: dict[tuple[str, str], list[ComparedCell]] = {}
    for cell in study.compared:
        if cell.setting == setting:
            rows.setdefault((cell.pipeline, cell.workload), []).append(cell)
    return [
        f"{pipeline} {workload}: {figure} of {study.title(pipeline, system)} and {study.title(pipeline, beside)}"
        for (pipeline, workload), row in rows.items()
        for figure, system, beside in out_of_order(row)
    ]


def seen_most(study: StudyFindings, setting: str, pipeline: str | None = None) -> Sheet:
    """The most frequent configurations, published and ours."""
    rows: list[tuple[str, ...]] = []
    by_pipeline = study.plan.published.seen_most if study.plan.published else {}
    for findings in study.findings:
        if pipeline not in (None, findings.pipeline):
            continue
        for workload, of_workload in by_pipeline.get(findings.pipeline, {}).items():
            for system, published in of_workload.items():
                cell = findings.cell(setting, workload, system)
                if cell is not None:
                    texts_published, own_texts = (
                        _listed(map(_published, published)),
                        _listed(_ours(cell, len(published))),
                    )
                    rows.append((findings.pipeline, workload, findings.title(system), texts_published, own_texts))
    return Sheet(
        "Configurations seen most",
        "Cores: configuration (share of the decisions; of ours, of the time). Published ones do not all say how many "
        "replicas of a variant they had.",
        ("pipeline", "workload", "system", "published", "ours"),
        tuple(rows),
        names=5,
    )


def _published(most_seen: SeenMost) -> str:
    share = "" if most_seen.share is None else f" ({100 * most_seen.share:.0f} %)"
    return f"{most_seen.cores}{f': {most_seen.configuration}' if most_seen.configuration else ''}{share}"


def _ours(cell: StudyCell, count: int) -> Iterator[str]:
    outcome = next(iter(cell.outcomes.values()))
    for decided in outcome.configurations[: max(count, 2)]:
        yield f"{decided.cores:g}: {decided.text} ({100 * decided.share:.0f} %)"


def _listed(parts: Iterable[str]) -> str:
    return "; ".join(parts)


def queue_term(study: StudyFindings, setting: str, defect: str) -> str:
    """The effect of the published optimiser's defect, in words."""
    own = {(c.pipeline, c.workload, c.system): c for c in study.compared if c.setting == setting}
    with_defect = {(c.pipeline, c.workload, c.system): c for c in study.compared if c.setting == defect}
    pairs = [(own[name], with_defect[name]) for name in own if name in with_defect]
    changed = [
        (without, with_it)
        for without, with_it in pairs
        if abs(without.ours.cores - with_it.ours.cores) > 1e-9 or abs(without.ours.pas - with_it.ours.pas) > 1e-9
    ]
    if not changed:
        return f"With the defect all {len(pairs)} cells are the same: the SLA never binds there."
    most = max(changed, key=lambda pair: abs(pair[0].ours.cores / pair[1].ours.cores - 1.0))
    return (
        f"With the defect {len(changed)} of {len(pairs)} cells change, {most[0].pipeline} {most[0].workload} "
        f"{study.system_title(most[0])} the most: {number(most[0].ours.cores, 2)} / {number(most[0].ours.pas, 1)} "
        f"becomes {number(most[1].ours.cores, 2)} / {number(most[1].ours.pas, 1)}."
    )


def forecasts(study: StudyFindings) -> Sheet:
    """The error of the first system's forecasts in every setting with all systems."""
    findings = study.findings[0]
    first = findings.systems[0]
    rows = []
    for workload in findings.study.workloads:
        cells = [findings.cell(setting, workload, first) for setting in study.full_settings]
        errors = [None if cell is None else smape_percent(cell) for cell in cells]
        rows.append((workload, *(NONE if error is None else f"{number(error, 1)} %" for error in errors)))
    published = study.plan.published.predictor_smape_percent if study.plan.published else None
    return Sheet(
        "Forecast errors",
        f"SMAPE of {findings.title(first)}'s forecasts against the busiest second of the next {HORIZON_S}"
        + ("." if published is None else f"; the publication claims {published:g} % for its LSTM, on other seconds."),
        ("workload", *(study.setting_title(setting) for setting in study.full_settings)),
        tuple(rows),
    )


# The loads, published and ours.


def loads(study: StudyFindings) -> Sheet:
    """One row per published load: its requests, their mean and range per second, and our differences."""
    findings = study.findings[0]
    rows = []
    for workload, of_paper in (study.plan.published.loads if study.plan.published else {}).items():
        cell = next((cell_of_load for cell_of_load in findings.cells if cell_of_load.workload == workload), None)
        if cell is None:
            continue
        counts = whole_trace(cell.scenario, findings.seeds[0]).per_second()
        least, most = int(counts.min()), int(counts.max())
        rows.append(
            (
                workload,
                *(f"{of_paper.requests:,}", f"{counts.sum():,}", plus(int(counts.sum()) - of_paper.requests, 0)),
                number(of_paper.mean_rps, 1),
                number(counts.mean(), 1),
                plus(counts.mean() - of_paper.mean_rps, 1),
                f"{of_paper.least_rps} to {of_paper.most_rps}",
                f"{least} to {most}",
                f"{plus(least - of_paper.least_rps, 0)}, {plus(most - of_paper.most_rps, 0)}",
            )
        )
    return Sheet(
        "Load patterns, published and ours",
        "The requests of 20 minutes, and by the second their mean, fewest and most. "
        + ("Ours are the same windows of the real trace." if study.plan.has_real_trace else "Ours are synthetic."),
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


def decision_times(study: StudyFindings) -> Sheet:
    """Times of one decision, published and measured."""
    measured = {(timing.shape, timing.batches): timing.seconds for timing in study.timings}
    rows = []
    for timing_published in study.plan.published.decision_times if study.plan.published else ():
        batches = timing_published.batches or BATCHES
        mine = measured[tuple(timing_published.variants), batches]
        rows.append(
            (
                str(len(timing_published.variants)),
                _shape(timing_published.variants),
                f"{timing_published.batches or 'not said'}, {batches}",
                f"{1000 * timing_published.seconds:.0f} ms ({timing_published.how})",
                f"{1000 * mine:.2f} ms",
                f"{timing_published.seconds / mine:,.0f}",
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
