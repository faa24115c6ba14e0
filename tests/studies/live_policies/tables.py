"""The table of live runs, and how often each policy is best."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from ipa.studies.formatting import number
from tests.studies.live_policies.runs import Row

HEAD = (
    "| pipeline, load | policy | objective | cores | PAS | violations, % | mean latency, s | "
    "a batch beyond its profile | sent late, % |"
)
MOST_MORE = 0.5
"""By how many points more than the least of a load a policy may violate to be best: a live run varies by as much."""


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """A row for each run, simulated figures in brackets, then the best of each load."""
    yield HEAD
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|"
    won = []
    for (pipeline, window), group in groupby(rows, lambda row: (row.case.pipeline, row.case.window)):
        found = list(group)
        yield from map(_line, found)
        won.append(f"{pipeline} on {window}: {best(found).case.policy}")
    yield ""
    yield "; ".join(won)


def best(rows: Iterable[Row]) -> Row:
    """The one with the highest objective of those that violate hardly more than the one that violates least."""
    found = list(rows)
    least = min(row.violations for row in found)
    return max((row for row in found if row.violations <= least + MOST_MORE), key=lambda row: row.objective)


def _line(row: Row) -> str:
    cells = (
        f"{row.case.pipeline}, {row.case.window}",
        f"`{row.case.policy}`",
        f"{number(row.objective, 2)} ({number(row.simulated_objective, 2)})",
        f"{row.cores:.2f}",
        f"{row.pas:.2f}",
        f"{row.violations:.2f} ({row.simulated_violations:.2f})",
        f"{row.latency_s:.2f} ({row.simulated_latency_s:.2f})",
        f"{1000 * row.batch_s:.1f} ms",
        f"{100 * row.late:.1f}",
    )
    return f"| {' | '.join(cells)} |"
