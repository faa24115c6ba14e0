"""The options of a study, declared once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ipa.studies.scenario import option


@dataclass(frozen=True)
class Options:
    """The options of a study; None: as its file says. Only the study of loads has `draw_seed` and `azure`."""

    pipelines: Sequence[str] = option((), "Run only this pipeline of the study. Repeatable.", flag="--pipeline")
    seeds: int | None = option(
        None,
        "Runs of each system on each load, with seeds from 1 on; with `loads`: loads of each family. Default: as in "
        "the study file; 5 for paper, 1 for loads.",
        least=1,
    )
    draw_seed: int | None = option(None, "With `loads`: seed that draws the loads. Default: 1.", least=0)
    azure: Path | None = option(
        None,
        "With `loads`: file of Azure's trace of requests to language models (docs/which-policy.md).",
        exists=True,
    )
