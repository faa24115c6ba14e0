"""A tidy table of measured latencies: one row for each stage, variant, number of cores and batch size."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, Context, Decimal
from pathlib import Path
from typing import Any

from ipa.profiles import foreign
from ipa.profiles.csv_table import CsvColumn, Problems, columns_of, number, seconds, whole
from ipa.profiles.errors import ProfileError, did_you_mean, listed
from ipa.profiles.figures import Figure, FigureProblem, grid_problem, row_problem

NAMES = {
    "stage": ("stage", "task"),
    "variant": ("variant", "model", "model_name", "model_variant"),
    "accuracy": ("accuracy", "accuracy_percent", "accuracy_pct"),
    "cores": ("cores", "cpus", "cpu", "threads"),
    "batch": ("batch", "batch_size", "batchsize"),
    "mean_s": ("mean", "latency_mean", "mean_latency", "avg", "average", "avg_latency"),
    "p99_s": ("p99", "latency_p99", "p99_latency", "99_00_percentile_latency", "99th_percentile_latency"),
    "throughput_rps": ("throughput_rps", "rps", "requests_per_second", "samples_per_second"),
    "start_up_s": ("start_up", "startup", "start_up_time", "startup_time"),
    "accuracy_metric": ("accuracy_metric", "metric"),
}
"""Key -> the names that its column may have; the name of a time also ends in its unit."""

OPTIONAL = ("throughput_rps", "start_up_s", "accuracy_metric")

_READERS: Mapping[str, Callable[[str, CsvColumn], float]] = {
    "accuracy": lambda text, _: _accuracy(text),
    "cores": lambda text, _: whole(text),
    "batch": lambda text, _: whole(text),
    "mean_s": seconds,
    "p99_s": seconds,
    "throughput_rps": lambda text, _: number(text, Decimal(10**9)),
    "start_up_s": lambda text, column: 0.0 if re.fullmatch(r"0+(\.0*)?", text) else seconds(text, column),
}


def _accuracy(text: str) -> float:
    """A fraction, or per cent, perhaps with the sign; ValueError says what is allowed."""
    accuracy = number(text.removesuffix("%").rstrip(" "), Decimal(100))
    if text.endswith("%") and accuracy <= 1:
        raise ValueError(f"should be above 1 %, or a fraction without the sign; given {text!r}")
    return accuracy


@dataclass(frozen=True)
class LatencyRow:
    """A line of the table: times in seconds, the accuracy as a fraction; None for what it leaves out."""

    line: int
    stage: str
    variant: str
    accuracy: float
    cores: int
    batch: int
    mean_s: float
    p99_s: float
    throughput_rps: float | None = None
    start_up_s: float | None = None
    accuracy_metric: str | None = None
    path: str = ""

    def figure(self) -> Figure:
        """The row as a figure; a throughput that was not measured is batch / mean_s, rounded down to six digits."""
        throughput_rps, source = self.throughput_rps, "measured"
        if throughput_rps is None:
            digits, source = Context(prec=6, rounding=ROUND_DOWN), "served"
            throughput_rps = float(digits.divide(Decimal(self.batch), Decimal(repr(self.mean_s))))
        return Figure(self.cores, self.batch, self.mean_s, self.p99_s, throughput_rps, "measured", "measured", source)


@dataclass(frozen=True)
class Latencies:
    """The rows of a table by stage and variant, in the order of the file.

    `files`: those of the table. `in_percent`: their accuracies are per cent. `unused`: columns without a meaning here.
    `renamed`: names written in another way.
    """

    files: tuple[str, ...]
    stages: Mapping[str, Mapping[str, Sequence[LatencyRow]]]
    in_percent: bool
    unused: tuple[str, ...]
    renamed: Mapping[str, str]

    @property
    def path(self) -> str:
        """The files, in words."""
        return " and ".join(self.files)


@dataclass(frozen=True)
class LatencySource:
    """A table: its file (or folder), and values that it lacks or that replace its own, by column."""

    path: str | Path
    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: str) -> LatencySource:
        """`FILE COLUMN=VALUE ...`. ProfileError for a column that there is not."""
        words = spec.split()
        values: dict[str, str] = {}
        while len(words) > 1 and "=" in words[-1]:
            key, _, value = words.pop().partition("=")
            values[key] = value
        allowed = [*NAMES, "mean_ms", "p99_ms"]
        unknown = [key for key in values if key not in allowed]
        if unknown:
            hint = did_you_mean(unknown[0], allowed)
            raise ProfileError(f"{spec}: no column is called {unknown[0]!r}{hint}; allowed: {listed(allowed)}")
        return cls(spec if not values else " ".join(words), dict(reversed(values.items())))


def read_latencies(*sources: str | Path | LatencySource) -> Latencies:
    """Read CSV files with headers, together one table.

    Columns: stage, variant, accuracy (fractions, or per cent if all are above 1), cores, batch, mean_s and p99_s (or
    _ms, _us, _ns); optional throughput_rps, start_up_s, accuracy_metric. For tables of other tools see `foreign`.
    ProfileError, a line of text for each problem, for a file that cannot be read, columns and values that cannot be
    used, and figures that break a law of `ipa.profiles.figures`.
    """
    tables = [source if isinstance(source, LatencySource) else LatencySource(source) for source in sources]
    problems = Problems(str(tables[0].path))
    names = _Names(problems)
    columns: dict[str, Mapping[str, CsvColumn]] = {}
    rows: list[LatencyRow] = []
    unused: dict[str, None] = {}
    is_given_in_percent: dict[str, bool] = {}
    for table in tables:
        path = str(table.path)
        problems.path = path
        lines = foreign.filled(foreign.lines_from(Path(path)), table.values)
        if len(lines) < 2:
            raise ProfileError(f"{path}: no rows: should have a header and a row for each measurement")
        (first, header), *rest = lines
        columns_here = columns_of(first, header, NAMES, OPTIONAL, problems)
        columns[path] = columns_here
        of_table = [row for line, cells in rest if (row := _row(line, cells, columns_here, names, problems))]
        problems.raise_all()
        in_percent = _is_in_percent(of_table, columns_here["accuracy"].title, problems)
        if in_percent:
            of_table = [replace(row, accuracy=float(Decimal(str(row.accuracy)) / 100)) for row in of_table]
        is_given_in_percent[path] = in_percent
        rows += [replace(row, path=path) for row in of_table]
        places = {column.place for column in columns_here.values()}
        unused |= dict.fromkeys(title for place, title in enumerate(header) if place not in places and title)
    stages: dict[str, dict[str, list[LatencyRow]]] = {}
    for row in rows:
        stages.setdefault(row.stage, {}).setdefault(row.variant, []).append(row)
    _check(stages, columns, problems)
    files = tuple(dict.fromkeys(str(table.path) for table in tables))
    return Latencies(files, stages, all(is_given_in_percent.values()), tuple(unused), names.renamed)


def slug(text: str) -> str:
    """A name as pipeline files want it: lower-case letters, digits and single hyphens; empty if nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")


