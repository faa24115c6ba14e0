"""Everything a study has found, on all its pipelines: what tables, pages and summaries are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ipa.studies.many.study import decision_times, published
from ipa.studies.many.study.failures import Failure
from ipa.studies.many.study.findings import Findings
from ipa.studies.many.study.headline import Match
from ipa.studies.many.study.plan import Plan
from ipa.studies.many.study.published import Compared, Score
from ipa.studies.many.study.published_file import PublishedPoint


@dataclass(frozen=True)
class Found:
    """The findings of each pipeline; the matches of the headline and the published cells of all; decision times.

    `failures`: the runs that failed. Of a pipeline all of whose systems have failed there are no findings.
    """

    plan: Plan
    findings: tuple[Findings, ...]
    matches: tuple[Match, ...]
    compared: tuple[Compared, ...]
    timings: tuple[decision_times.Timing, ...]
    failures: tuple[Failure, ...]

    def scores(self, setting: str) -> dict[str, Score | None]:
        """How well the published cells agree in a setting."""
        return published.scores([each for each in self.compared if each.setting == setting], self.plan.published)

    def published_points(self, pipeline: str, sweep: str) -> Mapping[str, Mapping[str, PublishedPoint]]:
        """What is published of a sweep: workload -> point -> figures."""
        given = self.plan.published.points if self.plan.published else {}
        return given.get(sweep, {}).get(pipeline, {})

    @property
    def settings(self) -> list[str]:
        """The settings of all pipelines, in order."""
        return list(dict.fromkeys(name for findings in self.findings for name in findings.study.settings))

    @property
    def full_settings(self) -> list[str]:
        """The settings that have all systems; the others appear only in tables of the published cells."""
        everywhere = (item for each in self.findings for item in each.study.settings.items())
        partial = {name for name, setting in everywhere if setting.systems is not None}
        return [name for name in self.settings if name not in partial]

    @property
    def systems(self) -> list[str]:
        """The systems of all pipelines, in order."""
        return list(dict.fromkeys(name for findings in self.findings for name in findings.systems))

    @property
    def swept_settings(self) -> list[str]:
        """The settings in which sweeps were run, so that the headline has an answer."""
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

    def system_title(self, cell: Compared) -> str:
        """The name for people of a published cell's system."""
        return self.title(cell.pipeline, cell.system)
