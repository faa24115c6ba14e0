"""Published figures compared with ours: every cell with its difference, and the overall agreement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from ipa.studies.many.study.findings import LOST, Findings
from ipa.studies.many.study.schema import PublishedFigures, PublishedFile

TIE_COST = 0.02
"""Published costs are tied if they differ by less than this share of the larger one."""

TIE_PAS = 0.5
"""Published PAS are tied if they differ by less than this."""


@dataclass(frozen=True)
class ComparedCell:
    """A published cell and ours, whose figures are means over the seeds."""

    pipeline: str
    setting: str
    workload: str
    system: str
    published: PublishedFigures
    ours: PublishedFigures

    @property
    def cost_error(self) -> float:
        """Relative error of the cost."""
        return self.ours.cores / self.published.cores - 1.0

    @property
    def pas_error(self) -> float:
        """Error of the PAS, in points."""
        return self.ours.pas - self.published.pas


@dataclass(frozen=True)
class PublishedScore:
    """The agreement of some cells: mean absolute errors; and in `rows_in_order` of `rows` workloads, all systems are in
    the published order by cost and by PAS."""

    cells: int
    cost_error: float
    pas_error: float
    rows: int
    rows_in_order: int


def compared(findings: Findings, published: PublishedFile) -> Iterator[ComparedCell]:
    """Every published cell that the study has, in each of its settings."""
    for setting, workload in findings.places():
        for system, figures in published.cells.get(findings.pipeline, {}).get(workload, {}).items():
            cell = findings.cell(setting, workload, system)
            if cell is not None:
                own = PublishedFigures(
                    cores=cell.mean("planned_cost_mean_cores"),
                    pas=cell.mean("planned_pas_mean"),
                    lost=cell.mean(LOST),
                    violated_seconds_percent=cell.mean("sla_violation_seconds_rate", 100.0),
                )
                yield ComparedCell(findings.pipeline, setting, workload, system, figures, own)


def score(cells: Sequence[ComparedCell]) -> PublishedScore | None:
    """The score of cells of one setting; None without cells."""
    if not cells:
        return None
    rows: dict[tuple[str, str], list[ComparedCell]] = {}
    for cell in cells:
        rows.setdefault((cell.pipeline, cell.workload), []).append(cell)
    return PublishedScore(
        cells=len(cells),
        cost_error=fmean(abs(cell.cost_error) for cell in cells),
        pas_error=fmean(abs(cell.pas_error) for cell in cells),
        rows=len(rows),
        rows_in_order=sum(not out_of_order(row) for row in rows.values()),
    )


def out_of_order(row: Sequence[ComparedCell]) -> list[tuple[str, str, str]]:
    """The pairs of a row that are not in the published order: (figure, one system, the other). Ties do not count."""
    wrong = []
    for cell, beside in combinations(row, 2):
        costs = cell.published.cores - beside.published.cores
        is_tie = abs(costs) < TIE_COST * max(cell.published.cores, beside.published.cores)
        if not is_tie and costs * (cell.ours.cores - beside.ours.cores) <= 0.0:
            wrong.append(("cost", cell.system, beside.system))
        pas = cell.published.pas - beside.published.pas
        if abs(pas) >= TIE_PAS and pas * (cell.ours.pas - beside.ours.pas) <= 0.0:
            wrong.append(("PAS", cell.system, beside.system))
    return wrong


def scores(cells: Sequence[ComparedCell], file: PublishedFile | None) -> dict[str, PublishedScore | None]:
    """The scores of the cells of a setting: of all; of those on workloads used for calibration; of the others (test);
    and of the test without the cells on which a parameter was fitted, None if there are no such cells."""
    if file is None:
        return dict.fromkeys(("all", "calibrated", "test", "test_unfitted"))
    test = [cell for cell in cells if cell.workload not in file.calibrated_on]
    free = [cell for cell in test if cell.system not in file.fitted_on.get(cell.pipeline, {}).get(cell.workload, ())]
    return {
        "all": score(cells),
        "calibrated": score([cell for cell in cells if cell.workload in file.calibrated_on]),
        "test": score(test),
        "test_unfitted": score(free) if len(free) < len(test) else None,
    }