@dataclass
class _Names:
    """Names of stages and variants as pipeline files want them; two that would become one are refused."""

    problems: Problems
    renamed: dict[str, str] = field(default_factory=dict)
    first: dict[tuple[str, str], str] = field(default_factory=dict)

    def name(self, line: int, column: CsvColumn, owner: str, text: str) -> str:
        """The name for a text; `owner` is what the names have to be distinct in."""
        name = slug(text)
        text_before = self.first.setdefault((owner, name), text)
        if not name:
            self.problems.add(line, column.title, f"should be a name with letters or digits; given {text!r}")
        elif text_before != text:
            self.problems.add(line, column.title, f"{text!r} and {text_before!r} would both be called {name!r}")
        elif name != text:
            self.renamed[text] = name
        return name


def _row(
    line: int, cells: Sequence[str], columns: Mapping[str, CsvColumn], names: _Names, problems: Problems
) -> LatencyRow | None:
    """The row, or None if it has an error."""
    before = len(problems.by_line)
    least = 1 + max(column.place for column in columns.values())
    if len(cells) < least:
        problems.add(line, "", f"has {len(cells)} cells; should have at least {least}, as the header says")
        return None
    texts = {key: cells[column.place] for key, column in columns.items()}
    values: dict[str, Any] = {}
    for key, read in _READERS.items():
        if key in columns and (texts[key] or key not in OPTIONAL):
            try:
                values[key] = read(texts[key], columns[key])
            except ValueError as error:
                problems.add(line, columns[key].title, str(error))
    stage = names.name(line, columns["stage"], "", texts["stage"])
    variant = names.name(line, columns["variant"], f"variants of {stage}", texts["variant"])
    if len(problems.by_line) > before:
        return None
    return LatencyRow(line, stage, variant, accuracy_metric=texts.get("accuracy_metric") or None, **values)


