"""The tables as a chart of bars in SVG, written by hand: it opens anywhere and loads nothing."""

from __future__ import annotations

from html import escape
from math import ceil, floor, log10

from tests.programs.benchmarks.tables import Column, Table, Value

COLOURS = ("#9aa5b1", "#2f6fb0", "#d9822b", "#3c8d5a", "#8a5aa8")
WIDTH, LABELS, VALUES = 960, 250, 90
BAR, GAP, TITLE = 14, 10, 64


def svg(tables: list[Table], caption: str) -> str:
    """All tables that have numbers to draw, one below the other; the lengths of bars are logarithmic."""
    parts = [_text(10, 22, f"{caption}; logarithmic scales", size=12, fill="#555")]
    top = 40
    for table in tables:
        drawn, height = _bars(table, top)
        parts += drawn
        top += height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}" '
        'font-family="sans-serif">\n'
        f'<rect width="{WIDTH}" height="{top}" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _bars(table: Table, top: int) -> tuple[list[str], int]:
    columns = [table.column(key) for key in table.bars]
    values = [value for row in table.rows for column in columns if (value := _number(row, column)) is not None]
    if not values:
        return [], 0
    lowest, highest = floor(log10(min(values))) - 0.3, ceil(log10(max(values)))
    per_decade = (WIDTH - LABELS - VALUES) / (highest - lowest)
    parts = [_text(10, top + 16, table.title, size=15, weight="bold")]
    if len(columns) > 1:
        parts += _legend(columns, top + 36)
    bottom = top + TITLE
    for row in table.rows:
        label = ", ".join(_named(row, table.column(key)) for key in table.label)
        parts.append(_text(LABELS - 8, bottom + 11, label, size=11, anchor="end"))
        for column, colour in zip(columns, COLOURS, strict=False):
            value = _number(row, column)
            if value is None:
                continue
            length = (log10(value) - lowest) * per_decade
            parts.append(f'<rect x="{LABELS}" y="{bottom}" width="{length:.1f}" height="{BAR - 2}" fill="{colour}"/>')
            parts.append(_text(LABELS + length + 4, bottom + 11, column.text(row), size=11))
            bottom += BAR
        bottom += GAP
    parts[1:1] = _grid(lowest, highest, per_decade, top + TITLE - 6, bottom)
    return parts, bottom - top + 2 * GAP


def _grid(lowest: float, highest: int, per_decade: float, top: int, bottom: int) -> list[str]:
    parts = []
    for decade in range(ceil(lowest), highest + 1):
        x = LABELS + (decade - lowest) * per_decade
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(_text(x, top - 2, f"{10.0**decade:,.{max(0, -decade)}f}", size=9, fill="#888", anchor="middle"))
    return parts


def _legend(columns: list[Column], y: int) -> list[str]:
    parts, x = [], LABELS
    for column, colour in zip(columns, COLOURS, strict=False):
        parts.append(f'<rect x="{x}" y="{y - 10}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(x + 14, y, column.heading, size=11))
        x += 40 + 7 * len(column.heading)
    return parts


def _named(row: dict[str, Value], column: Column) -> str:
    """The row's value: a number needs its heading beside it, a text speaks for itself."""
    return column.text(row) if isinstance(row[column.key], str) else f"{column.heading} {column.text(row)}"


def _number(row: dict[str, Value], column: Column) -> float | None:
    value = row.get(column.key)
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _text(
    x: float, y: float, text: str, *, size: int, fill: str = "#222", weight: str = "normal", anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
