"""Tables of other tools as tables of latencies: columns renamed, and an implied mean computed.

    perf_analyzer    `perf_analyzer -f`: a row for each concurrency, microseconds. Of concurrency 1, as a replica here
                     serves one batch at a time; the mean is the sum of the parts of a request, or `Avg latency`
    Model Analyzer   `metrics-model-inference.csv`: likewise of concurrency 1; without an average latency, the mean is
                     batch / throughput, which holds when one batch is on its way at any time (Little's law)
    IPA              the table that the parser of the published project's profiler makes, in seconds

All others go by the names of their columns (`latencies.NAMES`), as MLPerf's do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ipa.numbers import number_of
from ipa.profiles.csv_table import lines_of, plain
from ipa.profiles.errors import ProfileError

Lines = list[tuple[int, list[str]]]
"""Lines of a table with their numbers, the header first."""

_PARTS = (
    "client_send",
    "network_server_send_recv",
    "server_queue",
    "server_compute_input",
    "server_compute_infer",
    "server_compute_output",
    "client_recv",
)
"""perf_analyzer's columns for the parts of a request's time."""

_IPA = {
    "model_variant": "variant",
    "cpu_request": "cores",
    "max_batch_size": "batch",
    "model_latencies_avg": "mean_s",
    "model_latencies_p99": "p99_s",
    "throughput_max": "throughput_rps",
}


def lines_from(path: Path) -> Lines:
    """The lines of a table of latencies, whoever has written it. ProfileError for what cannot be read."""
    lines = list(lines_of(path))
    if not lines:
        return lines
    keys = [plain(title) for title in lines[0][1]]
    for marks, read in _FORMS:
        if set(marks) <= set(keys):
            return read(path, lines, keys)
    for line, cells in lines[1:]:
        if any(cells[len(keys) :]):
            raise ProfileError(
                f"{path}:{line}: has {len(cells)} cells under a header of {len(keys)}: {','.join(cells)[:60]!r}; "
                "decimals are written with a point, not with a comma"
            )
    return lines


def _perf_analyzer(path: Path, lines: Lines, keys: Sequence[str]) -> Lines:
    rows = _one_at_a_time(path, lines, keys)
    table: Lines = [(lines[0][0], ["mean_us", "p99_us"])]
    for line, cells in rows:
        row = dict(zip(keys, cells, strict=False))
        mean = row.get("avg_latency") or repr(sum(_number(path, line, key, row.get(key, "")) for key in _PARTS))
        table.append((line, [mean, row["p99_latency"]]))
    return table


def _model_analyzer(path: Path, lines: Lines, keys: Sequence[str]) -> Lines:
    table: Lines = [(lines[0][0], ["variant", "batch", "mean_ms", "p99_ms"])]
    for line, cells in _one_at_a_time(path, lines, keys):
        row = dict(zip(keys, cells, strict=False))
        mean = row.get("avg_latency_ms", "")
        if not mean:
            batch = _number(path, line, "Batch", row["batch"])
            mean = repr(1000 * batch / _number(path, line, "Throughput", row["throughput_infer_sec"]))
        table.append((line, [row["model"], row["batch"], mean, row["p99_latency_ms"]]))
    return table


def _ipa(_: Path, lines: Lines, keys: Sequence[str]) -> Lines:
    (first, header), *rows = lines
    return [(first, [_IPA.get(key, title) for key, title in zip(keys, header, strict=True)]), *rows]


_FORMS: Sequence[tuple[Sequence[str], Callable[[Path, Lines, Sequence[str]], Lines]]] = (
    (("concurrency", "inferences_second", "p99_latency"), _perf_analyzer),
    (("model", "batch", "concurrency", "throughput_infer_sec", "p99_latency_ms"), _model_analyzer),
    (("model_variant", "cpu_request", "max_batch_size", "model_latencies_avg"), _ipa),
)
"""The columns by which a form is known -> how it is read."""


def _one_at_a_time(path: Path, lines: Lines, keys: Sequence[str]) -> Lines:
    """The rows of concurrency 1."""
    place = keys.index("concurrency")
    rows = [(line, cells) for line, cells in lines[1:] if place < len(cells) and cells[place] == "1"]
    if not rows:
        raise ProfileError(
            f"{path}: has no row with Concurrency 1: a replica serves one batch at a time, so what its batches take "
            "is seen with one on its way"
        )
    return [(line, cells + [""] * (len(keys) - len(cells))) for line, cells in rows]


def _number(path: Path, line: int, column: str, text: str) -> float:
    value = number_of(text)
    if value is None or not 0 <= value < math.inf:
        raise ProfileError(f"{path}:{line}: {column}: should be a number from 0; given {text!r}")
    return float(value)


def filled(lines: Lines, values: Mapping[str, str]) -> Lines:
    """The table with a column more for each of these values, the same in all rows, in place of one of that name."""
    if not lines:
        return lines
    (first, header), *rows = lines
    places = [place for place, title in enumerate(header) if plain(title) not in values]
    table: Lines = [(first, [*(header[place] for place in places), *values])]
    for line, cells in rows:
        table.append((line, [*(cells[place] for place in places if place < len(cells)), *values.values()]))
    return table
