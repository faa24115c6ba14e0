"""The options of a study, declared once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ipa.studies.scenario import option


@dataclass(frozen=True)
class StudyOptions:
    """The options of a study; None: as its file says."""

    pipelines: Sequence[str] = option((), "Run only this pipeline of the study. Repeatable.", flag="--pipeline")
    seeds: int | None = option(
        None,
        "Runs of each system on each load, with seeds from 1 on. Default: as in the study file: paper 5, loads 1.",
        least=1,
    )
