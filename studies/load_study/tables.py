"""The results by family, scale and world: the figures of every policy, and the best one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np

from ipa.studies.load_study.runs import BOUND, Row

OURS = "foresight"
MOST_MORE = 0.1
"""The most percentage points of late requests above the oracle's with which a policy counts as keeping the SLA."""
LEAST_GAP = 0.1
"""The least gap in objective between the oracle and the best other policy of which a share is meaningful."""


class Figures(NamedTuple):
    """The means of a policy over pipelines and draws; `most_late_percent`: that of the worst pipeline."""

    objective: float
    late_percent: float
    most_late_percent: float
    cores: float
    pas: float


@dataclass(frozen=True)
class Line:
    """A family at a scale in a world. `figures`: those of each policy; `best`: the best simple policy; `closed`: the
    mean over cells of the share of the gap between `best` and the oracle that ours closes, each at most 1 (NaN: no cell
    has a gap)."""

    world: str
    scale: float
    family: str
    figures: Mapping[str, Figures]
    best: str
    closed: float


def lines_of(rows: Sequence[Row]) -> list[Line]:
    """The lines of all rows, in their order."""
    groups: dict[tuple[str, float, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.cell.world, row.cell.scale, row.cell.family].append(row)
    return [_line(*key, group) for key, group in groups.items()]


def _line(world: str, scale: float, family: str, rows: Sequence[Row]) -> Line:
    by_policy: dict[str, list[Row]] = defaultdict(list)
    by_cell: dict[tuple[str, int], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        by_policy[row.cell.policy].append(row)
        by_cell[row.cell.pipeline, row.cell.draw][row.cell.policy] = row
    figures = {policy: _figures(each) for policy, each in by_policy.items()}
    simple = {policy: each for policy, each in figures.items() if policy not in (BOUND, OURS)}
    bound = figures.get(BOUND)
    best = _best({policy: (each.objective, each.late_percent) for policy, each in simple.items()}, bound)
    shares = [share for cell in by_cell.values() if (share := closed(cell)) == share]
    return Line(world, scale, family, figures, best, float(np.mean(shares)) if shares else nan)


def _figures(rows: Sequence[Row]) -> Figures:
    late: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        late[row.cell.pipeline].append(row.late_percent)
    means = {
        name: float(np.mean([getattr(row, name) for row in rows]))
        for name in ("objective", "late_percent", "cores", "pas")
    }
    return Figures(**means, most_late_percent=max(float(np.mean(each)) for each in late.values()))


def closed(cell: Mapping[str, Row]) -> float:
    """(ours - best other) / (oracle - best other), in objective, at most 1; NaN if the gap is below `LEAST_GAP`."""
    if BOUND not in cell or OURS not in cell:
        return nan
    others = {p: (row.objective, row.late_percent) for p, row in cell.items() if p not in (BOUND, OURS)}
    best = cell[_best(others, cell[BOUND])].objective
    gap = cell[BOUND].objective - best
    return min(1.0, (cell[OURS].objective - best) / gap) if gap >= LEAST_GAP else nan


def _best(others: Mapping[str, tuple[float, float]], bound: Row | Figures | None) -> str:
    """The policy of the highest objective among those with about as few late requests as the oracle; if there is none,
    the one with the fewest."""
    most_percent = MOST_MORE + (0.0 if bound is None else bound.late_percent)
    kept = [policy for policy, (_, late_percent) in others.items() if late_percent <= most_percent]
    return max(kept, key=lambda policy: others[policy][0]) if kept else min(others, key=lambda p: others[p][1])
