"""The page of losses against the oracle, by cause."""

from __future__ import annotations

from ipa.studies.many.losses import CAUSES, FIGURES, OBJECTIVE, Losses, OfPolicy
from ipa.studies.many.losses import sentences as wording
from ipa.studies.pages.colours import TEXT, colour, faded
from ipa.studies.pages.document import Cell, Cells, Items, Page, Part, Section, Table
from ipa.studies.pages.panels import grid
from ipa.studies.pages.plots import Plot, Spec, axis, bars, error_bars, layout, numbers, rows, safe

MOST_IN_FULL = 9
"""The most policies, or systems on several loads, with a section each: as many as the publication compares."""


def in_full(found: Losses) -> tuple[OfPolicy, ...]:
    """The policies with a section of their own: all, unless there are more than `MOST_IN_FULL`."""
    return found.policies if len(found.policies) <= MOST_IN_FULL else ()


def page(found: Losses) -> Page:
    """The page; the same losses give the same page."""
    several = len(found.policies) > 1
    parts: list[Part] = [by_policy(found), _overview(found)] if several else []
    for place, of in enumerate(in_full(found)):
        parts += _sections(of, place, several)
    what = "each policy" if several else found.policies[0].policy
    subtitle = "The difference from the oracle, which knows the load beforehand, cause by cause"
    return Page(f"{found.where}: what {what} lost, and to what", [subtitle], parts, _facts(found))


def by_policy(found: Losses) -> Plot:
    """The objective lost by each policy, stacked by cause."""
    policies = found.policies
    names = [safe(of.policy) for of in policies]
    traces: list[Spec] = []
    for place, cause in enumerate(CAUSES):
        lost = [-sum(part.mean.mean for part in of.parts(OBJECTIVE) if part.cause == cause) for of in policies]
        hover = f"<b>%{{y}}</b><br>{wording.TITLES[cause]}: %{{x:.3~f}}<extra></extra>"
        traces.append(rows(numbers(lost, 4), names, wording.TITLES[cause], colour(place), hovertemplate=hover))
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
    """For each figure, what each cause adds to the difference between a policy and the oracle."""
    causes = [cause for cause in CAUSES if cause not in of.kept]
    panels, spec = grid(
        [f"{figure.title} ({figure.unit})" if figure.unit else figure.title for figure in FIGURES],
        [{"ticks": "", "showgrid": False} for _ in FIGURES],
        [{"zeroline": True, "zerolinecolor": TEXT} for _ in FIGURES],
        panel=210,
        top=8,
    )
    traces: list[Spec] = []
    for panel, figure in zip(panels, FIGURES, strict=True):
        parts = of.parts(figure)
        means, lows, highs = zip(*((part.mean.mean, part.least, part.most) for part in parts), strict=True)
        traces.append(
            bars(
                causes,
                numbers(means, 4),
                figure.title,
                [faded(colour(CAUSES.index(cause)), 0.8) for cause in causes],
                width=0.62,
                error_y=error_bars(means, lows, highs, TEXT, thickness=1, decimals=4),
                customdata=[[wording.TITLES[part.cause], part.least, part.most] for part in parts],
                hovertemplate=(
                    "<b>%{customdata[0]}</b><br>%{y:+.3~f}, in any order from %{customdata[1]:+.3~f} to "
                    "%{customdata[2]:+.3~f}<extra></extra>"
                ),
                **panel.axes,
            )
        )
    return Plot(
        f"causes-{place}",
        f"What it lost to what: {of.policy}",
        "Each bar is what a cause adds to the difference between the run and the oracle, run less oracle, as the mean "
        "over all orders in which causes can be removed; bars of a figure add up to its whole difference. Thin lines: "
        "from the least to the most in any order.",
        traces,
        {**spec, "showlegend": False},
    )


def _sections(of: OfPolicy, place: int, several: bool) -> list[Part]:
    said = [wording.headline(of), *wording.of_causes(of), *filter(None, [wording.recorded(of)])]
    whose = f": {of.policy}" if several else ""
    return [
        Section(f"In words{whose}", [Items(said)]),
        by_cause(of, place),
        Section("In figures", [_table(of)], _joined(wording.order(of), wording.intervals([of]))),
        Section("How each cause was removed", [_removals(of)]),
    ]


def _overview(found: Losses) -> Section:
    rows: list[Cells] = [[Cell(of.policy, is_heading=True), *wording.overview_row(of)] for of in found.policies]
    notes = [wording.NOT_ALONE] if any(of.kept for of in found.policies) else []
    notes += ["To see one in full, name it with --where."] if not in_full(found) else []
    units = ["in all", *("of it" for _ in CAUSES), *("run less oracle" for _ in FIGURES[1:])]
    columns = [
        Cell(title[:1].upper() + title[1:], unit) for title, unit in zip(wording.OVERVIEW_COLUMNS, units, strict=True)
    ]
    table = Table("What each policy lost, and to what", ["Policy", *columns], rows)
    return Section("All in figures", [table], _joined(*notes, wording.intervals(found.policies)))


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _table(of: OfPolicy) -> Table:
    units = ["run less oracle", *(figure.unit for figure in FIGURES[1:]), "objective", "objective"]
    columns: Cells = ["Cause", *map(Cell, wording.COLUMNS, units)]
    causes = [cause for cause in CAUSES if cause not in of.kept]
    rows: list[Cells] = [
        [Cell(wording.TITLES[cause], is_heading=True), *wording.table_row(of, cause)] for cause in causes
    ]
    rows.append([Cell("Together", is_heading=True), *wording.difference_row(of)])
    return Table(f"What {of.policy} lost to each cause", columns, rows)


def _removals(of: OfPolicy) -> Table:
    rows: list[Cells] = [
        [Cell(wording.TITLES[cause], wording.MEANINGS[cause], is_heading=True), wording.removal(of, cause)]
        for cause in CAUSES
    ]
    return Table(f"How each cause was removed from {of.policy}", ["Cause", "Removed by"], rows, "words")


def _facts(found: Losses) -> dict[str, str]:
    seeds = dict.fromkeys(seed for of in found.policies for seed in of.seeds)
    return {
        "Pipeline": ", ".join(dict.fromkeys(of.scenario.pipeline for of in found.policies)),
        "Load": ", ".join(dict.fromkeys(of.scenario.trace for of in found.policies)),
        "Policies": "; ".join(of.policy for of in found.policies),
        "Seeds": ", ".join(map(str, seeds)),
        "Runs made": f"{sum(len(loss.left) for of in found.policies for loss in of.losses):,}",
    }
