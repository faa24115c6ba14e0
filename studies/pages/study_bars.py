"""Bars side by side: a row for each figure, a group for each workload, a bar for each system or point of a sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from ipa.studies.many.study import LOST, Cell, Findings, Found
from ipa.studies.pages.colours import SLA_COLOUR, TEXT, colour, faded
from ipa.studies.pages.panels import framed
from ipa.studies.pages.plots import Plot, Spec, axis, numbers, plot_element

PANEL, GAP, BOTTOM = 190, 26, 40


class Row(NamedTuple):
    """A figure of the bars, its factor, the figure of their small ticks (empty: none), and what is published of it by
    workload and bar."""

    title: str
    key: str
    factor: float = 1.0
    tick: str = ""
    published: Mapping[tuple[str, str], float] = {}


class Series(NamedTuple):
    """A bar of every group: how it looks, and its cells."""

    look: Look
    cells: Sequence[Cell]


def bars(rows: Sequence[Row], workloads: Sequence[str], series: Sequence[Series], top: int) -> tuple[list[Spec], Spec]:
    """The traces and the layout; `top` is the room of the legend [pixels]."""
    width = len(series) + 1.2
    place_of = {
        (workload, each.look.name): group * width + place
        for group, workload in enumerate(workloads)
        for place, each in enumerate(series)
    }
    inner = len(rows) * PANEL + (len(rows) - 1) * GAP
    axes: Spec = {
        "xaxis": axis(
            tickvals=[group * width + (len(series) - 1) / 2 for group in range(len(workloads))],
            ticktext=list(workloads),
            range=[-0.9, len(workloads) * width - 0.3],
            ticks="",
            showgrid=False,
            anchor=f"y{len(rows)}" if len(rows) > 1 else "y",
        )
    }
    traces: list[Spec] = []
    first_published = next((number for number, row in enumerate(rows) if row.published), None)
    for number, row in enumerate(rows):
        reference = "" if number == 0 else str(number + 1)
        upper = 1.0 - number * (PANEL + GAP) / inner
        axes[f"yaxis{reference}"] = axis(
            row.title, domain=[max(upper - PANEL / inner, 0.0), upper], rangemode="tozero", anchor="x"
        )
        for look, cells in series:
            if cells:
                x = [place_of[cell.workload, look.name] for cell in cells]
                traces += _bars(cells, x, look, row, f"y{reference}", number == 0)
        if row.published:
            traces.append(_published(row, place_of, f"y{reference}", number == first_published))
    return traces, framed(inner, top, BOTTOM, bargap=0.1, barmode="overlay", **axes)


def _bars(cells: Sequence[Cell], x: list[float], look: Look, row: Row, y_axis: str, is_first: bool) -> list[Spec]:
    values = [cell.estimate(row.key, row.factor) for cell in cells]
    drawn: Spec = {
        "type": "bar",
        "x": x,
        "y": numbers((float("nan") if value is None else value.mean for value in values), 4),
        "width": 0.86,
        "name": look.title,
        "legendgroup": look.legend,
        "showlegend": is_first,
        "marker": {"color": faded(look.colour, 0.75), "line": {"color": look.colour, "width": 1}},
        "customdata": [cell.workload for cell in cells],
        "hovertemplate": f"<b>{look.title}</b>, %{{customdata}}: %{{y:.3~f}}<extra></extra>",
        "yaxis": y_axis,
    }
    if any(value is not None and value.has_interval for value in values):
        ends = [(0.0, 0.0) if value is None else (value.mean - value.low, value.high - value.mean) for value in values]
        drawn["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": numbers((above for _, above in ends), 4),
            "arrayminus": numbers((below for below, _ in ends), 4),
            "color": TEXT,
            "thickness": 1,
            "width": 2,
        }
    return [drawn, _ticks(cells, x, look, row, y_axis)] if row.tick else [drawn]


def _ticks(cells: Sequence[Cell], x: list[float], look: Look, row: Row, y_axis: str) -> Spec:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": numbers((cell.mean(row.tick, row.factor) for cell in cells), 4),
        "marker": {"symbol": "line-ew", "size": 11, "line": {"color": TEXT, "width": 2}},
        "name": "planned; seconds",
        "legendgroup": "ticks",
        "showlegend": False,
        "hovertemplate": f"{look.title}: %{{y:.3~f}}<extra></extra>",
        "yaxis": y_axis,
    }


def _published(row: Row, place_of: Mapping[tuple[str, str], float], y_axis: str, is_first: bool) -> Spec:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [place_of[name] for name in row.published],
        "y": list(row.published.values()),
        "marker": {"symbol": "diamond-open", "size": 9, "color": SLA_COLOUR, "line": {"width": 1.8}},
        "name": "published",
        "legendgroup": "published",
        "showlegend": is_first,
        "hovertemplate": "published: %{y:,.2~f}<extra></extra>",
        "yaxis": y_axis,
    }


# ---- the means of a pipeline's systems, or of a sweep's named points, as bars ----


_PUBLISHED = " Red diamonds: published{}."
_TICKS = (
    " Ticks: planned cost, planned PAS, and the share of seconds whose p99 was above the SLA. Bars have 95 % intervals "
    "over seeds."
)


def means(found: Found, findings: Findings, styles: Looks, setting: str) -> Figure:
    """Bars of cost, accuracy and violations, one group per workload, with published figures beside them."""
    workloads = findings.study.workloads
    series = [
        Series(
            styles[system],
            [cell for workload in workloads if (cell := findings.cell(setting, workload, system))],
        )
        for system in findings.systems
    ]
    cells = [each for each in found.compared if (each.pipeline, each.setting) == (findings.pipeline, setting)]
    costs = {(each.workload, each.system): each.published.cores for each in cells}
    accuracies = {(each.workload, each.system): each.published.pas for each in cells}
    traces, layout = bars(
        (
            Row("cost (cores)", "cost_mean_cores", 1.0, "planned_cost_mean_cores", costs),
            Row("PAS (x 100)", "pas_mean", 1.0, "planned_pas_mean", accuracies),
            Row("SLA violations (%)", "sla_violation_rate", 100.0, "sla_violation_seconds_rate"),
        ),
        workloads,
        series,
        top=70,
    )
    return Figure(
        f"{findings.pipeline}-means-{setting}",
        "Means",
        "Bars: the cost of what existed, the PAS of what was served, the share of requests that violated the SLA."
        + _TICKS
        + (_PUBLISHED.format(", to compare with the ticks") if cells else ""),
        traces,
        layout,
        setting=setting,
    )


def named_points(found: Found, findings: Findings, setting: str) -> Iterator[Figure]:
    """Bars of cost, accuracy and requests lost, a bar for each point of the sweeps that name theirs."""
    workloads = findings.study.workloads
    for name, sweep in findings.study.sweeps.items():
        points = {
            point: [cell for each in workloads if (cell := findings.cell(setting, each, name, point))]
            for point in sweep.points
        }
        if not any(points.values()):
            continue
        styles = looks([(point, point) for point in points])
        lost = {
            (workload, point): figures.lost
            for workload, of in found.published_points(findings.pipeline, name).items()
            for point, figures in of.items()
            if setting == found.settings[0]
        }
        traces, layout = bars(
            (
                Row("cost (cores)", "cost_mean_cores", 1.0, "planned_cost_mean_cores"),
                Row("PAS (x 100)", "pas_mean", 1.0, "planned_pas_mean"),
                Row("SLA violations (%)", "sla_violation_rate", 100.0, "sla_violation_seconds_rate"),
                Row("dropped or failed", LOST, 1.0, "", lost),
            ),
            workloads,
            [Series(styles[point], cells) for point, cells in points.items()],
            top=70,
        )
        yield Figure(
            f"{findings.pipeline}-sweep-{name}-{setting}",
            findings.title(name),
            f"{findings.title(sweep.of)} with each of these: the cost of what existed, the PAS of what was served, the "
            "share of requests that violated the SLA, and the number of those that were dropped or failed."
            + _TICKS
            + (_PUBLISHED.format("") if lost else ""),
            traces,
            layout,
            setting=setting,
        )


# ---- parts that the figures of a study's report share ----


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
"""Beside its colour a system's dash and symbol in every figure, by its place in the study; no two systems share a dash
or a symbol, so that a print without colour tells them apart."""


@dataclass(frozen=True)
class Look:
    """How a system is drawn; `title` is safe in HTML."""

    name: str
    title: str
    colour: str
    dash: str
    symbol: str
    width: float

    @property
    def legend(self) -> str:
        """Its group in a legend, beside groups of ours such as `load`."""
        return f"system {self.name}"


Looks = dict[str, Look]
"""A look a system, by its name."""


def looks(systems: Sequence[tuple[str, str]]) -> Looks:
    """The looks of systems, given as names and titles; the first is the study's own, drawn thicker."""
    return {
        name: Look(
            name,
            escape(title, quote=False),
            colour(place),
            DASHES[place % len(DASHES)],
            SYMBOLS[place % len(SYMBOLS)],
            2.6 if place == 0 else 1.6,
        )
        for place, (name, title) in enumerate(systems)
    }


@dataclass(frozen=True)
class Figure(Plot):
    """A plot of the page; `setting` and `workload`: for which choice of the page it is shown, empty: for all."""

    setting: str = ""
    workload: str = ""

    def html(self) -> str:
        """The figure's element; the page draws it when it comes into view."""
        choices = {"setting": self.setting, "workload": self.workload}
        shown_for = "".join(f' data-{key}="{escape(value)}"' for key, value in choices.items() if value)
        return (
            f'<div class="figure"{shown_for}>\n<h3>{self.heading}</h3>\n<p class="muted">{self.reading}</p>\n'
            f"{plot_element(self.name, self.heading, self.traces, self.layout, self.least_width)}</div>\n"
        )
