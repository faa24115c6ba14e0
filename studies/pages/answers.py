"""What a table of runs says as one HTML page, or as parts of another page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path

from ipa.studies.many.answers import Found, Outcome, Ranking, Settings
from ipa.studies.pages import (
    answers_effects,
    answers_front,
    answers_heat_map,
    answers_parallel,
    answers_ranking,
    answers_tables,
    cards,
)
from ipa.studies.pages.document import html_document, plot_section, what_was_run
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
            (
                f'<p class="muted">{answers_tables.reading(settings, each)}</p>\n'
                f"{answers_tables.best_settings(settings, each)}"
            ),
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
        yield answers_ranking.ranking(found.rankings)
    for each in found.fronts:
        yield answers_front.front(chosen, each, f"front-{len(each.outcomes)}")
    ordered = {ranking.outcome.column: ranking for ranking in found.rankings}
    differ = _differing(whole)
    for outcome in differ:
        order = [place for place in _order(whole, ordered.get(outcome.column)) if whole.keys[place].fits]
        if len(order) > 1:
            yield answers_heat_map.heat_map(whole, outcome, order[0], order[1])
    for outcome in differ:
        shown = [place for place in _order(whole, ordered.get(outcome.column)) if whole.keys[place].fits]
        if shown:
            yield answers_effects.effects(whole, outcome, shown)
    several = replace(chosen, outcomes=_differing(chosen))
    if several.outcomes and len(chosen.keys) + len(several.outcomes) > 2 and len(chosen) > 2:
        order = _order(chosen, found.rankings[0] if found.rankings else None)
        kept = found.fronts[0].places if found.fronts else chosen.codes[:0, 0]
        yield answers_parallel.parallel(several, order, kept)


def _differing(settings: Settings) -> tuple[Outcome, ...]:
    """The outcomes that have a picture: one that is the same with every setting is said in words."""
    return tuple(outcome for outcome in settings.outcomes if settings.differs(outcome))


def _order(settings: Settings, ranking: Ranking | None) -> list[int]:
    """The places of the keys, the most important first; loads last."""
    names = [key.name for key in settings.keys]
    first = [names.index(each.key.name) for each in ranking.keys] if ranking else []
    return [*first, *(place for place in range(len(names)) if place not in first)]
