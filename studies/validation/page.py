"""The report of a validation: one page that needs nothing else, the verdicts and the curves of both worlds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from ipa.studies.report.page import document, save
from ipa.studies.validation import wording
from ipa.studies.validation.comparison import Row
from ipa.studies.validation.curves import plots
from ipa.studies.validation.outcome import Validation
from ipa.studies.validation.rollouts import KINDS
from ipa.studies.validation.wording import HEADINGS, cells, seconds

_READING = (
    "Live: the repeats pooled. Spread: the standard deviation over the repeats. Error: simulated against live; beside "
    "it that of a simulation with the decisions made live, which tells queues from decisions. Allowed: the stated "
    "error, or twice the spread where that is larger."
)

_COLOURS = {"ok": "#12855c", "in spread": "#c98a00", "OFF": "#b3261e"}


def write(validation: Validation, path: Path) -> None:
    """Write the page; raises ScenarioError where plotly is not installed or the path cannot be used."""
    save(render(validation), path)


def render(validation: Validation) -> str:
    """The page as HTML. The same runs give the same page, byte for byte."""
    summary = validation.simulated.summary
    sections = "".join(
        f'<section>\n<h2>{plot.heading}</h2>\n<p class="muted">{plot.reading}</p>\n{plot.html()}</section>\n'
        for plot in plots(validation)
    )
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n" for name, value in _facts(validation).items())
    return document(
        f"Live against simulated: {summary['pipeline']} on {summary['trace']}",
        escape(wording.title(validation)),
        f"<section>\n{_headline(validation)}</section>\n{sections}"
        f"<details>\n<summary>What was run</summary>\n<dl>\n{facts}</dl>\n</details>\n",
    )


def _headline(validation: Validation) -> str:
    good = validation.passed
    verdict = f'<b style="color:{_COLOURS["ok" if good else "OFF"]}">{escape(wording.verdict(validation))}</b>'
    flags = "".join(f"<li>{escape(flag)}</li>\n" for flag in validation.flags)
    doubts = f'<p class="muted">What makes it doubtful:</p>\n<ul>\n{flags}</ul><br>\n' if flags else ""
    found = "".join(
        f"<li>{escape(name)}: <b>{escape(value)}</b></li>\n" for name, value in wording.decisions(validation)
    )
    return (
        f"<p>Verdict: {verdict}.</p>\n{doubts}"
        f'<p class="muted">Of {escape(wording.judged(validation))}. {_READING}</p>\n'
        f"{_table(['', *HEADINGS[:-1], 'verdict'], _rows(validation.rows, of_stages=False))}"
        f'<p class="muted">The same by utilisation of the busiest stage:</p>\n{_bands(validation)}'
        f"<ul>\n{found}</ul><br>\n"
        f'<p class="muted">{escape(wording.ROLLOUTS)}:</p>\n{_rollouts(validation)}'
        "<details><summary>Stage by stage</summary>\n"
        f"{_table(['', *HEADINGS[:-1], ''], _rows(validation.rows, of_stages=True))}</details>\n"
    )


def _rows(rows: Sequence[Row], *, of_stages: bool) -> Iterator[Sequence[str]]:
    stage = None
    for row in (row for row in rows if (row.metric.stage is not None) == of_stages):
        if row.metric.stage != stage:
            stage = row.metric.stage
            yield [f"<b>{escape(stage or '')}</b>", *[""] * len(HEADINGS)]
        unit = f" ({row.metric.unit})" if row.metric.unit else ""
        *figures, mark = map(escape, cells(row))
        colour = _COLOURS.get(mark)
        yield [
            escape(f"{row.metric.title}{unit}"),
            *figures,
            f'<b style="color:{colour}">{mark}</b>' if colour else "",
        ]


def _bands(validation: Validation) -> str:
    shown = [row.metric for row in validation.rows if row.metric.key in wording.BAND_METRICS]
    rows = [
        [
            escape(name),
            str(windows.chosen.sum()),
            *(escape(row.shown(row.error)) for row in rows if row.metric.key in wording.BAND_METRICS),
        ]
        for name, (windows, rows) in validation.bands.items()
    ]
    return _table(["utilisation", "windows", *(f"{metric.title}" for metric in shown)], rows)


def _rollouts(validation: Validation) -> str:
    rows = [[escape(f"{took.stage}: {KINDS[took.kind]}"), *wording.rollout_cells(took)] for took in validation.rollouts]
    return _table(["", *wording.ROLLOUT_HEADINGS], rows)


def _table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    """A table of cells in HTML."""
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f'<div class="wide"><table>\n<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n'


def _facts(validation: Validation) -> dict[str, str]:
    overheads = validation.calibration.overheads
    measured = {
        f"Measured: {key}": f"{1e3 * found.value_s:.2f} ms (median {1e3 * found.median_s:.2f}, p99 "
        f"{1e3 * found.p99_s:.2f}, {found.count} seen)"
        for key in (*overheads.KEYS, "arrival_s")
        if (found := getattr(overheads, key)).count
    }
    live = {
        f"Live run {number}": f"{repeat.run.stored.summary['requests']} requests; {repeat.conditions.words()}"
        for number, repeat in enumerate(validation.repeats, start=1)
    }
    return {
        "Compared": f"seconds {seconds(validation.scenario.window)} of {validation.simulated.summary['trace']}",
        "Measured on": f"seconds {seconds(validation.plan.calibration.window)}",
        **measured,
        **live,
    }
