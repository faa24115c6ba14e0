"""What a table of runs says as one HTML page, or as parts of another page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape
from math import floor, log10
from pathlib import Path

import numpy as np

from ipa.studies.formatting import NONE, number, plus
from ipa.studies.intervals import LIMITS
from ipa.studies.many.answers import Differences, Found, Outcome, Ranking, Settings, shown_mean
from ipa.studies.pages import answers_figures, answers_front, cards
from ipa.studies.pages.document import Cell, html_document, html_table, plot_section, what_was_run
from ipa.studies.pages.plots import Plot
from ipa.studies.runs.results import write_text


def render(found: Found, facts: Mapping[str, str] | None = None) -> str:
    """The page."""
    body = [_section("What was found", headline_html(found)), *map(plot_section, plots(found))]
    body[1:1] = [_section(f"Best settings: {escape(title)}", text) for title, text in tables_html(found)]
    return html_document(found.title, escape(found.ran), "".join(body) + (what_was_run(facts) if facts else ""))


def headline_html(found: Found) -> str:
    """What was found in words, as a list of HTML."""
    items = "".join(f"<li>{escape(sentence)}</li>\n" for sentence in found.headline)
    return f"<ul>\n{items}</ul>\n" if items else "<p>Too little was run to say anything.</p>\n"


def tables_html(found: Found) -> list[tuple[str, str]]:
    """The best settings by outcome: its title, and HTML; without outcomes that are the same with every setting."""
    settings = found.settings
    return [
        (
            each.outcome.title,
            (f'<p class="muted">{reading(settings, each)}</p>\n{best_settings(settings, each)}'),
        )
        for each in found.winners
        if each.others and settings.differs(each.outcome)
    ]


def _section(heading: str, html: str) -> str:
    return f"<section>\n<h2>{heading}</h2>\n{html}</section>\n"


def write(found: Found, path: Path) -> None:
    """Write the page, whole or not at all. Raises ScenarioError for an unusable path, and without plotly."""
    write_text(render(found), path)


def card(found: Found) -> str:
    """The answers in a notebook."""
    return cards.card(found.title, [found.ran, *found.headline])


def plots(found: Found, prefix: str = "") -> list[Plot]:
    """The pictures that the table can carry; `prefix`: what their names begin with."""
    return [replace(plot, name=f"{prefix}{plot.name}") for plot in _plots(found)]


def _plots(found: Found) -> Iterator[Plot]:
    """What one key carries: its effects; two: a map and a ranking; the front and all at once of several settings."""
    chosen, whole = found.settings, found.all_settings
    if found.rankings:
        yield answers_figures.ranking(found.rankings)
    for each in found.fronts:
        yield answers_front.front(chosen, each, f"front-{len(each.outcomes)}")
    ordered = {ranking.outcome.column: ranking for ranking in found.rankings}
    differ = _differing(whole)
    for outcome in differ:
        order = [place for place in _order(whole, ordered.get(outcome.column)) if whole.keys[place].fits]
        if len(order) > 1:
            yield answers_figures.heat_map(whole, outcome, order[0], order[1])
    for outcome in differ:
        shown = [place for place in _order(whole, ordered.get(outcome.column)) if whole.keys[place].fits]
        if shown:
            yield answers_figures.effects(whole, outcome, shown)
    several = replace(chosen, outcomes=_differing(chosen))
    if several.outcomes and len(chosen.keys) + len(several.outcomes) > 2 and len(chosen) > 2:
        order = _order(chosen, found.rankings[0] if found.rankings else None)
        kept = found.fronts[0].places if found.fronts else chosen.codes[:0, 0]
        yield answers_front.parallel(several, order, kept)


def _differing(settings: Settings) -> tuple[Outcome, ...]:
    """The outcomes that have a picture: one that is the same with every setting is said in words."""
    return tuple(outcome for outcome in settings.outcomes if settings.differs(outcome))


def _order(settings: Settings, ranking: Ranking | None) -> list[int]:
    """The places of the keys, the most important first; loads last."""
    names = [key.name for key in settings.keys]
    first = [names.index(each.key.name) for each in ranking.keys] if ranking else []
    return [*first, *(place for place in range(len(names)) if place not in first)]


# ---- the best settings for each outcome as tables of HTML ----


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
