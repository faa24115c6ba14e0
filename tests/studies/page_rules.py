"""What holds of every page: it can be heard as well as seen, and has one minus sign."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

HIDDEN = ("script", "style")

ASCII_MINUS = re.compile(r"(?<![\w.,:)^-])-\d")
"""Before a number; not within a name, nor in a formula: `x^-0.6` is written as one types it."""


class Outline(HTMLParser):
    """What a page says, and what it calls its parts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.plots: list[dict[str, str | None]] = []
        self.tables: list[str | None] = []
        self.language: str | None = None
        self.text: list[str] = []
        self._inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.language = given.get("lang")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if given.get("class") == "plot":
            self.plots.append(given)
        if tag == "table":
            self.tables.append(given.get("aria-label"))
        if tag in HIDDEN:
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in HIDDEN:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text.append(data)


def check_page(page: str) -> None:
    """Fail for a page that breaks a rule."""
    outline = Outline(page)
    assert outline.language == "en"
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    steps = zip(outline.headings, outline.headings[1:], strict=False)
    assert all(after <= before + 1 for before, after in steps), f"a level is left out: {outline.headings}"
    ids = re.findall(r'<\w+ [^>]*?\bid="([^"]*)"', page.split("</head>", 1)[1])
    assert len(ids) == len(set(ids)), f"given twice: {sorted({each for each in ids if ids.count(each) > 1})}"
    for plot in outline.plots:
        assert plot["role"] == "img"
        assert re.search(r"Shown: .+\.$", str(plot["aria-label"])), plot
    assert all(outline.tables), f"a table has no name: {outline.tables}"
    for text in outline.text:
        assert not ASCII_MINUS.search(text), f"an ASCII minus: {text!r}"
    for spec in re.findall(r'-spec">(.*?)</script>', page):
        for text in _texts(json.loads(spec)):
            assert not ASCII_MINUS.search(text), f"an ASCII minus in a plot: {text!r}"


def _texts(spec: object) -> list[str]:
    """What a plot shows as text: names, titles, notes, hovers; not its colours, dashes or ids."""
    if isinstance(spec, dict):
        shown = ("text", "name", "ticktext", "hovertemplate", "customdata", "title", "data", "layout", "annotations")
        chosen = (value for key, value in spec.items() if key.rstrip("0123456789") in (*shown, "xaxis", "yaxis"))
        return [text for value in chosen for text in _texts(value)]
    if isinstance(spec, list):
        return [text for value in spec for text in _texts(value)]
    return [spec] if isinstance(spec, str) else []
