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


def in_full(losses: Losses) -> tuple[OfPolicy, ...]:
    """The policies with a section of their own: all, unless there are more than `MOST_IN_FULL`."""
    return losses.policies if len(losses.policies) <= MOST_IN_FULL else ()


def page(losses: Losses) -> Page:
    """The page; the same losses give the same page."""
    several = len(losses.policies) > 1
    parts: list[Part] = [by_policy(losses), _overview(losses)] if several else []
    for place, of_policy in enumerate(in_full(losses)):
        parts += _sections(of_policy, place, several)
    whom = "each policy" if several else losses.policies[0].policy
    subtitle = "The difference from the oracle, which knows the load beforehand, cause by cause"
    return Page(f"{losses.where}: what {whom} lost, and to what", [subtitle], parts, _facts(losses))


def by_policy(losses: Losses) -> Plot:
    """The objective lost by each policy, stacked by cause."""
    policies = losses.policies
    names = [safe(of_policy.policy) for of_policy in policies]
    traces: list[Spec] = []
    for place, cause in enumerate(CAUSES):
        lost = [
            -sum(part.mean.mean for part in of_policy.parts(OBJECTIVE) if part.cause == cause) for of_policy in policies
        ]
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


def by_cause(of_policy: OfPolicy, place: int = 0) -> Plot:
    """For each figure, what each cause adds to the difference between a policy and the oracle."""
    causes = [cause for cause in CAUSES if cause not in of_policy.kept]
    panels, spec = grid(
        [f"{figure.title} ({figure.unit})" if figure.unit else figure.title for figure in FIGURES],
        [{"ticks": "", "showgrid": False} for _ in FIGURES],
        [{"zeroline": True, "zerolinecolor": TEXT} for _ in FIGURES],
        panel=210,
        top=8,
    )
    traces: list[Spec] = []
    for panel, figure in zip(panels, FIGURES, strict=True):
        parts = of_policy.parts(figure)
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
        f"What it lost to what: {of_policy.policy}",
        "Each bar is what a cause adds to the difference between the run and the oracle, run less oracle, as the mean "
        "over all orders in which causes can be removed; bars of a figure add up to its whole difference. Thin lines: "
        "from the least to the most in any order.",
        traces,
        {**spec, "showlegend": False},
    )


def _sections(of_policy: OfPolicy, place: int, several: bool) -> list[Part]:
    sentences = [
        wording.headline(of_policy),
        *wording.of_causes(of_policy),
        *filter(None, [wording.recorded(of_policy)]),
    ]
    whose = f": {of_policy.policy}" if several else ""
    return [
        Section(f"In words{whose}", [Items(sentences)]),
        by_cause(of_policy, place),
        Section("In figures", [_table(of_policy)], _joined(wording.order(of_policy), wording.intervals([of_policy]))),
        Section("How each cause was removed", [_removals(of_policy)]),
    ]


def _overview(losses: Losses) -> Section:
    rows: list[Cells] = [
        [Cell(of_policy.policy, is_heading=True), *wording.overview_row(of_policy)] for of_policy in losses.policies
    ]
    notes = [wording.NOT_ALONE] if any(of_policy.kept for of_policy in losses.policies) else []
    notes += ["To see one in full, name it with --where."] if not in_full(losses) else []
    units = ["in all", *("of it" for _ in CAUSES), *("run less oracle" for _ in FIGURES[1:])]
    columns = [
        Cell(title[:1].upper() + title[1:], unit) for title, unit in zip(wording.OVERVIEW_COLUMNS, units, strict=True)
    ]
    table = Table("What each policy lost, and to what", ["Policy", *columns], rows)
    return Section("All in figures", [table], _joined(*notes, wording.intervals(losses.policies)))


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _table(of_policy: OfPolicy) -> Table:
    units = ["run less oracle", *(figure.unit for figure in FIGURES[1:]), "objective", "objective"]
    columns: Cells = ["Cause", *map(Cell, wording.COLUMNS, units)]
    causes = [cause for cause in CAUSES if cause not in of_policy.kept]
    rows: list[Cells] = [
        [Cell(wording.TITLES[cause], is_heading=True), *wording.table_row(of_policy, cause)] for cause in causes
    ]
    rows.append([Cell("Together", is_heading=True), *wording.difference_row(of_policy)])
    return Table(f"What {of_policy.policy} lost to each cause", columns, rows)


def _removals(of_policy: OfPolicy) -> Table:
    rows: list[Cells] = [
        [Cell(wording.TITLES[cause], wording.MEANINGS[cause], is_heading=True), wording.removal(of_policy, cause)]
        for cause in CAUSES
    ]
    return Table(f"How each cause was removed from {of_policy.policy}", ["Cause", "Removed by"], rows, "words")


def _facts(losses: Losses) -> dict[str, str]:
    seeds = dict.fromkeys(seed for of_policy in losses.policies for seed in of_policy.seeds)
    return {
        "Pipeline": ", ".join(dict.fromkeys(of_policy.scenario.pipeline for of_policy in losses.policies)),
        "Load": ", ".join(dict.fromkeys(of_policy.scenario.trace for of_policy in losses.policies)),
        "Policies": "; ".join(of_policy.policy for of_policy in losses.policies),
        "Seeds": ", ".join(map(str, seeds)),
        "Runs made": f"{sum(len(loss.left) for of_policy in losses.policies for loss in of_policy.losses):,}",
    }
