"""The runs of a sweep as one tidy table, a row for each run, written in parts so that it can have any length.

The columns: every varied key under its own name (`policy.alpha`; empty if not varied for the point), `seed`, the
summary of the run, and `error`, which only a failed run has, without a summary. A varied key replaces a column of the
summary with the same name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ipa.studies.many import PlannedRun, Store
from ipa.studies.many.sweeps.sample import Values
from ipa.studies.runs.results import whole_file
from ipa.studies.scenario import ScenarioError

Row = tuple[Values, int, PlannedRun]
"""The values of a run's point, its seed, and the run."""

PART = 5_000
"""How many rows are in memory at a time."""

NOT_OF_THE_RUN = ("wall_s",)

Summary = Mapping[str, Any]


def write(
    rows: Iterable[Row], store: Store, axes: Mapping[str, Sequence[Any]], summary: Summary, path: Path
) -> Counter[str]:
    """Write the table of runs from the store; returns the number of failed runs by error.

    `axes`: the values of each varied key, or examples for a range; `summary`: that of any run, empty if none has
    finished. They determine the columns' types. Raises as `whole_file`.
    """
    keys = {key: _type_of(values) for key, values in axes.items()}
    outcomes = {
        name: _type_of([value])
        for name, value in summary.items()
        if name not in (*NOT_OF_THE_RUN, *keys, "seed", "error")
    }
    fields = {**keys, **({} if "seed" in keys else {"seed": pa.int64()}), **outcomes, "error": pa.string()}
    schema = pa.schema(list(fields.items()))
    errors: Counter[str] = Counter()
    with whole_file(path) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for some in _parts(rows, PART):
            written = _table(some, store, keys, outcomes, schema)
            writer.write_table(written, row_group_size=PART)
            errors.update(error for error in written["error"].to_pylist() if error is not None)
    return errors


def read(path: Path, axes: Mapping[str, Sequence[Any]]) -> Iterator[tuple[Values, int, Summary]]:
    """The rows of a table without failed runs: the values of the point, the seed, the summary.

    `axes`: the listed values of each varied key, in their original types, which a column may have lost; none for a
    range. Raises ScenarioError if the table cannot be read.
    """
    try:
        rows = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from None
    for row in rows:
        if row["error"] is None:
            values = {key: _listed(row[key], listed) for key, listed in axes.items()}
            varied = {key: value for key, value in values.items() if value is not None or None in axes[key]}
            yield varied, row["seed"], row


def _listed(cell: Any, values: Sequence[Any]) -> Any:
    """The listed value that a column holds as `found`; `found` itself if there is none."""
    return next((value for value in values if cell in (value, _plain(value), *_as([value], pa.string()))), cell)


def first_summary(rows: Iterable[Row], store: Store) -> Summary:
    """The summary of the first finished run; empty if none has finished."""
    for some in _parts(rows, 100):
        by_key = store.summaries([planned.key for _, _, planned in some])
        for _, _, planned in some:
            summary = by_key.get(planned.key)
            if isinstance(summary, dict):
                return summary
    return {}


def _parts(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    rest = iter(rows)
    while some := list(islice(rest, size)):
        yield some


def _table(some: Sequence[Row], store: Store, keys: Iterable[str], outcomes: Iterable[str], schema: Any) -> Any:
    by_key = store.summaries([planned.key for _, _, planned in some])
    outcomes_of_rows = [by_key.get(planned.key, "not run") for _, _, planned in some]
    summaries = [outcome if isinstance(outcome, dict) else {} for outcome in outcomes_of_rows]
    columns: dict[str, list[Any]] = {"seed": [seed for _, seed, _ in some]}
    columns |= {key: [_plain(values.get(key)) for values, _, _ in some] for key in keys}
    columns |= {name: [outcome.get(name) for outcome in summaries] for name in outcomes}
    columns["error"] = [outcome if isinstance(outcome, str) else None for outcome in outcomes_of_rows]
    return pa.table([pa.array(_as(columns[f.name], f.type), type=f.type) for f in schema], schema=schema)


def _type_of(values: Sequence[Any]) -> Any:
    """The type of a column: numbers and booleans as such, anything else as text."""
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, bool) for value in present):
        return pa.bool_()
    if any(isinstance(value, bool | str | list | dict) for value in present):
        return pa.string()
    return pa.int64() if present and all(isinstance(value, int) for value in present) else pa.float64()


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _as(values: list[Any], kind: Any) -> list[Any]:
    if kind != pa.string():
        return values
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
