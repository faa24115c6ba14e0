"""The report of a validation: one page that needs nothing else, the verdicts and the curves of both worlds."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from ipa.studies.formatting import number
from ipa.studies.pages import cards
from ipa.studies.pages.colours import BAD, DOUBTFUL, GOOD, in_css
from ipa.studies.pages.document import Cell, html_document, html_table, plot_section, what_was_run
from ipa.studies.pages.validation_curves import LIVE, SIMULATED, plots
from ipa.studies.runs.results import write_text
from ipa.studies.series import latency_quantiles_s
from ipa.studies.validation import KINDS, Row, Validation, busiest, wording

_READING = (
    "Live: the repeats pooled. Spread: the standard deviation over the repeats. Error: simulated against live; beside "
    "it that of a simulation with the decisions made live, which tells queues from decisions. Allowed: the stated "
    "error, or twice the spread where that is larger."
)

_COLOURS = {"ok": in_css(GOOD), "in spread": in_css(DOUBTFUL), "OFF": in_css(BAD)}


def write(validation: Validation, path: Path) -> None:
    """Write the page; raises ScenarioError where plotly is not installed or the path cannot be used."""
    write_text(render(validation), path)


def render(validation: Validation) -> str:
    """The page as HTML. The same runs give the same page, byte for byte."""
    summary = validation.simulated.summary
    return html_document(
        f"Live against simulated: {summary['pipeline']} on {summary['trace']}",
        escape(wording.title(validation)),
        f'<section class="long">\n{_headline(validation)}</section>\n'
        f"{''.join(map(plot_section, plots(validation)))}"
        f"{what_was_run(_facts(validation))}",
    )


def _headline(validation: Validation) -> str:
    good, said = validation.passed, wording.verdict(validation)
    verdict = f'<b style="color:{_COLOURS["ok" if good else "OFF"]}">{escape(said[:1].upper() + said[1:])}</b>'
    flags = "".join(f"<li>{escape(flag)}</li>\n" for flag in validation.flags)
    doubts = f'<p class="muted">What makes it doubtful:</p>\n<ul>\n{flags}</ul>\n' if flags else ""
    found = "".join(
        f"<li>{escape(name)}: <b>{escape(value)}</b></li>\n"
        for name, value in (*wording.decisions(validation), *wording.beyond(validation))
    )
    return (
        f"<h2>Verdict</h2>\n<p>{verdict}.</p>\n{doubts}"
        f'<p class="muted">Of {escape(wording.judged(validation))}. {_READING}</p>\n'
        f"{_judged(validation.rows)}"
        f'<p class="muted">The same by utilisation of the busiest stage:</p>\n{_bands(validation)}'
        f"{_interference(validation)}<ul>\n{found}</ul>\n"
        f'<p class="muted">{escape(wording.ROLLOUTS)}:</p>\n{_rollouts(validation)}'
        "<details><summary>Stage by stage</summary>\n"
        f"{_by_stage(validation.rows)}</details>\n"
    )


def _interference(validation: Validation) -> str:
    """What the pipeline's measured interference changes, if it has been measured."""
    rows = wording.interference(validation)
    if not rows:
        return ""
    said = f'<p class="muted">{escape(wording.INTERFERENCE)}:</p>\n'
    return said + html_table(["figure", *wording.INTERFERENCE_HEADINGS], map(list, rows), name=wording.INTERFERENCE)


def _judged(rows: Sequence[Row]) -> str:
    """The figures of the whole pipeline with their verdicts."""
    shown = [[_name(row), *_cells(row)] for row in rows if row.metric.stage is None]
    return html_table(["figure", *wording.HEADINGS[:-1], "verdict"], shown, name="Live against simulated")


def _by_stage(rows: Sequence[Row]) -> str:
    """The figures of each stage, which are not judged."""
    shown = [[row.metric.stage or "", _name(row), *_cells(row)[:-1]] for row in rows if row.metric.stage is not None]
    return html_table(["stage", "figure", *wording.HEADINGS[:-1]], shown, name="Live against simulated, by stage")


def _name(row: Row) -> str:
    return f"{row.metric.title} ({row.metric.unit})" if row.metric.unit else row.metric.title


def _cells(row: Row) -> list[str | Cell]:
    *figures, verdict = wording.cells(row)
    return [*figures, _mark(verdict)]


def _mark(verdict: str) -> Cell:
    colour = _COLOURS.get(verdict)
    return Cell(f'<b style="color:{colour}">{verdict}</b>' if colour else "")


def _bands(validation: Validation) -> str:
    shown = [row.metric for row in validation.rows if row.metric.key in wording.BAND_METRICS]
    rows = [
        [
            name,
            str(windows.chosen.sum()),
            *(row.shown(row.error) for row in rows if row.metric.key in wording.BAND_METRICS),
        ]
        for name, (windows, rows) in validation.bands.items()
    ]
    return html_table(
        ["utilisation", "windows", *(metric.title for metric in shown)],
        rows,
        name="Errors by utilisation of the busiest stage",
    )


def _rollouts(validation: Validation) -> str:
    rows = [[f"{took.stage}: {KINDS[took.kind]}", *wording.rollout_cells(took)] for took in validation.rollouts]
    return html_table(["stage: what", *wording.ROLLOUT_HEADINGS], rows, name="Seconds that rollouts took")


def _facts(validation: Validation) -> dict[str, str]:
    overheads = validation.calibration.overheads
    measured = {
        f"Measured: {key}": f"{number(1e3 * found.value_s, 2)} ms (median {number(1e3 * found.median_s, 2)}, p99 "
        f"{number(1e3 * found.p99_s, 2)}, {found.count} seen)"
        for key in (*overheads.KEYS, "arrival_s")
        if (found := getattr(overheads, key)).count
    }
    live = {
        f"Live run {number}": f"{repeat.run.stored.summary['requests']} requests; {repeat.conditions.words()}"
        for number, repeat in enumerate(validation.repeats, start=1)
    }
    return {
        "Compared": f"seconds {wording.seconds(validation.scenario.window)} of {validation.simulated.summary['trace']}",
        "Measured on": f"seconds {wording.seconds(validation.experiment.calibration.window)}",
        **measured,
        **live,
    }


def card(validation: Validation) -> str:
    """The validation in a notebook."""
    rows = (
        [escape(text) for text in (f"{row.metric.title} {row.metric.unit}".strip(), *wording.cells(row))]
        for row in validation.rows
        if row.metric.stage is None
    )
    return cards.card(
        "Live against simulated",
        validation.lines(),
        cards.plain_table(["", *wording.HEADINGS], rows),
        f"<div>{_latencies(validation)}{_utilisation(validation)}</div>",
    )


def _latencies(validation: Validation) -> str:
    import pandas as pd

    end_s = validation.prepared.trace.duration_s
    curves = []
    for runs, colour in ((validation.worlds.live, LIVE), ([validation.worlds.simulated], SIMULATED)):
        requests = {"requests": pd.concat([run["requests"] for run in runs])}
        middle_s, (p99_s,) = latency_quantiles_s(requests, end_s, (0.99,))
        curves.append(cards.Curve(middle_s, p99_s, colour))
    return cards.sketch("latency p99, live (blue) and simulated", "s", curves, end_s)


def _utilisation(validation: Validation) -> str:
    curves = [
        cards.Curve(validation.windows.edges_s, np.nan_to_num(100.0 * busiest(runs, validation.windows)), colour)
        for runs, colour in ((validation.worlds.live, LIVE), ([validation.worlds.simulated], SIMULATED))
    ]
    return cards.sketch("busiest stage", "%", curves, validation.prepared.trace.duration_s)
