"""The headline: a table with one row per policy, and how the first policy compares with each of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ipa.studies.formatting import NONE, number, signed
from ipa.studies.intervals import LIMITS, Estimate, difference_of, paired_change_percent, paired_difference
from ipa.studies.many import Group, merged_latencies
from ipa.studies.pages.colours import colour, in_css
from ipa.studies.pages.table import Cell, html_table


@dataclass(frozen=True)
class Column:
    """A figure of the summary as it is shown: times a factor, rounded; `good`: which end is better, if any."""

    key: str
    title: str
    unit: str
    decimals: int
    good: str = ""
    factor: float = 1.0

    def estimate(self, group: Group) -> Estimate | None:
        """The figure of a policy, in the column's unit."""
        return group.estimate(self.key, self.factor)


_COLUMNS = (
    Column("pas_mean", "PAS", "x 100", 2, "high"),
    Column("cost_mean_cores", "Cost", "mean cores", 2, "low"),
    Column("sla_violation_rate", "SLA violations", "% of requests", 2, "low", 100.0),
    Column("goodput_rps", "Goodput", "rps", 2, "high"),
    Column("latency_p50_s", "Latency p50", "s", 3, "low"),
    Column("latency_p99_s", "Latency p99", "s", 3, "low"),
    Column("dropped", "Dropped", "requests", 1, "low"),
    Column("changes", "Changes", "configurations", 1),
)
_WHERE_ANY = (
    Column("failed", "Failed", "requests", 1, "low"),
    Column("unfinished", "Unfinished", "requests", 1, "low"),
    Column("infeasible_decisions", "Infeasible", "decisions", 1, "low"),
)


def headline(groups: Sequence[Group]) -> str:
    """The table as HTML: means with their intervals beneath; the best value of a column in bold."""
    columns = [*_COLUMNS, *(column for column in _WHERE_ANY if _any(column, groups))]
    cells = [_column(column, groups) for column in columns]
    return html_table(
        ["Policy", *(Cell(column.title, column.unit) for column in columns)],
        [[_name(group), *(of_column[row] for of_column in cells)] for row, group in enumerate(groups)],
        name="Figures of each policy",
    )


def _name(group: Group) -> Cell:
    return Cell(f'<i style="background:{in_css(colour(group.place))}"></i>{group.label}', is_heading=True)


def reading(groups: Sequence[Group]) -> str:
    """How to read the table."""
    seeds = {group.seeds for group in groups}
    most = max(len(group.runs) for group in groups)
    if most == 1:
        text = "One run per policy, so no intervals."
    elif len(seeds) == 1:
        text = f"Means over the seeds {_listed(groups[0].seeds)}, below them their intervals. {LIMITS}"
    else:
        text = f"Means over each policy's seeds, below them their intervals. {LIMITS}"
    text += f" {merged}" if (merged := merged_latencies(groups)) else ""
    return text + (" Bold: the best of a column." if len(groups) > 1 else "")


def comparisons(groups: Sequence[Group]) -> str:
    """The first policy against each of the others, paired by seed, as an HTML list; nothing for one policy."""
    if len(groups) < 2:
        return ""
    first, *others = groups
    items = "".join(
        f"<li><b>{first.label}</b> against <b>{other.label}</b>: {_against(first, other)}</li>\n" for other in others
    )
    paired = "Differences seed by seed, where both met the same arrivals and draws"
    return f'<p class="muted">{paired}:</p>\n<ul>\n{items}</ul>\n'


def _against(one: Group, other: Group) -> str:
    if not set(one.seeds) & set(other.seeds):
        return "no seed in common"
    pas = paired_difference(one.values("pas_mean"), other.values("pas_mean"))
    cost = paired_change_percent(one.values("cost_mean_cores"), other.values("cost_mean_cores"))
    rates = difference_of("sla_violation_rate", one.summaries, other.summaries, 100.0)
    return (
        f"{signed(pas, 2, ' PAS')}{' at' if pas else ','} {signed(cost, 1, ' % cost')} "
        f"and {signed(rates, 2, ' percentage points of SLA violations')}"
    )


def _column(column: Column, groups: Sequence[Group]) -> list[Cell]:
    """The cells of a column, top down."""
    found = [column.estimate(group) for group in groups]
    whole = column.decimals == 1 and all(len(group.runs) == 1 for group in groups)
    decimals = 0 if whole else column.decimals
    shown = [NONE if value is None else number(value.mean, decimals) for value in found]
    best = set(_best(column, found, shown))
    return [
        Cell(f"<b>{text}</b>" if text in best else text, _interval(value, decimals))
        for text, value in zip(shown, found, strict=True)
    ]


def _interval(value: Estimate | None, decimals: int) -> str:
    return "" if value is None else value.text(decimals).partition(" ")[2]


def _best(column: Column, found: Sequence[Estimate | None], shown: Sequence[str]) -> Iterator[str]:
    """The texts of the best values; none where there is nothing to choose."""
    known = [(value.mean, text) for value, text in zip(found, shown, strict=True) if value is not None]
    if not column.good or len({text for _, text in known}) < 2:
        return
    yield (max(known) if column.good == "high" else min(known))[1]


def _any(column: Column, groups: Sequence[Group]) -> bool:
    return any(value for group in groups for value in group.values(column.key).values())


def _listed(seeds: Sequence[int]) -> str:
    """`1, 2 and 3`; of many, the first and the last."""
    if len(seeds) > 6:
        return f"{seeds[0]} to {seeds[-1]} ({len(seeds)} of them)"
    *most, last = map(str, seeds)
    return f"{', '.join(most)} and {last}" if most else last
