"""The page of a study.

The reader chooses the setting and the workload for the whole page; parts for one option have it in `shown_for`. A
figure is drawn when it comes into view, so that the page opens at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ipa.studies.intervals import held_fixed
from ipa.studies.many.answers import Answers
from ipa.studies.many.study import DEFECT, Findings, Found, Sheet, Study, of_sweeps, of_systems, ran_on, sheets
from ipa.studies.pages import answers, cards, study_bars, study_latencies, study_overview
from ipa.studies.pages.colours import colour
from ipa.studies.pages.document import Cell, Items, Page, Paragraph, Part, Section, Table
from ipa.studies.pages.study_bars import Looks, looks


def page(found: Found) -> Page:
    """The page."""
    titles = {name: findings.title(name) for findings in found.findings for name in findings.systems}
    styles = looks({name: titles[name] for name in found.systems})
    settings = found.full_settings
    workloads = dict.fromkeys(name for each in found.findings for name in each.study.workloads)
    counts = {"system": len(found.systems), "load": len(workloads)}
    counted = " on ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items())
    return Page(
        f"Study {found.plan.name}: {counted}, {', '.join(each.pipeline for each in found.findings)}",
        [ran_on(found)],
        [_overview(found, styles, settings), *(_Pipeline(found, each, styles).section for each in found.findings)],
        _facts(found),
        choices={
            "setting": {name: found.setting_title(name) for name in settings},
            "workload": {name: name for name in workloads},
        },
    )


def _facts(found: Found) -> dict[str, str]:
    """The lines of "What was run"."""
    studied = [findings.study for findings in found.findings]

    def titles(of: Iterable[tuple[str, str]]) -> str:
        return ", ".join(dict.fromkeys(title or name for name, title in of))

    given = {
        "Pipelines": ", ".join(findings.pipeline for findings in found.findings),
        "Settings": titles((name, each.title) for of in studied for name, each in of.settings.items()),
        "Workloads": titles((name, "") for of in studied for name in of.workloads),
        "Systems": titles((name, each.title or "") for of in studied for name, each in of.systems.items()),
        "Sweeps": titles((name, each.title) for of in studied for name, each in of.sweeps.items()),
        "Runs": ran_on(found),
    }
    return {name: text for name, text in given.items() if text}


def _overview(found: Found, styles: Looks, settings: Sequence[str]) -> Section:
    parts: list[Part] = [_table(sheets.failures(found))] if found.failures else []
    taken = list(found.recommendations())
    for setting in settings:
        title = found.setting_title(setting)
        first = [f"{pipeline}: {each.sentences[0]}" for pipeline, where, each in taken if where == setting]
        which = [Section("Which to take", [Items(first)])] if first else []
        measured = (sheets.headline(found, setting, measure) for measure in ("measured", "planned"))
        shown = [sheet for sheet in measured if sheet.rows] + [sheets.overall(found, setting)]
        bounds = sheets.bounds(found, setting)
        tables = [_table(sheet, title) for sheet in [*shown, *([bounds] if bounds.rows else [])]]
        unswept = _unswept(found, setting, "So there is no headline here.")
        parts.append(_only(setting, [*which, study_overview.planes(found, styles, setting), *unswept, *tables]))
    if found.compared:
        parts.append(_table(sheets.score(found)))
        if DEFECT in found.settings:
            parts.append(Paragraph(sheets.queue_term(found, found.settings[0], DEFECT)))
    of_loads = sheets.loads(found)
    parts += [
        study_overview.loads(found, styles),
        *([_table(of_loads)] if of_loads.rows else []),
        _table(sheets.forecasts(found)),
        study_overview.decision_times(found),
    ]
    if found.plan.published and found.plan.published.decision_times:
        parts.append(_table(sheets.decision_times(found)))
    return Section("Overview", parts, ident="overview")


class _Pipeline(NamedTuple):
    """The part of a pipeline."""

    found: Found
    findings: Findings
    styles: Looks

    @property
    def section(self) -> Section:
        """The whole part, setting by setting."""
        settings = [name for name in self.found.full_settings if name in self.findings.study.settings]
        parts = [part for setting in settings for part in self._of_setting(setting)]
        return Section(self.findings.study.title, parts, ident=f"of:{self.findings.pipeline}")

    def _of_setting(self, setting: str) -> Iterator[Part]:
        """The winners over all loads, the figures, the sweeps and the tables."""
        given = of_systems(self.findings, setting, self.found.late_at_most)
        if given is not None:
            taken, reasons = answers.recommended(given.recommend())
            wins = Section("Which system wins", [*reasons, answers.headline(given)])
            place = f"{self.found.findings.index(self.findings)}x{self.found.settings.index(setting)}"
            yield _only(setting, [*taken, wins, *answers.against(given, place)])
        found, findings, styles = self
        yield _only(setting, [study_bars.means(found, findings, styles, setting)])
        for workload in findings.study.workloads:
            timeline = study_overview.timeline(findings, styles, setting, workload)
            yield Section("", [timeline], shown_for={"setting": setting, "workload": workload})
        swept = study_latencies.trade_off(found, findings, styles, setting)
        latencies = study_latencies.latencies(findings, styles, setting)
        named = study_bars.named_points(found, findings, setting)
        unswept = _unswept(found, setting, "So there is no figure of them here.")
        sweeps = (self._sweep(setting, *each) for each in of_sweeps(findings, setting, found.late_at_most))
        yield _only(setting, [*swept, *latencies, *named, *unswept, *sweeps, *self._tables(setting)])

    def _sweep(self, setting: str, name: str, given: Answers) -> Section:
        """A sweep, folded: its findings, best points and figures."""
        prefix = f"{self.findings.pipeline}-{name}-{setting}-"
        parts = [answers.headline(given), *answers.best_settings(given), *answers.plots(given, prefix)]
        return Section(f"Sweep: {self.findings.title(name)}", parts, is_folded=True)

    def _tables(self, setting: str) -> Iterator[Part]:
        found, findings, _ = self
        of = f"{findings.pipeline}, {found.setting_title(setting)}"
        cells = sheets.cells(found, setting, findings.pipeline)
        seen = sheets.seen_most(found, setting, findings.pipeline)
        lost = sheets.lost(found, setting, findings.pipeline)
        shown = [*([cells, seen] if cells.rows else []), lost]
        yield from (_table(sheet, of) for sheet in shown if sheet.rows)
        for sheet in sheets.named_points(found, setting, findings.pipeline):
            yield Section(f"{sheet.title}: all figures", [_table(sheet, of)], is_folded=True)
        yield Section("All figures", [_table(sheets.systems(findings, setting), of)], is_folded=True)
        sentences = sheets.sentences(findings, setting)
        if sentences:
            note = (
                "Differences seed by seed, where both met the same arrivals and draws, with 95 % intervals where there "
                f"are several seeds. {held_fixed(findings.traces) if len(findings.seeds) > 1 else ''}"
            ).rstrip()
            items = Items([f"{workload}: {text}" for workload, text in sentences])
            yield Section("Comparisons", [items], note, is_folded=True)


def _unswept(found: Found, setting: str, so: str) -> list[Paragraph]:
    """Why a setting has no results of sweeps; empty if it has, or if the study has no sweeps."""
    swept = found.swept_settings
    if not swept or setting in swept:
        return []
    titles = " and ".join(found.setting_title(name) for name in swept)
    return [Paragraph(f"The sweeps are run in {titles} alone. {so}", "muted")]


def _only(setting: str, parts: Sequence[Part]) -> Section:
    """Parts that are shown for one setting only."""
    return Section("", parts, shown_for={"setting": setting})


MANY = 9
"""A table with this many columns is set closer."""


def _table(sheet: Sheet, of: str = "") -> Section:
    """A sheet under its heading; `of` distinguishes sheets with the same title."""
    # A column with one pipeline in all rows would waste room, on a telephone half of it.
    left_out = int(sheet.columns[0] == "pipeline" and len({row[0] for row in sheet.rows}) == 1)
    names = sheet.names - left_out
    shown = [row[left_out:] for row in (sheet.columns, *sheet.rows)]
    columns = [Cell(column, css="name") if at < names else column for at, column in enumerate(shown[0])]
    rows = [[_name(text) if at < names else _figure(text) for at, text in enumerate(row)] for row in shown[1:]]
    name = f"{sheet.title}: {of}" if of else sheet.title
    table = Table(name, columns, rows, css="many" if len(columns) >= MANY else "")
    return Section(sheet.title, [table], sheet.reading)


def _name(text: str) -> Cell:
    return Cell(text, css="name long" if len(text) > 30 else "name")


def _figure(text: str) -> Cell:
    """A figure; a part in round brackets at its end is set small, on its own line."""
    main, bracket, rest = text.replace("violations ", "violations\u00a0").partition(" (")
    return Cell(main, f"({rest}" if bracket else "")


def card(found: Study) -> str:
    """The study in a notebook: every system's figures, and accuracy over cost."""
    title, lines = f"Study {found.plan.name}", found.lines()
    if not found.findings:
        return cards.card(title, lines)
    setting = found.settings[0]
    sheet = sheets.overall(found, setting)
    place = {name: place for place, name in enumerate(found.systems)}
    titles = {findings.title(name): colour(place[name]) for findings in found.findings for name in findings.systems}
    rows = [[pipeline, cards.named(titles[system], system), *figures] for pipeline, system, *figures in sheet.rows]
    planes = (_plane(findings, setting, place) for findings in found.findings)
    return cards.card(title, lines, cards.plain_table(sheet.columns, rows), f"<div>{''.join(planes)}</div>")


def _plane(findings: Findings, setting: str, place: Mapping[str, int]) -> str:
    """Accuracy over cost, a dot for each system on each workload."""
    dots = [
        cards.Dot(
            cell.mean("cost_mean_cores"),
            cell.mean("pas_mean"),
            f"{findings.title(cell.system)}, {cell.workload}",
            colour(place[cell.system]),
        )
        for cell in findings.cells
        if not cell.point and cell.setting == setting
    ]
    return cards.plane(findings.pipeline, "cores", "PAS", dots)
