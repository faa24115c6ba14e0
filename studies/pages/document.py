"""An HTML document of ours: everything in it, plotly.js included, so that it opens anywhere and offline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from ipa.studies.displayed import check_plotly
from ipa.studies.pages.colours import DARK, style_of_themes
from ipa.studies.pages.plots import CONFIG, Plot, in_script


def html_document(title: str, subtitle: str, body: str) -> str:
    """A whole document, with our style, our scripts and plotly.js; `title` is text, `subtitle` and `body` are HTML.

    Raises ScenarioError where plotly is not installed.
    """
    return _DOCUMENT.format(
        title=escape(title),
        style=style_of_themes() + _own("page.css"),
        plotly=_plotly_js(),
        subtitle=subtitle,
        body=body,
        drawing=in_script({"colours": DARK, "config": CONFIG}),
        linked=_own("linked.js"),
        figures=_own("figures.js"),
        tables=_own("tables.js"),
    )


def plot_section(plot: Plot) -> str:
    """A plot under its heading, with how to read it."""
    return f'<section>\n<h2>{plot.heading}</h2>\n<p class="muted">{plot.reading}</p>\n{plot.html()}</section>\n'


def facts(lines: Mapping[str, str]) -> str:
    """A list of names and what there is to say of each, in text; empty for none."""
    entries = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>\n" for name, text in lines.items())
    return f"<dl>\n{entries}</dl>\n" if entries else ""


def what_was_run(lines: Mapping[str, str]) -> str:
    """The last part of a page, closed at first: what was run, as `facts`."""
    return f"<details>\n<summary>What was run</summary>\n{facts(lines)}</details>\n"


def _own(name: str) -> str:
    return files("ipa.studies.pages").joinpath(name).read_text(encoding="utf-8")


def _plotly_js() -> str:
    check_plotly("a report")
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


_DOCUMENT = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
<script>{plotly}</script>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{subtitle}</p>
</header>
<main>
{body}</main>
<script type="application/json" id="drawing">{drawing}</script>
<script>
{linked}</script>
<script>
{figures}</script>
<script>
{tables}</script>
</body>
</html>
"""


# ---- the one way to an HTML table, which a page's script lets readers sort, filter where it is  ----


@dataclass(frozen=True)
class Cell:
    """A cell of more than plain text: `html` and `small` (beneath it) are safe in HTML; `css`: classes."""

    html: str
    small: str = ""
    css: str = ""
    is_heading: bool = False


def html_table(
    columns: Sequence[str | Cell], rows: Iterable[Sequence[str | Cell]], css: str = "", name: str = ""
) -> str:
    """A table of HTML under its columns' headings; plain text is escaped. It scrolls sideways where it is too wide.

    `name`, in text, says what it shows: to those who cannot see it, and as the name of the file that is downloaded.
    """
    head = "".join(_element("th", column, ' scope="col"') for column in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    # A box that scrolls has to be reached by the keyboard, and so needs a name.
    box = f' role="region" tabindex="0" aria-label="{escape(name)}"' if name else ""
    named = f' aria-label="{escape(name)}"' if name else ""
    return (
        f'<div class="table"><div class="wide"{box}><table{_class(css)}{named}>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div></div>\n"
    )


def _cell(cell: str | Cell) -> str:
    is_heading = isinstance(cell, Cell) and cell.is_heading
    return _element("th", cell, ' scope="row"') if is_heading else _element("td", cell)


def _element(tag: str, cell: str | Cell, attributes: str = "") -> str:
    if isinstance(cell, str):
        cell = Cell(escape(cell))
    small = f"<small>{cell.small}</small>" if cell.small else ""
    return f"<{tag}{attributes}{_class(cell.css)}>{cell.html}{small}</{tag}>"


def _class(css: str) -> str:
    return f' class="{css}"' if css else ""
