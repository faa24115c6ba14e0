"""A study from its file to its folder: make the missing runs, then write the tables, the report and the manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from ipa.studies import results
from ipa.studies.displayed import check_plotly
from ipa.studies.many import FINISHED, Running, Store, begun, opened, packed_course_of
from ipa.studies.many.study import (
    decision_times,
    headline,
    plan,
    published,
    schema,
    summary,
)
from ipa.studies.many.study.findings import failures, finished, gather
from ipa.studies.many.study.plan import StudyPlan, Trial
from ipa.studies.many.study.study import Study
from ipa.studies.scenario import ScenarioError

SHIPPED_STUDIES = ("paper", "loads")
"""The names of the shipped studies, each a folder with one file per pipeline: the publication's, and which policy is
for which load."""

ORDER = ("video", "audio-qa", "audio-sent", "sum-qa", "nlp")
REPORT = "report.html"
TABLES = "tables.md"
TIMES = "decision_times.md"


def run_study(
    study: str | Path,
    folder: str | Path,
    *,
    pipelines: Sequence[str] = (),
    seeds: int | None = None,
    late_at_most: float | None = None,
    **running: Any,
) -> Study:
    """Run a study (`paper`, `loads`, or the path of a study file) and write its tables and its report to `folder`.

    It runs on `pipelines` (default: all of the study's), with seeds from 1 to `seeds` (default: as in the study file).
    `running`: `jobs`, `on`, `progress` and `log`, as in `Running`. Runs already in `folder` are not repeated, so an
    interrupted study is resumed. Raises as `prepare` and `conduct`, and ScenarioError if plotly is not installed.
    """
    check_plotly("a study's report")
    study_plan = prepare(str(study), pipelines, seeds)
    return conduct(study_plan, Running(Path(folder), **running), late_at_most)


def read_study(folder: str | Path) -> Study:
    """The study in a results folder. Raises ScenarioError if it holds none, or one that is not finished."""
    folder = Path(folder)
    with _kept(folder) as (study_plan, store, manifest):
        try:
            timings = tuple(
                decision_times.Timing(tuple(timing["shape"]), timing["batches"], timing["seconds"])
                for timing in manifest["decision_times"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ScenarioError(f"{folder / results.MANIFEST}: decision_times: cannot be read: {error}") from None
        return _study(study_plan, store, timings, folder)


def read_trials(folder: str | Path) -> list[tuple[Trial, Mapping[str, Any]]]:
    """The runs of a study's folder that have not failed, each with its summary. Raises as `read_study`."""
    with _kept(Path(folder)) as (study_plan, store, _):
        by_key = store.summaries([trial.key for trial in study_plan.trials])
        return [
            (trial, summary_of_run)
            for trial in study_plan.trials
            if isinstance(summary_of_run := by_key.get(trial.key), dict)
        ]


@contextmanager
def _kept(folder: Path) -> Iterator[tuple[StudyPlan, Store, dict[str, Any]]]:
    """The plan of a finished study, with the files that its runs have read, its store and its manifest. Raises as
    `read_study`."""
    manifest = results.read_manifest(folder)
    if manifest["kind"] != "study":
        raise ScenarioError(f"{folder}: holds no study; read it with read_run or read_comparison")
    if not (manifest.get("finished") and (folder / FINISHED).is_file()):
        raise ScenarioError(f"{folder}: the study is not finished; run the same command again to resume it")
    with opened(folder / FINISHED) as store:
        try:
            study_plan = plan.from_text(store.plan())
        except (KeyError, TypeError, ValueError) as error:
            raise ScenarioError(f"{folder / FINISHED}: the plan of the study cannot be read: {error}") from None
        inputs = results.KeptInputs.of(manifest, folder)
        yield plan.with_scenarios(study_plan, inputs.scenario), store, manifest


def prepare(source: str, pipelines: Sequence[str], seeds: int | None) -> StudyPlan:
    """The runs of a shipped study or of a study file on these pipelines (none: all), with seeds from 1 to `seeds`.

    Raises ScenarioError, with file and line, for anything wrong in it, before anything is run or written.
    """
    is_shipped = source in SHIPPED_STUDIES
    if is_shipped:
        names = shipped(source)
        plan.check_names(pipelines, names, "--pipeline")
        paths = [schema.SHIPPED / source / f"{name}.yaml" for name in names if not pipelines or name in pipelines]
    else:
        paths = [Path(source)]
        if not paths[0].is_file() and not paths[0].suffix:
            raise ScenarioError(
                f"no study is called {source!r}; shipped: {', '.join(SHIPPED_STUDIES)}; or give the path of a study "
                "file"
            )
    studies = [schema.load(path) for path in paths]
    if not is_shipped:
        plan.check_names(pipelines, [study.pipeline for study in studies], "--pipeline")
    used = seeds or max(study.seeds for study in studies)
    named = {study.published for study in studies if study.published is not None}
    return StudyPlan(
        name=source if is_shipped else studies[0].title,
        studies=tuple((study, tuple(plan.trials(study, used))) for study in studies),
        published=schema.load_published(named.pop()) if named else None,
        seeds=used,
    )


def shipped(study: str) -> tuple[str, ...]:
    """The pipelines of a shipped study."""
    names = {path.stem for path in (schema.SHIPPED / study).glob("*.yaml")}
    return tuple(name for name in ORDER if name in names)


def conduct(study_plan: StudyPlan, running: Running, late_at_most: float | None = None) -> Study:
    """Make the runs of a plan that the folder lacks, then write the findings and the recommended system.

    Finished runs survive an interrupt. Failed runs are kept with their errors and tried again the next time; see
    `StudyFindings.failures`. Raises ScenarioError if the folder holds anything but a study or cannot be written, and as
    `begun` and `RunsSession.executor`.
    """
    assert running.folder is not None, "a study has a folder"
    trials, folder = study_plan.trials, running.folder
    with begun(running, _manifest(study_plan), packed_course_of, (trial.scenario for trial in trials)) as session:
        with session.executor(trial.scenario for trial in trials) as run:
            run((trial.planned for trial in trials), len(trials))
        session.store.say_left_out((trial.key for trial in trials), "the tables")
        session.store.keep_plan(plan.to_text(study_plan))
        published_times = study_plan.published.decision_times if study_plan.published else []
        sizes = [(tuple(timing.variants), timing.batches or decision_times.BATCHES) for timing in published_times]
        timings = tuple(decision_times.measure(sizes))
        study = replace(_study(study_plan, session.store, timings, folder), late_at_most=late_at_most)
    if study.findings:
        _write(study, folder)
    else:  # remove the files of an earlier version of the study
        for path in (*folder.glob("*.parquet"), *(folder / name for name in (TABLES, TIMES, REPORT))):
            path.unlink(missing_ok=True)
    session.finish(
        failed_runs=[failure.as_dict() for failure in study.failures],
        decision_times=[vars(timing) for timing in study.timings],
    )
    return study


def _write(study: Study, folder: Path) -> None:
    """Write the tables and the report."""
    for name, table in study.tables.items():
        path = folder / f"{name}.parquet"
        if table.empty:
            path.unlink(missing_ok=True)  # left by an earlier version of the study
        else:
            results.write_table(table, path)
    results.write_text(summary.render(study), folder / TABLES)
    published = study.plan.published
    if published and published.decision_times:
        results.write_text(summary.render_times(study), folder / TIMES)
    else:
        (folder / TIMES).unlink(missing_ok=True)
    study.write_report(folder / REPORT)


def _study(study_plan: StudyPlan, store: Store, timings: tuple[decision_times.Timing, ...], folder: Path) -> Study:
    """The study from the runs in the store, without the systems that have failed."""
    failed = [failures(trials, store) for _, trials in study_plan.studies]
    remaining = [finished(*part, of_part) for part, of_part in zip(study_plan.studies, failed, strict=True)]
    findings = tuple(gather(study, trials, store) for study, trials in remaining if trials)
    return Study(
        plan=study_plan,
        findings=findings,
        matches=tuple(match for of_pipeline in findings for match in headline.matches(of_pipeline)),
        compared=tuple(
            cell
            for of_pipeline in findings
            if study_plan.published
            for cell in published.compared(of_pipeline, study_plan.published)
        ),
        timings=timings,
        failures=tuple(chain.from_iterable(failed)),
        folder=folder,
    )


def _manifest(study_plan: StudyPlan) -> dict[str, Any]:
    return {
        "schema_version": results.SCHEMA_VERSION,
        "kind": "study",
        "study": study_plan.name,
        "seeds": list(range(1, study_plan.seeds + 1)),
        "runs": len(study_plan.trials),
        "real_trace": study_plan.has_real_trace,
        "pipelines": {
            study.pipeline: {
                "file_sha256": {path.name: sha256(path.read_bytes()).hexdigest() for path in study.files},
                "workloads": {trial.workload: trial.scenario.trace for trial in trials},
                "settings": list(study.settings),
                "systems": {name: {"title": system.title or name} for name, system in study.systems.items()},
            }
            for study, trials in study_plan.studies
        },
        "cores": os.cpu_count(),
        **results.versions(),
    }
