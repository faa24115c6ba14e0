"""What the runs of a study say of its systems and of its sweeps: winners, fronts, which key matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import nan
from typing import TYPE_CHECKING, Any

from ipa.studies.many.answers import Answers, answer
from ipa.studies.many.study.findings import Cell, Findings

if TYPE_CHECKING:
    import pandas as pd


def of_systems(findings: Findings, setting: str) -> Answers | None:
    """The systems of a setting, over all loads; None of a single one."""
    cells = [cell for cell in findings.cells if cell.setting == setting and not cell.point]
    if len({cell.system for cell in cells}) < 2:
        return None
    rows = [
        {"workload": cell.workload, "system": findings.title(cell.system), **row}
        for cell in cells
        for row in _runs(cell)
    ]
    return answer(_table(rows), _keys(cells, ("system",)), title=f"{findings.pipeline}: systems")


def of_sweeps(findings: Findings, setting: str) -> Iterator[tuple[str, Answers]]:
    """The sweeps that were run in a setting, each by the keys that it varies or by its named points, over all
    loads; none of one point."""
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
            yield name, answer(_table(rows), _keys(cells, varied), title=f"{findings.pipeline}: {findings.title(name)}")


def _keys(cells: list[Cell], keys: tuple[str, ...]) -> tuple[str, ...]:
    return (*keys, "workload") if len({cell.workload for cell in cells}) > 1 else keys


def _runs(cell: Cell) -> Iterator[dict[str, Any]]:
    for seed, outcome in cell.outcomes.items():
        yield {
            "seed": seed,
            **{key: nan if value is None else value for key, value in outcome.summary.items() if key != "seed"},
        }


def _value(cell: Cell, key: str) -> Any:
    """What a run's scenario has for a dotted key."""
    value: Any = cell.scenario.as_dict()
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows)
