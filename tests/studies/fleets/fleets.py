"""Fleets for tests, small enough to run in a blink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipa.studies import Run
from ipa.studies.fleets import Fleet

WINDOW = "0:240"

PROD: Mapping[str, Any] = {"name": "prod", "pipeline": "video", "trace": "bursty", "policy": "ipa", "window": WINDOW}
RESEARCH: Mapping[str, Any] = {**PROD, "name": "research", "trace": "fluctuating", "seed": 2}


def fleet(limit_cores: int, *pipelines: Mapping[str, Any], **values: Any) -> Fleet:
    """A fleet of these pipelines, by default of two."""
    data = {"limit_cores": limit_cores, "pipelines": [dict(each) for each in pipelines or (PROD, RESEARCH)], **values}
    return Fleet.model_validate(data)


def same_tables(run: Run, other: Run) -> bool:
    """Whether all tables and summaries of two runs are the same."""
    mine, others = run.tables, other.tables
    figures = [{k: v for k, v in each.summary.items() if k not in ("wall_s", "engine")} for each in (run, other)]
    return figures[0] == figures[1] and all(
        mine[name].to_csv() == others[name].to_csv() for name in ("requests", "stages", "decisions", "replicas")
    )
