"""What was lost as pictures, and as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from ipa.studies.many.losses import CAUSES, FIGURES, OBJECTIVE, Losses, OfPolicy
from ipa.studies.many.losses import sentences as wording
from ipa.studies.pages.colours import TEXT, colour, faded
from ipa.studies.pages.document import Cell, html_document, html_table, plot_section, what_was_run
from ipa.studies.pages.panels import grid
from ipa.studies.pages.plots import Plot, Spec, axis, layout, numbers
from ipa.studies.runs.results import write_text

MOST_IN_FULL = 9
"""Policies, or systems on several loads, with a section each: as many as the publication compares."""


def write(found: Losses, path: Path) -> None:
    """Write the page to a file, whole or not at all.

    Raises ScenarioError for a path that cannot be written, and where plotly is not installed.
    """
    write_text(render(found), path)


def render(found: Losses) -> str:
    """The page; the same losses give the same page, byte for byte. Raises ScenarioError where plotly is missing."""
    subtitle = f"{found.where}: what each policy lost against the oracle, and to what"
    several = len(found.policies) > 1
    parts = [plot_section(by_policy(found)), _overview(found)] if several else []
    parts += [_section(of, place, several) for place, of in enumerate(in_full(found))]
    return html_document("Losses explained", escape(subtitle), "".join(parts) + what_was_run(_facts(found)))


def plots(found: Losses) -> list[Plot]:
    """All plots of the page."""
    several = [by_policy(found)] if len(found.policies) > 1 else []
    return [*several, *(by_cause(of, place) for place, of in enumerate(in_full(found)))]


def in_full(found: Losses) -> tuple[OfPolicy, ...]:
    """Those of which more is shown than a row: all, unless there are many."""
    return found.policies if len(found.policies) <= MOST_IN_FULL else ()


def by_policy(found: Losses) -> Plot:
    """The objective lost by each policy, cause on cause."""
    policies = found.policies
    names = [escape(of.policy, quote=False) for of in policies]
    traces: list[Spec] = []
    for place, cause in enumerate(CAUSES):
        lost = [-sum(part.mean.mean for part in of.parts(OBJECTIVE) if part.cause == cause) for of in policies]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": wording.TITLES[cause],
                "y": names,
                "x": numbers(lost, 4),
                "marker": {"color": colour(place)},
                "hovertemplate": f"<b>%{{y}}</b><br>{wording.TITLES[cause]}: %{{x:.3~f}}<extra></extra>",
            }
        )
    return Plot(
        "policies",
        "What each policy lost",
        "The objective of the oracle less that of each policy, cause on cause; to the left of zero is what a policy "
        "loses less to than the oracle.",
        traces,
        layout(
            120 + 44 * len(policies),
            barmode="relative",
            bargap=0.35,
            xaxis=axis("objective lost", zeroline=True, zerolinecolor=TEXT),
            yaxis=axis(autorange="reversed", ticks="", showgrid=False),
            legend={"orientation": "h", "x": 0.0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        ),
    )


def by_cause(of: OfPolicy, place: int = 0) -> Plot:
    """What each cause adds to the difference between a policy and the oracle, by each figure."""
    causes = [cause for cause in CAUSES if cause not in of.kept]
    panels = grid(
        [f"{figure.title} ({figure.unit})" if figure.unit else figure.title for figure in FIGURES],
        [{"ticks": "", "showgrid": False} for _ in FIGURES],
        [{"zeroline": True, "zerolinecolor": TEXT} for _ in FIGURES],
        panel=210,
        top=8,
    )
    traces: list[Spec] = []
    for number, figure in enumerate(FIGURES):
        parts = of.parts(figure)
        means = [part.mean.mean for part in parts]
        traces.append(
            {
                "type": "bar",
                "name": figure.title,
                "x": causes,
                "y": numbers(means, 4),
                "width": 0.62,
                "marker": {
                    "color": [faded(colour(CAUSES.index(cause)), 0.8) for cause in causes],
                    "line": {"width": 0},
                },
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": numbers((part.most - part.mean.mean for part in parts), 4),
                    "arrayminus": numbers((part.mean.mean - part.least for part in parts), 4),
                    "color": TEXT,
                    "thickness": 1,
                    "width": 4,
                },
                "customdata": [[_titled(part.cause), part.least, part.most] for part in parts],
                "hovertemplate": (
                    "<b>%{customdata[0]}</b><br>%{y:+.3~f}, in any order from %{customdata[1]:+.3~f} to "
                    "%{customdata[2]:+.3~f}<extra></extra>"
                ),
                **panels.axes(number),
            }
        )
    return Plot(
        f"causes-{place}",
        f"What it lost to what: {escape(of.policy, quote=False)}",
        "Each bar is what a cause adds to the difference between the run and the oracle, run less oracle, as the mean "
        "over all orders in which causes can be removed; bars of a figure add up to its whole difference. Thin lines: "
        "from the least to the most in any order.",
        traces,
        {**panels.layout, "showlegend": False},
    )


def _section(of: OfPolicy, place: int, several: bool) -> str:
    said = [wording.headline(of), *wording.of_causes(of), *filter(None, [wording.recorded(of)])]
    items = "".join(f"<li>{escape(sentence)}</li>\n" for sentence in said)
    heading = f"In words: {escape(of.policy)}" if several else "In words"
    return (
        f"<section>\n<h2>{heading}</h2>\n<ul>\n{items}</ul>\n</section>\n"
        f"{plot_section(by_cause(of, place))}"
        f'<section>\n<h2>In figures</h2>\n<p class="muted">{wording.order(of)}</p>\n{_table(of)}</section>\n'
        f"<section>\n<h2>How each cause was removed</h2>\n{_removals(of)}</section>\n"
    )


def _overview(found: Losses) -> str:
    rows: list[Sequence[str | Cell]] = [
        [Cell(escape(of.policy), is_heading=True), *wording.overview_row(of)] for of in found.policies
    ]
    notes = [wording.NOT_ALONE] if any(of.kept for of in found.policies) else []
    notes += ["To see one in full, name it with --where."] if not in_full(found) else []
    said = f'<p class="muted">{escape(" ".join(notes))}</p>\n' if notes else ""
    units = ["in all", *("of it" for _ in CAUSES), *("run less oracle" for _ in FIGURES[1:])]
    columns = [
        Cell(title[:1].upper() + title[1:], unit) for title, unit in zip(wording.OVERVIEW_COLUMNS, units, strict=True)
    ]
    table = html_table(["Policy", *columns], rows, name="What each policy lost, and to what")
    return f"<section>\n<h2>All in figures</h2>\n{said}{table}</section>\n"


def _table(of: OfPolicy) -> str:
    units = ["run less oracle", *(figure.unit for figure in FIGURES[1:]), "objective", "objective"]
    columns: list[str | Cell] = ["Cause", *map(Cell, wording.COLUMNS, units)]
    causes = [cause for cause in CAUSES if cause not in of.kept]
    rows: list[Sequence[str | Cell]] = [
        [Cell(_titled(cause), is_heading=True), *wording.table_row(of, cause)] for cause in causes
    ]
    rows.append([Cell("Together", is_heading=True), *wording.difference_row(of)])
    return html_table(columns, rows, name=f"What {of.policy} lost to each cause")


def _removals(of: OfPolicy) -> str:
    rows: list[Sequence[str | Cell]] = [
        [Cell(_titled(cause), wording.MEANINGS[cause], is_heading=True), wording.removal(of, cause)] for cause in CAUSES
    ]
    return html_table(["Cause", "Removed by"], rows, css="words", name=f"How each cause was removed from {of.policy}")


def _titled(cause: str) -> str:
    return wording.TITLES[cause]


def _facts(found: Losses) -> dict[str, str]:
    seeds = dict.fromkeys(seed for of in found.policies for seed in of.seeds)
    return {
        "Pipeline": ", ".join(dict.fromkeys(of.scenario.pipeline for of in found.policies)),
        "Load": ", ".join(dict.fromkeys(of.scenario.trace for of in found.policies)),
        "Policies": "; ".join(of.policy for of in found.policies),
        "Seeds": ", ".join(map(str, seeds)),
        "Runs made": f"{sum(len(loss.left) for of in found.policies for loss in of.losses):,}",
    }
