"""The tables of a run by name: which there are, and how they are made."""

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
    latencies_table,
    queues_table,
    replicas_table,
    requests_table,
    resizes_table,
    spent_table,
    stages_table,
)
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("requests", "stages", "decisions", "replicas")
"""The tables that every run has."""

COUNTED = ("intervals", "latencies", "queues", "spent")
"""The further tables of a run with a sample of records."""


RESIZES = "resizes"
"""The table that is there where the scenario resizes replicas in place."""


class Tables(dict[str, "pd.DataFrame"]):
    """Tables by name. Raises ScenarioError for one that a run does not have."""

    def __missing__(self, name: str) -> pd.DataFrame:
        why = "; a run has it with records: sample" if name in COUNTED else ""
        raise ScenarioError(f"no table {name!r} in this run{why}; it has {', '.join(self)}")


def tables_of(records: str, resize: str) -> tuple[str, ...]:
    """The names of the tables of a run with these values of `records` and `resize`."""
    resizes = (RESIZES,) if resize == "in_place" else ()
    return (*TABLES, *resizes, *COUNTED) if records == "sample" else (*TABLES, *resizes)


def tables_from(
    names: Sequence[str],
    pipeline: Pipeline,
    initial: Configuration,
    entries: Sequence[Entry],
    records: Records,
    counted: Counted | None,
) -> Tables:
    """The tables of a run, those of `names` as of `tables_of`, made of what it left behind."""
    tables = Tables(
        requests=requests_table(pipeline, records, counted.sample if counted else None),
        stages=stages_table(records, counted.filled_s if counted else None),
        decisions=decisions_table(pipeline, initial, entries),
        replicas=replicas_table(records),
    )
    if RESIZES in names:
        tables[RESIZES] = resizes_table(records)
    if counted:
        tables["intervals"] = intervals_table(counted.intervals)
        tables["latencies"] = latencies_table(counted.intervals)
        tables["queues"] = queues_table(counted.intervals)
        tables["spent"] = spent_table(counted.intervals, counted.spent_s)
    return tables
