"""The figures of an answer and of a plan: those of reports, as the page takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ipa.policies import Entry
from ipa.studies.many import PolicyRuns
from ipa.studies.pages import Plot
from ipa.studies.runs import Run, has_records
from ipa.studies.scenario import Scenario
from ipa.studies.series import latencies_of

if TYPE_CHECKING:
    import pandas as pd

    from ipa.sim import FloatArray

NOT_DRAWN = ("stages", "items")
"""The tables that no figure needs; they are the largest."""


@dataclass(frozen=True)
class DrawnRun:
    """What is kept of a run: no journal, and the tables only if it is drawn. `load`: the load's origin."""

    scenario: Scenario
    summary: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    accuracies: Mapping[str, Mapping[str, float]]
    starts_at: datetime | None
    load: Mapping[str, Any]
    entries: tuple[Entry, ...] = ()
    loss: str = ""

    @classmethod
    def of(cls, run: Run, drawn: bool) -> DrawnRun:
        """The kept part of a run."""
        drawn = drawn and has_records(run)
        tables = {name: table for name, table in run.tables.items() if name not in NOT_DRAWN} if drawn else {}
        load = {"name": run.trace.name, "source": run.trace.source, "sha256": run.trace.sha256}
        return cls(run.scenario, run.summary, tables, run.accuracies, run.starts_at, load)

    @property
    def latencies(self) -> FloatArray:
        """The latencies of completed requests, if the run is drawn."""
        return latencies_of(self.tables)


def beside(groups: Sequence[PolicyRuns], others: Sequence[PolicyRuns], name: str) -> list[PolicyRuns]:
    """The groups, and beside them others, whose labels get a name."""
    named = (
        replace(group, label=f"{group.label} ({name})", place=place) for place, group in enumerate(others, len(groups))
    )
    return [*groups, *named]


def plain(plots: Sequence[Plot], prefix: str = "") -> list[dict[str, Any]]:
    """Plots as the page takes them, JSON-able."""
    return [
        {
            "name": f"{prefix}{plot.name}",
            "title": plot.title,
            "note": plot.note,
            "words": plot.in_words,
            "spec": plot.spec,
            "least_width": plot.least_width,
        }
        for plot in plots
    ]
