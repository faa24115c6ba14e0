"""The page of a study.

The reader chooses the setting and the workload for the whole page; parts for one option have it in `shown_for`. A
figure is drawn when it comes into view, so that the page opens at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ipa.studies.intervals import held_fixed
from ipa.studies.many.answers import Answers
from ipa.studies.many.study import DEFECT, Findings, Sheet, StudyFindings, of_sweeps, of_systems, ran_on, sheets
from ipa.studies.pages import answers, study_bars, study_latencies, study_overview
from ipa.studies.pages.document import Cell, Items, Page, Paragraph, Part, Section, Table
from ipa.studies.pages.study_bars import Looks, looks


def page(study: StudyFindings) -> Page:
    """The page."""
    titles = {name: findings.title(name) for findings in study.findings for name in findings.systems}
    styles = looks({name: titles[name] for name in study.systems})
    settings = study.full_settings
    workloads = dict.fromkeys(name for of_pipeline in study.findings for name in of_pipeline.study.workloads)
    counts = {"system": len(study.systems), "load": len(workloads)}
    counted = " on ".join(f"{count} {thing}{'s' * (count != 1)}" for thing, count in counts.items())
    return Page(
        f"Study {study.plan.name}: {counted}, {', '.join(of_pipeline.pipeline for of_pipeline in study.findings)}",
        [ran_on(study)],
        [
            _overview(study, styles, settings),
            *(_Pipeline(study, of_pipeline, styles).section for of_pipeline in study.findings),
        ],
        _facts(study),
        choices={
            "setting": {name: study.setting_title(name) for name in settings},
            "workload": {name: name for name in workloads},
        },
    )


def _facts(study: StudyFindings) -> dict[str, str]:
    """The lines of "What was run"."""
    studied = [findings.study for findings in study.findings]

    def titles(named_of: Iterable[tuple[str, str]]) -> str:
        return ", ".join(dict.fromkeys(title or name for name, title in named_of))

    facts = {
        "Pipelines": ", ".join(findings.pipeline for findings in study.findings),
        "Settings": titles((name, named.title) for named_of in studied for name, named in named_of.settings.items()),
        "Workloads": titles((name, "") for named_of in studied for name in named_of.workloads),
        "Systems": titles(
            (name, named.title or "") for named_of in studied for name, named in named_of.systems.items()
        ),
        "Sweeps": titles((name, named.title) for named_of in studied for name, named in named_of.sweeps.items()),
        "Runs": ran_on(study),
    }
    return {name: text for name, text in facts.items() if text}


def _overview(study: StudyFindings, styles: Looks, settings: Sequence[str]) -> Section:
    parts: list[Part] = [_table(sheets.failures(study))] if study.failures else []
    recommendations = list(study.recommendations())
    for setting in settings:
        title = study.setting_title(setting)
        first = [
            f"{pipeline}: {recommendation.sentences[0]}"
            for pipeline, where, recommendation in recommendations
            if where == setting
        ]
        which = [Section("Which to take", [Items(first)])] if first else []
        measured = (sheets.headline(study, setting, measure) for measure in ("measured", "planned"))
        shown = [sheet for sheet in measured if sheet.rows] + [sheets.overall(study, setting)]
        bounds = sheets.bounds(study, setting)
        tables = [_table(sheet, title) for sheet in [*shown, *([bounds] if bounds.rows else [])]]
        unswept = _unswept(study, setting, "So there is no headline here.")
        parts.append(_only(setting, [*which, study_overview.planes(study, styles, setting), *unswept, *tables]))
    if study.compared:
        parts.append(_table(sheets.score(study)))
        if DEFECT in study.settings:
            parts.append(Paragraph(sheets.queue_term(study, study.settings[0], DEFECT)))
    of_loads = sheets.loads(study)
    parts += [
        study_overview.loads(study, styles),
        *([_table(of_loads)] if of_loads.rows else []),
        _table(sheets.forecasts(study)),
        study_overview.decision_times(study),
    ]
    if study.plan.published and study.plan.published.decision_times:
        parts.append(_table(sheets.decision_times(study)))
    return Section("Overview", parts, ident="overview")


class _Pipeline(NamedTuple):
    """The part of a pipeline."""

    study: StudyFindings
    findings: Findings
    styles: Looks

    @property
    def section(self) -> Section:
        """The whole part, setting by setting."""
        settings = [name for name in self.study.full_settings if name in self.findings.study.settings]
        parts = [part for setting in settings for part in self._of_setting(setting)]
        return Section(self.findings.study.title, parts, ident=f"of:{self.findings.pipeline}")

    def _of_setting(self, setting: str) -> Iterator[Part]:
        """The winners over all loads, the figures, the sweeps and the tables."""
        of_all_loads = of_systems(self.findings, setting, self.study.late_at_most)
        if of_all_loads is not None:
            recommendation, reasons = answers.recommended(of_all_loads.recommend())
            wins = Section("Which system wins", [*reasons, answers.headline(of_all_loads)])
            place = f"{self.study.findings.index(self.findings)}x{self.study.settings.index(setting)}"
            yield _only(setting, [*recommendation, wins, *answers.against(of_all_loads, place)])
        study, findings, styles = self
        yield _only(setting, [study_bars.means(study, findings, styles, setting)])
        for workload in findings.study.workloads:
            timeline = study_overview.timeline(findings, styles, setting, workload)
            yield Section("", [timeline], shown_for={"setting": setting, "workload": workload})
        swept = study_latencies.trade_off(study, findings, styles, setting)
        latencies = study_latencies.latencies(findings, styles, setting)
        named = study_bars.named_points(study, findings, setting)
        unswept = _unswept(study, setting, "So there is no figure of them here.")
        sweeps = (self._sweep(setting, *of_sweep) for of_sweep in of_sweeps(findings, setting, study.late_at_most))
        yield _only(setting, [*swept, *latencies, *named, *unswept, *sweeps, *self._tables(setting)])

    def _sweep(self, setting: str, name: str, of_sweep: Answers) -> Section:
        """A sweep, folded: its findings, best points and figures."""
        prefix = f"{self.findings.pipeline}-{name}-{setting}-"
        parts = [answers.headline(of_sweep), *answers.best_settings(of_sweep), *answers.plots(of_sweep, prefix)]
        return Section(f"Sweep: {self.findings.title(name)}", parts, is_folded=True)

    def _tables(self, setting: str) -> Iterator[Part]:
        study, findings, _ = self
        where = f"{findings.pipeline}, {study.setting_title(setting)}"
        cells = sheets.cells(study, setting, findings.pipeline)
        seen_most = sheets.seen_most(study, setting, findings.pipeline)
        lost = sheets.lost(study, setting, findings.pipeline)
        shown = [*([cells, seen_most] if cells.rows else []), lost]
        yield from (_table(sheet, where) for sheet in shown if sheet.rows)
        for sheet in sheets.named_points(study, setting, findings.pipeline):
            yield Section(f"{sheet.title}: all figures", [_table(sheet, where)], is_folded=True)
        yield Section("All figures", [_table(sheets.systems(findings, setting), where)], is_folded=True)
        sentences = sheets.sentences(findings, setting)
        if sentences:
            note = (
                "Differences seed by seed, where both met the same arrivals and draws, with 95 % intervals where there "
                f"are several seeds. {held_fixed(findings.traces) if len(findings.seeds) > 1 else ''}"
            ).rstrip()
            items = Items([f"{workload}: {text}" for workload, text in sentences])
            yield Section("Comparisons", [items], note, is_folded=True)


def _unswept(study: StudyFindings, setting: str, so: str) -> list[Paragraph]:
    """Why a setting has no results of sweeps; empty if it has, or if the study has no sweeps."""
    swept = study.swept_settings
    if not swept or setting in swept:
        return []
    titles = " and ".join(study.setting_title(name) for name in swept)
    return [Paragraph(f"The sweeps are run in {titles} alone. {so}", "muted")]


def _only(setting: str, parts: Sequence[Part]) -> Section:
    """Parts that are shown for one setting only."""
    return Section("", parts, shown_for={"setting": setting})


MANY = 9
"""A table with this many columns is set closer."""


def _table(sheet: Sheet, where: str = "") -> Section:
    """A sheet under its heading; `of` distinguishes sheets with the same title."""
    # A column with one pipeline in all rows would waste room, on a telephone half of it.
    left_out = int(sheet.columns[0] == "pipeline" and len({row[0] for row in sheet.rows}) == 1)
    names = sheet.names - left_out
    shown = [row[left_out:] for row in (sheet.columns, *sheet.rows)]
    columns = [Cell(column, css="name") if at < names else column for at, column in enumerate(shown[0])]
    rows = [[_name(text) if at < names else _figure(text) for at, text in enumerate(row)] for row in shown[1:]]
    name = f"{sheet.title}: {where}" if where else sheet.title
    table = Table(name, columns, rows, css="many" if len(columns) >= MANY else "")
    return Section(sheet.title, [table], sheet.reading)


def _name(text: str) -> Cell:
    return Cell(text, css="name long" if len(text) > 30 else "name")


def _figure(text: str) -> Cell:
    """A figure; a part in round brackets at its end is set small, on its own line."""
    main, bracket, rest = text.replace("violations ", "violations\u00a0").partition(" (")
    return Cell(main, f"({rest}" if bracket else "")
