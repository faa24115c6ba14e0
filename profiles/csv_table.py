"""A CSV table with named columns: its lines, the meaning of its columns, its numbers.

Columns come in any order, under any of several names, with the unit of a time in its name. Problems are collected and
reported together, each with file, line, column, value and what is allowed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from pathlib import Path

from ipa.numbers import number_of, quantity_of
from ipa.profiles.errors import ProfileError, listed, text_of
from ipa.profiles.yaml_file import MOST_PROBLEMS

UNITS = {
    "s": "1", "sec": "1", "seconds": "1", "ms": "0.001", "milliseconds": "0.001", "us": "0.000001", "ns": "0.000000001",
}  # fmt: skip
"""The unit that ends the name of a time's column -> seconds."""


@dataclass
class Problems:
    """What is wrong in a file, by line."""

    path: str
    by_line: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, column: str, text: str, path: str = "") -> None:
        """Note a problem of a cell or, with an empty `column`, of a line; `path`: of another file."""
        place = f"{path or self.path}:{line}: " + (f"{column}: " if column else "")
        self.by_line.append((line, place + text))

    def raise_all(self) -> None:
        """Raise ProfileError if there are problems, a line for each, in file order."""
        texts = [text for _, text in sorted(self.by_line)]
        if len(texts) > MOST_PROBLEMS:
            texts[MOST_PROBLEMS:] = [f"... and {len(texts) - MOST_PROBLEMS} more"]
        if texts:
            raise ProfileError("\n".join(texts))


@dataclass(frozen=True)
class CsvColumn:
    """Where a column is, what it is called in the file, and what one of its unit is [s] (1 for all but times)."""

    place: int
    title: str
    unit: Decimal = Decimal(1)


def lines_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each line with its number, empty ones and comments (#) left out, its cells without the spaces around them.

    Cells are separated by commas, semicolons or tabs, whichever the header has most of. ProfileError for a file that
    cannot be read or is no such table.
    """
    text = text_of(path)
    header = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    reader = csv.reader(text.splitlines(), delimiter=max(",;\t", key=header.count), strict=True)
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells) and not cells[0].startswith("#"):
                yield reader.line_num, cells
    except csv.Error as cause:
        raise ProfileError(f"{path}:{reader.line_num}: not a CSV table: {cause}") from None


def read_numbers(path: Path, columns: Sequence[str]) -> dict[int, tuple[float, ...]]:
    """Line -> the numbers in these columns, of a table that may have others.

    ProfileError, with line and column, for a column that is missing, a cell that is no number, and no rows.
    """
    lines = list(lines_of(path))
    if len(lines) < 2:
        raise ProfileError(f"{path}: the table has no rows")
    (first, header), *rows = lines
    for name in columns:
        if name not in header:
            raise ProfileError(f"{path}:{first}: the column {name} is missing; given: {listed(header)}")
    table: dict[int, tuple[float, ...]] = {}
    for line, cells in rows:
        by_name = dict(zip(header, cells, strict=False))
        numbers = []
        for name in columns:
            value = number_of(by_name.get(name, ""))
            if value is None or not isfinite(value):
                raise ProfileError(f"{path}:{line}: {name}: should be a number; given {by_name.get(name, '')[:60]!r}")
            numbers.append(float(value))
        table[line] = tuple(numbers)
    return table


def plain(title: str) -> str:
    """A column's title in lower case, with underscores for all but letters and digits."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower().replace("%", " percent ")).strip("_")


def columns_of(
    line: int, header: Sequence[str], names: Mapping[str, Sequence[str]], optional: Sequence[str], problems: Problems
) -> dict[str, CsvColumn]:
    """Key -> its column, for `names`: key -> what a column of it may be called; keys ending in `_s` are times.

    Raises ProfileError, with the problems, for a column that is missing and not `optional`, one that is there twice,
    and a time without its unit.
    """
    columns: dict[str, CsvColumn] = {}
    for place, title in enumerate(header):
        name = plain(title)
        for key, allowed in names.items():
            unit = _unit(name, allowed) if key.endswith("_s") else "1" if name in allowed else ""
            if unit is None:
                problems.add(line, title, f"lacks its unit; call it {key} or {key[:-2]}_ms")
            elif unit and key in columns:
                problems.add(line, title, f"says the same as the column {columns[key].title!r}; keep one")
            if unit is None or unit:
                columns.setdefault(key, CsvColumn(place, title, Decimal(unit or "1")))
    for key in names:
        if key not in columns and key not in optional:
            expected = f"{key} (or {key[:-2]}_ms)" if key.endswith("_s") else key
            problems.add(line, "", f"the column {expected} is missing; given: {listed(header)}")
    problems.raise_all()
    return columns


def _unit(name: str, allowed: Sequence[str]) -> str | None:
    """Seconds in one unit of a time's column; empty if the name is another's, None if it lacks its unit."""
    if name in allowed:
        return None
    begin, _, unit = name.rpartition("_")
    return UNITS.get(unit, "") if begin in allowed else ""


def seconds(text: str, column: CsvColumn) -> float:
    """A time in seconds, above 0 and at most a day; ValueError says what is allowed, in the column's unit.

    A cell may have a unit of its own.
    """
    if number_of(text) is None and (time_s := quantity_of(text, "time_s")) is not None:
        return number(repr(time_s), Decimal(86_400))
    return number(text, 86_400 / column.unit, column.unit)


def number(text: str, most: Decimal, unit: Decimal = Decimal(1)) -> float:
    """A number above 0 and at most `most`, times `unit`; ValueError says what is allowed."""
    decimal = Decimal("nan") if number_of(text) is None else Decimal(text)
    if decimal.is_finite() and 0 < decimal <= most and (value := float(decimal * unit)) > 0:
        return value
    comma = ", with a decimal comma: write a point" if re.fullmatch(r"[0-9]+,[0-9]+", text) else ""
    raise ValueError(f"should be a number above 0 and at most {most:f}; given {text!r}{comma}")


def whole(text: str) -> int:
    """A whole number from 1 to 4096 (`4.0` is one); ValueError says what is allowed."""
    match = re.fullmatch(r"([0-9]{1,4})(\.0*)?", text)
    if not match or not 1 <= int(match[1]) <= 4096:
        raise ValueError(f"should be a whole number from 1 to 4096; given {text!r}")
    return int(match[1])
