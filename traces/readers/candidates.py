"""Finds the times of a table of counts whose column has a name that says nothing: `Label`, `_time`, `window_start`.

Whatever its name, a column is the time if all its values are dates, no two of them the same, or numbers that rise by
equal steps. If there are several, or none beside other columns, the file is refused: counts are taken as one for each
second only if the file has nothing else. With a given step, rows without dates are steps in their order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ipa.traces.checks import Numbers, TraceError
from ipa.traces.readers.columns import Gathering, NumberColumn, is_count, listed_names
from ipa.traces.readers.notation import INDICES, Reading
from ipa.traces.reading import ask

_SHOWN = 3
"""The most columns whose reason is shown."""

_STEP = "how long a row is, as --set read.step=1m"

_UNEVEN = 0.1
"""The most by which steps that are meant to be equal differ, as a share: tables are written a little late."""


def names_of_candidates(names: Sequence[str], read: Sequence[str], hints: Reading) -> list[str]:
    """The columns that may be the times: of counts without a column of times, or with one that only numbers steps."""
    return [name for name in names if name not in read] if _is_time_open(read, hints) else []


def _is_time_open(read: Sequence[str], hints: Reading) -> bool:
    counts, *times = read
    return is_count(counts, hints) and hints.time_column is None and all(name.lower() in INDICES for name in times)


class TextCandidates:
    """Gathers the columns of a table of text that may be its times; those with another value drop out."""

    def __init__(self, names: Sequence[str], read: Sequence[str], hints: Reading) -> None:
        self._names = set(names) if _is_time_open(read, hints) else None
        self._open = {name: Gathering(name, hints) for name in names_of_candidates(names, read, hints)}
        self._why_not: dict[str, str] = {}

    def add(self, row: Mapping[str, object], value_of: Callable[[str], str], place: str) -> None:
        """Add a row; `value_of` raises ValueError for a value that is missing."""
        if self._names is None:
            return
        for name in row.keys() - self._names:
            self._why_not.setdefault(name, f"{place}, column {name}: a line before has none")
        for name, gathering in list(self._open.items()):
            try:
                gathering.values.append(gathering.parse(value_of(name)))
            except ValueError as error:
                self._why_not[name] = f"{place}, column {name}: {error}"
                del self._open[name]

    def columns(self, path: str, word: str, rows: Sequence[int]) -> "TimeCandidates":
        """The columns all of whose values are times or numbers, and why the others are not."""
        return TimeCandidates(
            tuple(gathering.column(path, word, rows) for gathering in self._open.values()), self._why_not
        )


@dataclass(frozen=True)
class TimeCandidates:
    """The columns of a table that hold times or numbers alone; `why_not`: of each other one a value that is neither."""

    columns: tuple[NumberColumn, ...] = ()
    why_not: Mapping[str, str] = field(default_factory=dict)

    def time_of(self, counts: NumberColumn, named: NumberColumn | None, hints: Reading) -> NumberColumn | None:
        """The column of the times of these counts; None: they have none, and each row is a step.

        `named`: the column whose name says that it is the time. One that numbers seconds, minutes, hours or days gives
        way to one of dates. Raises TraceError if several columns may be the times, or none and there are other columns.
        """
        is_index = named is not None and named.name.lower() in INDICES and not _is_clock(named)
        if named is not None and not is_index:
            return named
        clocks = [column for column in self.columns if _is_clock(column)]
        times = [column for column in clocks if _is_each_once(column)]
        if not times and named is None:
            times = clocks if len(clocks) == 1 else []  # its rows of one time are then refused by line
        if not times and named is None and hints.step is None:
            times = [column for column in self.columns if _rises(column)]
        if len(times) > 1:
            raise TraceError(
                f"{counts.path}: {listed_names([column.name for column in times])} may each be the times of the counts "
                f"(column {counts.name!r}); say which with {ask('time_column', repr(times[0].name))}"
            )
        if times and times[0].doubt:
            raise TraceError(f"{times[0].place(0)}: {times[0].doubt}; or {_STEP}")
        if times:
            return times[0]
        if named is None and hints.step is None and (self.columns or self.why_not):
            raise TraceError(f"{counts.path}: {self._why_none(counts)}")
        return named

    def _why_none(self, counts: NumberColumn) -> str:
        why_not = [text.removeprefix(f"{counts.path}, ") for text in self.why_not.values()]
        why_not += [f"column {column.name}: neither dates, each once, nor equal steps" for column in self.columns]
        rest = f"; and {len(why_not) - _SHOWN} more" if len(why_not) > _SHOWN else ""
        return (
            f"no column can be the times of the counts (column {counts.name!r}): {'; '.join(why_not[:_SHOWN])}{rest}. "
            f"Say it with {ask('time_column', 'NAME')}, or {_STEP}"
        )


def _is_clock(column: NumberColumn) -> bool:
    """Whether a column holds dates, or numbers since 1970 in equal steps."""
    notation = column.notation
    if notation is None:
        return bool(column.doubt) and bool(np.isnan(column.values).all())
    is_even = not notation.is_number or len(column.values) < 3 or are_steps(column.values, notation.us / 1e6)
    return notation.is_clock and is_even


def _is_each_once(column: NumberColumn) -> bool:
    """Whether no two rows have the same time, as far as it is known."""
    return bool(column.doubt) or len(np.unique(column.values)) == len(column.values)


def _rises(column: NumberColumn) -> bool:
    """Whether a column holds numbers that rise, or fall, by equal steps from row to row."""
    steps = np.diff(column.values)
    return len(steps) > 0 and steps[0] != 0 and bool(np.allclose(steps, steps[0], rtol=1e-3))


def are_steps(times: Numbers, unit_s: float) -> bool:
    """Whether these look like the times of a table of counts: most are one step apart, the others a multiple of it.

    Times are in units of `unit_s` seconds. Several rows may have the same time if the step is longer than a second, as
    in a table with a row for each server; in a log of requests they do so by the second.
    """
    steps = np.diff(times)
    if np.any(steps < 0):
        steps = np.diff(np.sort(times))
    steps = steps[steps > 0]
    if len(steps) < 2:
        return False
    step = float(np.median(steps))
    if len(steps) + 1 < len(times) and step * unit_s <= 1.0:
        return False
    multiples = steps / step
    whole = np.rint(multiples)
    are_multiples = (whole >= 1) & (np.abs(multiples - whole) <= _UNEVEN)
    return bool(are_multiples.mean() >= 0.9 and (whole == 1).mean() >= 0.5)
