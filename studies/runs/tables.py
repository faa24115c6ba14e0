"""The tables of a run by name: which ones it has, and how they are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ipa.policies import Configuration, Entry
from ipa.profiles import Pipeline
from ipa.sim import (
    Counted,
    Records,
    decisions_table,
    intervals_table,
    items_table,
    latencies_table,
    queues_table,
    replicas_table,
    requests_table,
    spent_table,
    stages_table,
)
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("requests", "stages", "decisions", "replicas")
"""The tables that every run has."""

ITEMS = "items"
"""The table that replaces `stages` in a graph."""

COUNTED = ("intervals", "latencies", "queues", "spent")
"""The further tables of a run with a sample of records."""


class Tables(dict[str, "pd.DataFrame"]):
    """Tables by name. Raises ScenarioError for a table that the run does not have."""

    def __missing__(self, name: str) -> pd.DataFrame:
        why = "; a run has it with records: sample" if name in COUNTED else ""
        if name == "stages" and ITEMS in self:
            why = "; its stages form a graph, which only the table items shows"
        raise ScenarioError(f"no table {name!r} in this run{why}; it has {', '.join(self)}")


def tables_of(records: str, *, is_graph: bool = False) -> tuple[str, ...]:
    """The names of the tables of a run with this value of `records`."""
    always = tuple(ITEMS if is_graph and name == "stages" else name for name in TABLES)
    return (*always, *COUNTED) if records == "sample" else always


def tables_from(
    pipeline: Pipeline,
    initial: Configuration,
    entries: Sequence[Entry],
    records: Records,
    counted: Counted | None,
) -> Tables:
    """The tables of a run from its results."""
    is_graph = pipeline.graph is not None
    visits = (items_table if is_graph else stages_table)(records, counted.filled_s if counted else None)
    tables = Tables(
        {
            "requests": requests_table(pipeline, records, counted),
            ITEMS if is_graph else "stages": visits,
        },
        decisions=decisions_table(pipeline, initial, entries),
        replicas=replicas_table(records),
    )
    if counted:
        tables["intervals"] = intervals_table(counted.intervals)
        tables["latencies"] = latencies_table(counted.intervals)
        tables["queues"] = queues_table(counted.intervals)
        tables["spent"] = spent_table(counted.intervals, counted.spent_s)
    return tables