def _is_in_percent(rows: Sequence[LatencyRow], title: str, problems: Problems) -> bool:
    """Whether accuracies are per cent: as the column says, or as all of its values do."""
    if title.lower() != "accuracy":
        return True
    above = [row for row in rows if row.accuracy > 1]
    if above and len(above) < len(rows):
        low = next(row for row in rows if row.accuracy <= 1)
        examples = f"given {above[0].accuracy:g} in line {above[0].line} and {low.accuracy:g} in line {low.line}"
        allowed = "should be a fraction (at most 1) in all rows or per cent (above 1) in all rows"
        text = f"{allowed}, or call the column accuracy_percent; {examples}"
        problems.add(max(above[0].line, low.line), title, text)
        problems.raise_all()
    return bool(above)


Columns = Mapping[str, Mapping[str, CsvColumn]]
"""File -> key -> its column there."""


def _check(stages: Mapping[str, Mapping[str, Sequence[LatencyRow]]], columns: Columns, problems: Problems) -> None:
    """Refuse values that differ within a variant or stage and must not, and figures that break a law."""
    for stage, variants in stages.items():
        of_stage = [row for rows in variants.values() for row in rows]
        _check_same(f"stage {stage}", "accuracy_metric", of_stage, columns, problems)
        for variant, rows in variants.items():
            for key in ("accuracy", "start_up_s"):
                _check_same(f"{variant} of {stage}", key, rows, columns, problems)
            figures = [row.figure() for row in rows]
            broken = [problem for place, figure in enumerate(figures) if (problem := row_problem(figure, place))]
            whole_grid = None if broken else grid_problem(figures)
            for problem in (*broken, *([whole_grid] if whole_grid else [])):
                _add_figure(rows, columns, problem, problems)
    problems.raise_all()


def _check_same(whose: str, key: str, rows: Sequence[LatencyRow], columns: Columns, problems: Problems) -> None:
    values = [getattr(row, key) for row in rows]
    for row, value in zip(rows, values, strict=True):
        if value != values[0]:
            first, shown = ("nothing" if text is None else text for text in (values[0], value))
            text = f"should be the same in all rows of {whose}, {first} as in {_line_of(rows[0], row)}; given {shown}"
            problems.add(row.line, columns[row.path][key].title, text, row.path)
            return


def _add_figure(rows: Sequence[LatencyRow], columns: Columns, problem: FigureProblem, problems: Problems) -> None:
    row = rows[problem.row or 0]
    text = re.sub(
        r"first in figures\[(\d+)\]", lambda match: f"first in {_line_of(rows[int(match[1])], row)}", problem.text
    )
    columns_here = columns[row.path]
    column = columns_here[problem.key].title if problem.key in columns_here else ""
    problems.add(row.line, column, f"{row.variant} of {row.stage}: {text}", row.path)


def _line_of(row: LatencyRow, seen_from: LatencyRow) -> str:
    """Where a row stands, as said of another."""
    return f"line {row.line}" if row.path == seen_from.path else f"{row.path}:{row.line}"
