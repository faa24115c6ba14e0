"""All findings of a study on all its pipelines, and the answers on its systems and sweeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING, Any

from ipa.studies.many.answers import Answers, Recommendation, answer, demand_of
from ipa.studies.many.study import decision_times, published
from ipa.studies.many.study.findings import Failure, Findings, StudyCell
from ipa.studies.many.study.headline import Match
from ipa.studies.many.study.plan import StudyPlan
from ipa.studies.many.study.published import ComparedCell, PublishedScore
from ipa.studies.many.study.schema import PublishedPoint

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class StudyFindings:
    """The findings of each pipeline; the matches of the headline and the published cells of all; decision times.

    `failures`: the runs that failed. `late_at_most`: the share of the requests of any hour that may be late or lost
    with a recommended system; None: as its goal says, or 1 %. A pipeline whose systems have all failed has no findings.
    """

    plan: StudyPlan
    findings: tuple[Findings, ...]
    matches: tuple[Match, ...]
    compared: tuple[ComparedCell, ...]
    timings: tuple[decision_times.Timing, ...]
    failures: tuple[Failure, ...]
    late_at_most: float | None = field(default=None, kw_only=True)

    def recommendations(self) -> Iterator[tuple[str, str, Recommendation]]:
        """Pipeline, setting, and which system to take there over all loads, if there are several."""
        for findings in self.findings:
            for setting in self.full_settings:
                answers = of_systems(findings, setting, self.late_at_most)
                recommendation = None if answers is None else answers.recommend()
                if recommendation is not None:
                    yield findings.pipeline, setting, recommendation

    def scores(self, setting: str) -> dict[str, PublishedScore | None]:
        """How well the published cells agree in a setting."""
        return published.scores([cell for cell in self.compared if cell.setting == setting], self.plan.published)

    def published_points(self, pipeline: str, sweep: str) -> Mapping[str, Mapping[str, PublishedPoint]]:
        """The published figures of a sweep: workload -> point -> figures."""
        by_sweep = self.plan.published.points if self.plan.published else {}
        return by_sweep.get(sweep, {}).get(pipeline, {})

    @property
    def settings(self) -> list[str]:
        """The settings of all pipelines, in order."""
        return list(dict.fromkeys(name for findings in self.findings for name in findings.study.settings))

    @property
    def full_settings(self) -> list[str]:
        """The settings with all systems; others appear only in tables of the published cells."""
        everywhere = (item for findings in self.findings for item in findings.study.settings.items())
        partial = {name for name, setting in everywhere if setting.systems is not None}
        return [name for name in self.settings if name not in partial]

    @property
    def systems(self) -> list[str]:
        """The systems of all pipelines, in order."""
        return list(dict.fromkeys(name for findings in self.findings for name in findings.systems))

    @property
    def swept_settings(self) -> list[str]:
        """The settings in which sweeps were run, which the headline needs."""
        swept = {cell.setting for findings in self.findings for cell in findings.cells if cell.point}
        return [name for name in self.settings if name in swept]

    def of(self, pipeline: str) -> Findings:
        """The findings of a pipeline."""
        return next(findings for findings in self.findings if findings.pipeline == pipeline)

    def setting_title(self, setting: str) -> str:
        """A setting's name for people."""
        return next(f.study.settings[setting].title for f in self.findings if setting in f.study.settings) or setting

    def title(self, pipeline: str, name: str) -> str:
        """The name for people of a system or a sweep of a pipeline."""
        return self.of(pipeline).title(name)

    def system_title(self, cell: ComparedCell) -> str:
        """The name for people of a published cell's system."""
        return self.title(cell.pipeline, cell.system)


def of_systems(findings: Findings, setting: str, late_at_most: float | None = None) -> Answers | None:
    """The answers on the systems of a setting, over all loads; None for a single system."""
    cells = [cell for cell in findings.cells if cell.setting == setting and not cell.point]
    if len({cell.system for cell in cells}) < 2:
        return None
    rows = [
        {"workload": cell.workload, "system": findings.plain_title(cell.system), **row}
        for cell in cells
        for row in _runs(cell)
    ]
    title = f"{findings.pipeline}: systems"
    demand = demand_of((cell.scenario for cell in cells), late_at_most)
    return answer(_table(rows), _keys(cells, ("system",)), title=title, demand=demand)


def of_sweeps(findings: Findings, setting: str, late_at_most: float | None = None) -> Iterator[tuple[str, Answers]]:
    """The answers on each sweep of more than one point run in a setting, by its varied keys or named points, over all
    loads."""
    for name, sweep in findings.study.sweeps.items():
        cells = [cell for cell in findings.cells if (cell.setting, cell.system) == (setting, name)]
        if len({cell.point for cell in cells}) > 1:
            varied = tuple(key for key, values in sweep.vary.items() if len(values) > 1) or ("point",)
            rows = [
                {
                    "workload": cell.workload,
                    "point": cell.point,
                    **{key: _value(cell, key) for key in sweep.vary},
                    **row,
                }
                for cell in cells
                for row in _runs(cell)
            ]
            title = f"{findings.pipeline}: {findings.title(name)}"
            demand = demand_of((cell.scenario for cell in cells), late_at_most)
            yield name, answer(_table(rows), _keys(cells, varied), title=title, demand=demand)


def _keys(cells: list[StudyCell], keys: tuple[str, ...]) -> tuple[str, ...]:
    return (*keys, "workload") if len({cell.workload for cell in cells}) > 1 else keys


def _runs(cell: StudyCell) -> Iterator[dict[str, Any]]:
    for seed, outcome in cell.outcomes.items():
        yield {
            "seed": seed,
            **{key: nan if value is None else value for key, value in outcome.summary.items() if key != "seed"},
        }


def _value(cell: StudyCell, key: str) -> Any:
    """The value of a dotted key in a cell's scenario."""
    value: Any = cell.scenario.as_dict()
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows)
