"""A finished study for notebooks and programs: tables, named figures, and a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ipa.studies.displayed import Displayed
from ipa.studies.intervals import as_columns
from ipa.studies.many.answers import Answers
from ipa.studies.many.study import tables
from ipa.studies.many.study.conclusions import StudyFindings, of_sweeps, of_systems
from ipa.studies.many.study.findings import comparisons, sentence
from ipa.studies.many.study.summary import ran_on
from ipa.studies.runs import figures_of
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Study(Displayed, StudyFindings):
    """All findings of a study, and its folder."""

    PAGE = "study"

    folder: Path

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables of the folder's parquet files, by name; `runs` has one row per run."""
        return tables.tables(self.findings, self.matches, self.compared)

    @property
    def summary(self) -> pd.DataFrame:
        """One row per pipeline, setting, workload, system and point of a sweep: means over the seeds.

        `KEY_low` and `KEY_high` are the ends of the 95 % interval of KEY, NaN for a single seed.
        """
        import pandas as pd

        rows = []
        cells = [cell for findings in self.findings for cell in findings.cells]
        figures = figures_of([outcome.summary for cell in cells for outcome in cell.outcomes.values()])
        for cell in cells:
            row: dict[str, str | float] = dict(zip(tables.NAMES, cell.name, strict=True))
            for _, key, *_ in figures:
                row |= as_columns(key, cell.estimate(key))
            rows.append(row)
        return pd.DataFrame(rows)

    def answers(self, sweep: str = "", pipeline: str = "", setting: str = "") -> Answers:
        """The answers on a sweep, or on the systems: which wins, fronts, what each key does.

        They are for the first pipeline and setting unless others are named. Raises ScenarioError for names that the
        study does not have, and if there is only one system or point.
        """
        pipeline = pipeline or (self.findings[0].pipeline if self.findings else "")
        for findings in self.findings:
            if findings.pipeline == pipeline:
                where = setting or next(iter(findings.study.settings))
                of_systems_or_sweep = (
                    dict(of_sweeps(findings, where, self.late_at_most)).get(sweep)
                    if sweep
                    else of_systems(findings, where, self.late_at_most)
                )
                if of_systems_or_sweep is not None:
                    return of_systems_or_sweep
        whose = f"the sweep {sweep!r}" if sweep else "systems"
        raise ScenarioError(
            f"no two runs to compare: {whose} of {pipeline or 'any pipeline'}, setting {setting or 'first'}"
        )

    def __repr__(self) -> str:
        return "\n  ".join([f"Study {self.plan.name}", *self.lines()])

    def lines(self) -> Iterator[str]:
        """The runs and findings, in lines of text."""
        yield ran_on(self)
        yield f"folder {self.folder}"
        for findings in self.findings:
            for comparison in comparisons(findings):
                if comparison.one.setting == self.settings[0] and len(self.findings) == 1:
                    yield sentence(findings, comparison)
