"""The one way to an HTML table."""

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


def html_table(columns: Sequence[str | Cell], rows: Iterable[Sequence[str | Cell]], css: str = "") -> str:
    """A table of HTML under its columns' headings; plain text is escaped. It scrolls sideways where it is too wide."""
    head = "".join(_element("th", column, ' scope="col"') for column in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    return (
        f'<div class="wide"><table{_class(css)}>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>\n"
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
