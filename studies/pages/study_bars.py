"""Grouped bars: a row for each figure, a group for each workload, a bar for each system or point of a sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ipa.studies.many.study import LOST, Findings, StudyCell, StudyFindings
from ipa.studies.pages import plots
from ipa.studies.pages.colours import SLA_COLOUR, TEXT, colour, faded
from ipa.studies.pages.panels import Panel, framed, placed
from ipa.studies.pages.plots import Plot, Spec, axis, interval_bars, numbers, points, safe

PANEL, GAP, TOP, BOTTOM = 190, 26, 70, 40


class BarRow(NamedTuple):
    """A figure of the bars, its factor, the figure of their small ticks (empty: none), and its published values by
    workload and bar."""

    title: str
    key: str
    factor: float = 1.0
    tick: str = ""
    published: Mapping[tuple[str, str], float] = {}


class BarSeries(NamedTuple):
    """One bar in every group: its look and its cells."""

    look: SystemLook
    cells: Sequence[StudyCell]


def bars(rows: Sequence[BarRow], workloads: Sequence[str], series: Sequence[BarSeries]) -> tuple[list[Spec], Spec]:
    """The traces and the layout: a panel for each row, over the same groups."""
    width = len(series) + 1.2
    place_of = {
        (workload, of_bar.look.name): group * width + place
        for group, workload in enumerate(workloads)
        for place, of_bar in enumerate(series)
    }
    panels, inner = placed([PANEL] * len(rows), GAP)
    axes: Spec = {
        "xaxis": axis(
            tickvals=[group * width + (len(series) - 1) / 2 for group in range(len(workloads))],
            ticktext=[safe(workload) for workload in workloads],
            range=[-0.9, len(workloads) * width - 0.3],
            ticks="",
            showgrid=False,
            anchor=f"y{panels[-1].reference}",
        )
    }
    traces: list[Spec] = []
    for panel, row in zip(panels, rows, strict=True):
        axes |= panel.y_alone(axis(row.title, rangemode="tozero"))
        for of_bar in series:
            if of_bar.cells:
                x = [place_of[cell.workload, of_bar.look.name] for cell in of_bar.cells]
                traces += _bars(of_bar, x, row, panel)
        if row.published:
            is_first = row is next(row for row in rows if row.published)
            traces.append(_published(row, place_of, panel, is_first))
    return traces, framed(inner, TOP, BOTTOM, bargap=0.1, barmode="overlay", **axes)


def _bars(series: BarSeries, x: Sequence[float], row: BarRow, panel: Panel) -> Iterator[Spec]:
    look, cells = series
    values = [cell.estimate(row.key, row.factor) for cell in cells]
    drawn = plots.bars(
        x,
        numbers((float("nan") if value is None else value.mean for value in values), 4),
        look.title,
        faded(look.colour, 0.75),
        width=0.86,
        legendgroup=look.legend,
        showlegend=not panel.reference,
        customdata=[safe(cell.workload) for cell in cells],
        hovertemplate=f"<b>{look.title}</b>, %{{customdata}}: %{{y:.3~f}}<extra></extra>",
        yaxis=f"y{panel.reference}",
    )
    drawn["marker"]["line"] = {"color": look.colour, "width": 1}
    if any(value is not None and value.has_interval for value in values):
        drawn["error_y"] = interval_bars(values, TEXT, thickness=1, width=2, decimals=4)
    yield drawn
    if row.tick:
        yield points(
            x,
            numbers((cell.mean(row.tick, row.factor) for cell in cells), 4),
            "planned; seconds",
            {"symbol": "line-ew", "size": 11, "line": {"color": TEXT, "width": 2}},
            legendgroup="ticks",
            showlegend=False,
            hovertemplate=f"{look.title}: %{{y:.3~f}}<extra></extra>",
            yaxis=f"y{panel.reference}",
        )


def _published(row: BarRow, place_of: Mapping[tuple[str, str], float], panel: Panel, is_first: bool) -> Spec:
    return points(
        [place_of[name] for name in row.published],
        row.published.values(),
        "published",
        {"symbol": "diamond-open", "size": 9, "color": SLA_COLOUR, "line": {"width": 1.8}},
        legendgroup="published",
        showlegend=is_first,
        hovertemplate="published: %{y:,.2~f}<extra></extra>",
        yaxis=f"y{panel.reference}",
    )


# ---- the means of a pipeline's systems, or of a sweep's named points, as bars ----


_PUBLISHED = " Red diamonds: published{}."
_TICKS = (
    " Ticks: planned cost, planned PAS, and the share of seconds whose p99 was above the SLA. Bars have 95 % intervals "
    "over seeds."
)


def _rows(costs: Mapping[tuple[str, str], float], accuracies: Mapping[tuple[str, str], float]) -> list[BarRow]:
    """Cost, accuracy and violations, with published values of the first two."""
    return [
        BarRow("cost (cores)", "cost_mean_cores", 1.0, "planned_cost_mean_cores", costs),
        BarRow("PAS (x 100)", "pas_mean", 1.0, "planned_pas_mean", accuracies),
        BarRow("SLA violations (%)", "sla_violation_rate", 100.0, "sla_violation_seconds_rate"),
    ]


def means(study: StudyFindings, findings: Findings, styles: Looks, setting: str) -> Plot:
    """Bars of cost, accuracy and violations, one group per workload, with the published values."""
    workloads = findings.study.workloads
    series = [
        BarSeries(styles[system], [cell for name in workloads if (cell := findings.cell(setting, name, system))])
        for system in findings.systems
    ]
    cells = [cell for cell in study.compared if (cell.pipeline, cell.setting) == (findings.pipeline, setting)]
    costs = {(cell.workload, cell.system): cell.published.cores for cell in cells}
    accuracies = {(cell.workload, cell.system): cell.published.pas for cell in cells}
    return Plot(
        f"{findings.pipeline}-means-{setting}",
        "Means",
        "Bars: the cost of what existed, the PAS of what was served, the share of requests that violated the SLA."
        + _TICKS
        + (_PUBLISHED.format(", to compare with the ticks") if cells else ""),
        *bars(_rows(costs, accuracies), workloads, series),
    )


def named_points(study: StudyFindings, findings: Findings, setting: str) -> Iterator[Plot]:
    """Bars of cost, accuracy and requests lost, a bar for each point of the sweeps with named points."""
    workloads = findings.study.workloads
    for name, sweep in findings.study.sweeps.items():
        cells = {
            point: [cell for workload in workloads if (cell := findings.cell(setting, workload, name, point))]
            for point in sweep.points
        }
        if not any(cells.values()):
            continue
        styles = looks(
            {point: next((cell.point_title for cell in of_point), point) for point, of_point in cells.items()}
        )
        lost = {
            (workload, point): figures.lost
            for workload, by_point in study.published_points(findings.pipeline, name).items()
            for point, figures in by_point.items()
            if setting == study.settings[0]
        }
        rows = [*_rows({}, {}), BarRow("dropped or failed", LOST, 1.0, "", lost)]
        yield Plot(
            f"{findings.pipeline}-sweep-{name}-{setting}",
            findings.title(name),
            f"{findings.title(sweep.of)} with each of these: the cost of what existed, the PAS of what was served, the "
            "share of requests that violated the SLA, and the number of those that were dropped or failed."
            + _TICKS
            + (_PUBLISHED.format("") if lost else ""),
            *bars(rows, workloads, [BarSeries(styles[point], of_point) for point, of_point in cells.items()]),
        )


# ---- how a system looks in every figure of a study ----


DASHES = (
    "solid",
    "9px,3px",
    "4px,2px",
    "9px,3px,2px,3px",
    "2px,2px",
    "2px,5px",
    "16px,4px",
    "7px,2px,2px,2px,2px,2px",
    "12px,3px,4px,3px",
    "24px,6px",
    "6px,6px",
    "20px,3px,2px,3px",
    "5px,2px,5px,6px",
    "14px,2px,2px,2px,2px,2px",
    "3px,1px",
    "10px,8px",
)
SYMBOLS = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "pentagon",
    "star",
    "triangle-down",
    "cross",
    "hexagon",
    "x",
    "triangle-left",
    "triangle-right",
    "hourglass",
    "bowtie",
    "hexagram",
    "diamond-tall",
)
"""A system's dash and symbol in every figure, by its place in the study. No two systems share one, so that prints
without colour are readable."""


@dataclass(frozen=True)
class SystemLook:
    """How a system is drawn; `title` is escaped for plotly."""

    name: str
    title: str
    colour: str
    dash: str
    symbol: str
    width: float

    @property
    def legend(self) -> str:
        """Its legend group, distinct from other groups such as `load`."""
        return f"system {self.name}"


Looks = Mapping[str, SystemLook]
"""System's name -> look."""


def looks(titles: Mapping[str, str]) -> Looks:
    """The looks of systems, given as name -> title; the first is the study's own, drawn thicker."""
    count = len(SYMBOLS)
    return {
        name: SystemLook(name, safe(title), colour(at), DASHES[at % count], SYMBOLS[at % count], 1.6 if at else 2.6)
        for at, (name, title) in enumerate(titles.items())
    }
