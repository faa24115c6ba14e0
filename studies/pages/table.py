"""The one way to an HTML table, which a page's script lets readers sort, filter where it is long, and download."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


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
