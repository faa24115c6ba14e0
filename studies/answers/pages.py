"""What a table of runs says as one HTML page, or as parts of another page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from ipa.studies.answers import sheets
from ipa.studies.drawing import html_document, plot_section, what_was_run
from ipa.studies.many.answers import Found


def render(found: Found, facts: Mapping[str, str] | None = None) -> str:
    """The page."""
    body = [_section("What was found", headline_html(found)), *map(plot_section, found.plots())]
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
            f'<p class="muted">{sheets.reading(settings, each)}</p>\n{sheets.best_settings(settings, each)}',
        )
        for each in found.winners
        if each.others and settings.differs(each.outcome)
    ]


def _section(heading: str, html: str) -> str:
    return f"<section>\n<h2>{heading}</h2>\n{html}</section>\n"
