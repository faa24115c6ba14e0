"""The best settings for each outcome as tables of HTML."""

from __future__ import annotations

from html import escape
from math import floor, log10

import numpy as np

from ipa.studies.formatting import NONE, number, plus
from ipa.studies.intervals import LIMITS
from ipa.studies.many.answers import Differences, Outcome, Settings, shown_mean
from ipa.studies.pages.table import Cell, html_table

MOST_ROWS = 12


def best_settings(settings: Settings, found: Differences) -> str:
    """The best settings for an outcome: what they have, how far they are behind the first, and what is shown."""
    outcome = found.outcome
    means = outcome.sign * settings.means[outcome.column]
    order = [found.against, *(at for at in np.argsort(means, kind="stable").tolist() if at != found.against)]
    known = [at for at in order if np.isfinite(means[at])][:MOST_ROWS]
    others = [each for each in settings.outcomes if each is not outcome]
    level = f"{_level(found)} %"
    columns: list[str | Cell] = [
        *(Cell(escape(key.title)) for key in settings.keys),
        Cell(escape(outcome.axis), small="95 %"),
        Cell("difference", small=f"each at {level}"),
        "worse",
        *(Cell(escape(each.axis), small="95 %") for each in others),
    ]
    rows = [_row(settings, found, at, others) for at in known]
    return html_table(columns, rows, css="best", name=f"Best settings: {outcome.title}")


def reading(settings: Settings, found: Differences) -> str:
    """How to read the table, in HTML."""
    there = int(np.isfinite(settings.means[found.outcome.column]).sum())
    first = f"The first {MOST_ROWS} of {there:,} settings. " if there > MOST_ROWS else ""
    if len(settings.seeds) < 2:
        return f"{first}With one seed there are no intervals, and so nothing is shown."
    return (
        f"{first}Differences from the best setting, seed by seed. There are {found.others:,}, each with an interval of "
        f"{_level(found)} %, so that together they hold in 95 % of all cases (Bonferroni). A setting "
        f"is shown to be worse than the best if its interval is. {LIMITS}"
    )


def _level(found: Differences) -> str:
    """The confidence of an interval in percent, with as many decimals as tell it from 100."""
    level = 100.0 * found.confidence
    decimals = max(1, 1 - floor(log10(100.0 - level)))
    return f"{level:.{decimals}f}".rstrip("0").rstrip(".")


def _row(settings: Settings, found: Differences, at: int, others: list[Outcome]) -> list[str | Cell]:
    decimals = found.outcome.decimals
    keys = [escape(key.text(code)) for key, code in zip(settings.keys, settings.codes[at].tolist(), strict=True)]
    interval = ""
    difference, shown = "best", NONE
    if at != found.against:
        difference = plus(float(found.mean[at]), decimals)
        interval = _between(found.low[at], found.high[at], decimals)
        shown = "yes" if found.is_worse[at] else "no"
    return [
        *keys,
        _figure(settings, found.outcome, at),
        Cell(difference, small=interval),
        shown,
        *(_figure(settings, each, at) for each in others),
    ]


def _figure(settings: Settings, outcome: Outcome, at: int) -> Cell:
    """A figure with its interval beneath; its unit stands in the heading."""
    main, _, interval = shown_mean(settings, outcome, at).removesuffix(outcome.unit).strip().partition(" ")
    return Cell(main, small=interval)


def _between(low: float, high: float, decimals: int) -> str:
    return f"[{number(float(low), decimals)}, {number(float(high), decimals)}]" if np.isfinite(low) else ""
