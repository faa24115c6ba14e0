"""The runs of a comparison, with what notebooks and programs want of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from ipa.studies import report
from ipa.studies.intervals import as_columns
from ipa.studies.runs import RunData
from ipa.studies.runs.results import read_runs, runs_table, write_text

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure


MERGED = ("latency_p50_s_merged", "latency_p99_s_merged")


@dataclass(frozen=True, repr=False)
class Comparison:
    """Finished runs on the same load, ordered by policy, then seed."""

    runs: tuple[RunData, ...]

    @property
    def policies(self) -> list[str]:
        """The policies, in order."""
        return list(self.by_policy)

    @property
    def by_policy(self) -> Mapping[str, dict[int, RunData]]:
        """Policy -> seed -> run."""
        found: dict[str, dict[int, RunData]] = {}
        for run in self.runs:
            found.setdefault(str(run.summary["policy"]), {})[int(run.summary["seed"])] = run
        return found

    @property
    def table(self) -> pd.DataFrame:
        """One row per run: its summary without the wall time, as in the file `runs.parquet`."""
        return runs_table(self.runs)

    @property
    def summary(self) -> pd.DataFrame:
        """One row per policy: the means over its seeds of PAS, cost, violations, latency, drops and changes.

        `KEY_low` and `KEY_high` are the ends of the 95 % interval of KEY, NaN for a single seed. `MERGED` are quantiles
        of the requests of all seeds together.
        """
        import pandas as pd

        rows = []
        for group in report.by_policy(self.runs):
            row: dict[str, float] = {}
            for _, key, *_ in report.FIGURES:
                row |= as_columns(key, group.estimate(key))
            merged = group.merged_latency_s((0.5, 0.99))
            row |= dict(zip(MERGED, (nan, nan) if merged is None else merged.tolist(), strict=True))
            rows.append(row)
        return pd.DataFrame(rows, index=pd.Index(self.policies, name="policy"))

    @property
    def title(self) -> str:
        """What was compared, in one line."""
        first = self.runs[0].summary
        return f"{', '.join(self.policies)} on {first['pipeline']}, {first['trace']}"

    def figures(self) -> dict[str, Figure]:
        """The figures of the report, by name, as plotly's own; raises as those of a run."""
        return report.figures(self.runs)

    def write_report(self, path: str | Path) -> None:
        """Write the report as one HTML page, whole or not at all.

        Raises ScenarioError for runs without records, for a path that cannot be written, and where
        plotly is not installed.
        """
        for run in self.runs:
            report.check_records(str(run.summary.get("records", "all")))
        write_text(report.render(self.runs, self.title), Path(path))

    def __repr__(self) -> str:
        groups = report.by_policy(self.runs)
        names = ["", *(group.policy for group in groups)]
        lines = [name.ljust(max(map(len, names))) for name in names]
        for figure in report.FIGURES:
            texts = [figure[0], *(report.cell(group, figure) for group in groups)]
            lines = [f"{line}  {text:>{max(map(len, texts))}}" for line, text in zip(lines, texts, strict=True)]
        return "\n  ".join([f"Comparison of {len(self.runs)} runs: {self.title}", *lines])

    def _repr_html_(self) -> str:
        return report.comparison_html(f"{self.title}: {len(self.runs)} runs", report.by_policy(self.runs))


def read_comparison(folder: str | Path) -> Comparison:
    """The comparison in a results folder; a run alone is one too. Raises ScenarioError as `read_runs`."""
    return Comparison(tuple(read_runs(folder)))
