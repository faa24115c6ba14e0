"""The report of a study as one HTML page: everything in it, so that it opens anywhere and offline.

Two choices hold for the whole page, the setting and the workload; a part that is for one of them only says so in
`data-setting` or `data-workload`. A figure is drawn when it comes into view, so that the page opens at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from ipa.studies.many.answers import Answers
from ipa.studies.many.study import DEFECT, Findings, Found, Sheet, Study, of_sweeps, of_systems, ran_on, sheets
from ipa.studies.pages import answers, cards, study_bars, study_latencies, study_overview
from ipa.studies.pages.colours import colour
from ipa.studies.pages.document import Cell, html_document, html_table
from ipa.studies.pages.plots import Plot
from ipa.studies.pages.study_bars import Figure, Looks, looks
from ipa.studies.runs.results import write_text


def render(found: Found) -> str:
    """The page. Raises ScenarioError where plotly is not installed."""
    styles = _looks(found)
    settings = found.full_settings
    sections = [_overview(found, styles, settings)]
    sections += [_pipeline(found, findings, styles, settings) for findings in found.findings]
    own = files("ipa.studies.pages")
    style, script = (own.joinpath(f"study.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return html_document(
        f"Study: {found.plan.name}",
        escape(ran_on(found)),
        f"<style>\n{style}</style>\n<nav>{_navigation(found, settings)}</nav>\n{''.join(sections)}"
        f"<script>\n{script}</script>\n",
    )


def _title(found: Found, system: str) -> str:
    return next(findings.title(system) for findings in found.findings if system in findings.systems)


def _navigation(found: Found, settings: Sequence[str]) -> str:
    links = "".join(f'<a href="#of:{escape(each.pipeline)}">{escape(each.pipeline)}</a>' for each in found.findings)
    workloads = list(dict.fromkeys(name for each in found.findings for name in each.study.workloads))
    return (
        f'<a href="#overview">Overview</a>{links}'
        + _choice("setting", [(name, found.setting_title(name)) for name in settings])
        + _choice("workload", [(name, name) for name in workloads])
    )


def _choice(key: str, options: Sequence[tuple[str, str]]) -> str:
    if len(options) < 2:
        return ""
    items = "".join(f'<option value="{escape(name)}">{escape(title)}</option>' for name, title in options)
    return f'<label>{key} <select data-choice="{key}">{items}</select></label>'


def _overview(found: Found, styles: Looks, settings: Sequence[str]) -> str:
    parts = ['<section id="overview">\n<h2>Overview</h2>\n']
    if found.failures:
        parts.append(_table(sheets.failures(found)))
    if found.compared:
        parts.append(_table(sheets.score(found)))
        if DEFECT in found.settings:
            parts.append(f"<p>{escape(sheets.queue_term(found, found.settings[0], DEFECT))}</p>\n")
    for setting in settings:
        title = found.setting_title(setting)
        parts.append(_only(_unswept(found, setting, "So there is no headline here."), setting))
        for measure in ("measured", "planned"):
            sheet = sheets.headline(found, setting, measure)
            if sheet.rows:
                parts.append(_only(_table(sheet, title), setting))
        parts.append(_only(_table(sheets.overall(found, setting), title), setting))
        bounds = sheets.bounds(found, setting)
        if bounds.rows:
            parts.append(_only(_table(bounds, title), setting))
    loads, decision_times = _overview_figures(found, styles)
    parts += [
        loads.html(),
        *(_table(sheet) for sheet in (sheets.loads(found),) if sheet.rows),
        _table(sheets.forecasts(found)),
        decision_times.html(),
    ]
    if found.plan.published and found.plan.published.decision_times:
        parts.append(_table(sheets.decision_times(found)))
    return "".join([*parts, "</section>\n"])


def _pipeline(found: Found, findings: Findings, styles: Looks, settings: Sequence[str]) -> str:
    name = escape(findings.pipeline)
    title = escape(findings.study.title)
    parts = [f'<section id="of:{name}">\n<h2>{title}</h2>\n']
    for setting in settings:
        if setting in findings.study.settings:
            parts.append(_only(_winners(findings, setting), setting))
            parts += [figure.html() for figure in _figures(found, findings, styles, setting)]
            parts.append(_only(_unswept(found, setting, "So there is no figure of them here."), setting))
            parts += [_only(_sweep(findings, setting, *each), setting) for each in of_sweeps(findings, setting)]
            parts.append(_only("".join(_tables(found, findings, setting)), setting))
    return "".join([*parts, "</section>\n"])


def _winners(findings: Findings, setting: str) -> str:
    """Which system wins what, over all loads; nothing of one system."""
    given = of_systems(findings, setting)
    return "" if given is None else f"<h3>Which system wins</h3>\n{answers.headline_html(given)}"


def _sweep(findings: Findings, setting: str, name: str, given: Answers) -> str:
    """A sweep, folded: what was found, its best points, its figures."""
    tables = "".join(f"<h4>Best points: {escape(title)}</h4>\n{text}" for title, text in answers.tables_html(given))
    drawn = "".join(figure.html() for figure in _sweep_figures(findings, setting, name, given))
    title = escape(f"Sweep: {findings.title(name)}")
    return f"<details><summary>{title}</summary>\n{answers.headline_html(given)}{tables}{drawn}</details>\n"


def _sweep_figures(findings: Findings, setting: str, name: str, given: Answers) -> Iterator[Figure]:
    for plot in answers.plots(given, f"{findings.pipeline}-{name}-{setting}-"):
        yield Figure(**vars(plot), setting=setting)


def figures(found: Found) -> Iterator[Figure]:
    """All figures, those of the overview first."""
    styles = _looks(found)
    yield from _overview_figures(found, styles)
    for findings in found.findings:
        for setting in found.full_settings:
            if setting in findings.study.settings:
                yield from _figures(found, findings, styles, setting)
                for each in of_sweeps(findings, setting):
                    yield from _sweep_figures(findings, setting, *each)


def _looks(found: Found) -> Looks:
    return looks([(name, _title(found, name)) for name in found.systems])


def _overview_figures(found: Found, styles: Looks) -> tuple[Figure, Figure]:
    return study_overview.loads(found, styles), study_overview.decision_times(found)


def _figures(found: Found, findings: Findings, styles: Looks, setting: str) -> Iterator[Figure]:
    yield study_bars.means(found, findings, styles, setting)
    for workload in findings.study.workloads:
        yield study_overview.timeline(findings, styles, setting, workload)
    swept = study_latencies.trade_off(found, findings, styles, setting)
    if swept is not None:
        yield swept
    yield from study_latencies.latencies(findings, styles, setting)
    yield from study_bars.named_points(found, findings, setting)


def _tables(found: Found, findings: Findings, setting: str) -> Iterator[str]:
    of = f"{findings.pipeline}, {found.setting_title(setting)}"
    cells = sheets.cells(found, setting, findings.pipeline)
    if cells.rows:
        yield _table(cells, of)
        seen = sheets.seen_most(found, setting, findings.pipeline)
        if seen.rows:
            yield _table(seen, of)
    lost = sheets.lost(found, setting, findings.pipeline)
    if lost.rows:
        yield _table(lost, of)
    for sheet in sheets.named_points(found, setting, findings.pipeline):
        yield f"<details><summary>{escape(sheet.title)}: all figures</summary>\n{_table(sheet, of)}</details>\n"
    yield f"<details><summary>All figures</summary>\n{_table(sheets.systems(findings, setting), of)}</details>\n"
    sentences = sheets.sentences(findings, setting)
    if sentences:
        items = "".join(f"<li>{escape(workload)}: {escape(text)}</li>\n" for workload, text in sentences)
        yield (
            '<details><summary>Comparisons</summary>\n<p class="muted">Differences seed by seed, where both met the '
            "same arrivals and draws, with 95 % intervals where there are several seeds.</p>\n"
            f"<ul>\n{items}</ul></details>\n"
        )


def _unswept(found: Found, setting: str, so: str) -> str:
    """Why a setting has nothing made from sweeps; empty where it does, or where the study has no sweeps."""
    swept = found.swept_settings
    if not swept or setting in swept:
        return ""
    titles = " and ".join(found.setting_title(name) for name in swept)
    return f'<p class="muted">{escape(f"The sweeps are run in {titles} alone. {so}")}</p>\n'


def _only(html: str, setting: str) -> str:
    return f'<div data-setting="{escape(setting)}">\n{html}</div>\n'


MANY = 9
"""A table with this many columns is set closer."""


def _table(sheet: Sheet, of: str = "") -> str:
    """A sheet under its heading; `of`: what tells it from other sheets of the same title."""
    name = f"{sheet.title}: {of}" if of else sheet.title
    columns = [
        Cell(escape(column), css="name") if place < sheet.names else column
        for place, column in enumerate(sheet.columns)
    ]
    rows = (
        [_name(text) if place < sheet.names else _figure(text) for place, text in enumerate(row)] for row in sheet.rows
    )
    drawn = html_table(columns, rows, css="many" if len(columns) >= MANY else "", name=name)
    return f'<h3>{escape(sheet.title)}</h3>\n<p class="muted">{escape(sheet.reading)}</p>\n{drawn}'


def _name(text: str) -> Cell:
    return Cell(escape(text), css="name long" if len(text) > 30 else "name")


def _figure(text: str) -> Cell:
    """A figure; round brackets at its end are set small, on a line of their own."""
    main, bracket, rest = text.replace("violations ", "violations\u00a0").partition(" (")
    return Cell(escape(main), small=f"({escape(rest)}" if bracket else "")


def plots(found: Found) -> list[Plot]:
    """The figures of the page, for images and for notebooks."""
    return list(figures(found))


def write(found: Found, path: Path) -> None:
    """Write the page, whole or not at all. Raises ScenarioError as that of a comparison."""
    write_text(render(found), path)


def card(found: Study) -> str:
    """The study in a notebook: every system's figures, and accuracy over cost."""
    title, lines = f"Study {found.plan.name}", found.lines()
    if not found.findings:
        return cards.card(title, lines)
    setting = found.settings[0]
    sheet = sheets.overall(found, setting)
    place = {name: place for place, name in enumerate(found.systems)}
    titles = {findings.title(name): colour(place[name]) for findings in found.findings for name in findings.systems}
    rows = (
        (escape(pipeline), cards.swatch(titles[system]) + escape(system), *map(escape, figures))
        for pipeline, system, *figures in sheet.rows
    )
    planes = (_plane(findings, setting, place) for findings in found.findings)
    return cards.card(title, lines, cards.plain_table(sheet.columns, rows), f"<div>{''.join(planes)}</div>")


def _plane(findings: Findings, setting: str, place: dict[str, int]) -> str:
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
