"""From rows to cells, and from cells to what they come to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from typing import NamedTuple

import numpy as np

from tests.studies.foresight.cases import BOUND, PIPELINES
from tests.studies.foresight.runs import Row

LEAST_GAP = 0.1
"""Of objective: where the oracle is no further ahead, a share says nothing."""
MOST_MORE = 0.1
"""By how many points more than the oracle's a system may violate to be one that keeps the SLA."""


SAME = 1e-9
"""By how much means of equal figures may differ."""


class Figures(NamedTuple):
    """The means of a system over the seeds of a cell."""

    objective: float
    pas: float
    cores: float
    violations: float
    changes: float
    p99_s: float


class Cell(NamedTuple):
    """One window on one pipeline: our figures, IPA's, the oracle's, and the best other causal system's."""

    pipeline: str
    window: str
    ours: Figures
    ipa: Figures
    bound: Figures
    best: Figures
    best_name: str

    @property
    def gap(self) -> float:
        """How far the oracle's objective is above the best other's."""
        return self.bound.objective - self.best.objective

    @property
    def closed(self) -> float:
        """(ours - best other) / (oracle - best other), in objective; NaN where the gap is below `LEAST_GAP`."""
        return (self.ours.objective - self.best.objective) / self.gap if self.gap >= LEAST_GAP else nan

    @property
    def is_won(self) -> bool:
        """Whether PAS is no lower than IPA's, cost no higher and violations at most 0.1 points higher, all at once."""
        ours, ipa = self.ours, self.ipa
        return ours.pas >= ipa.pas - SAME and ours.cores <= ipa.cores + SAME and ours.violations <= ipa.violations + 0.1


def cells(rows: Iterable[Row], ours: str) -> list[Cell]:
    """The cells of the rows. The best other is the one of the highest objective that violates no more than 0.1 points
    more than the oracle, or where there is none, the one that violates least."""
    found: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row.pipeline, row.window][row.system].append(row)
    made = []
    for (pipeline, window), systems in found.items():
        figures = {name: _figures(each) for name, each in systems.items()}
        if ours not in figures:
            continue
        bound = figures[BOUND]
        others = {name: each for name, each in figures.items() if name != BOUND and not name.startswith("foresight")}
        kept = {name: each for name, each in others.items() if each.violations <= bound.violations + MOST_MORE}
        if kept:
            best = max(kept, key=lambda name: kept[name].objective)
        else:
            best = min(others, key=lambda name: others[name].violations)
        made.append(Cell(pipeline, window, figures[ours], figures["ipa"], bound, others[best], best))
    return made


def _figures(rows: Sequence[Row]) -> Figures:
    return Figures(*(float(np.mean([getattr(row, name) for row in rows])) for name in Figures._fields))


def lines(found: Sequence[Cell]) -> list[str]:
    """The table of all cells, in Markdown."""
    text = [
        "| pipeline | window | best other | ours | oracle | closed % | IPA: cores, PAS, violations % | ours | oracle |",
        "|---|---|---|--:|--:|--:|---|---|---|",
    ]
    for cell in found:
        closed = "-" if cell.closed != cell.closed else f"{100 * cell.closed:.0f}"
        three = [
            f"{each.cores:.2f}, {each.pas:.2f}, {each.violations:.2f}" for each in (cell.ipa, cell.ours, cell.bound)
        ]
        text.append(
            f"| {cell.pipeline} | {cell.window} | {cell.best.objective:.2f} (`{cell.best_name}`) | "
            f"{cell.ours.objective:.2f} | {cell.bound.objective:.2f} | {closed} | {' | '.join(three)} |"
        )
    return text


def summary(found: Sequence[Cell]) -> list[str]:
    """What the cells come to, by pipeline and over all, in Markdown."""
    text = [
        (
            "| | cells | closed %, mean | of those | violations %, mean | highest | violates no more than IPA % | "
            "above every other % | or as high % | wins over IPA % | changes: IPA | ours |"
        ),
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    groups: Mapping[str, list[Cell]] = {
        **{name: [cell for cell in found if cell.pipeline == name] for name in PIPELINES},
        "all": list(found),
        "all but video": [cell for cell in found if cell.pipeline != "video"],
        f"all with a gap of {LEAST_GAP} or more": [cell for cell in found if cell.gap >= LEAST_GAP],
    }
    for name, group in groups.items():
        if not group:
            continue
        closed = [cell.closed for cell in group if cell.closed == cell.closed]
        text.append(
            f"| {name} | {len(group)} | {100 * np.mean(closed) if closed else nan:.0f} | {len(closed)} | "
            f"{np.mean([cell.ours.violations for cell in group]):.3f} | "
            f"{max(cell.ours.violations for cell in group):.2f} | "
            f"{_share(cell.ours.violations <= cell.ipa.violations for cell in group)} | "
            f"{_share(cell.ours.objective > cell.best.objective for cell in group)} | "
            f"{_share(cell.ours.objective >= cell.best.objective - SAME for cell in group)} | "
            f"{_share(cell.is_won for cell in group)} | "
            f"{np.mean([cell.ipa.changes for cell in group]):.0f} | "
            f"{np.mean([cell.ours.changes for cell in group]):.0f} |"
        )
    left_out = [f"{cell.pipeline} {cell.window}" for cell in found if cell.closed != cell.closed]
    return [
        *text,
        "",
        f"Left out of the closed share, as the gap is below {LEAST_GAP}: {', '.join(left_out) or 'none'}.",
    ]


def _share(those: Iterable[bool]) -> str:
    return f"{100 * np.mean(list(those)):.0f}"
