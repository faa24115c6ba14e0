"""The report of a run or a comparison as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ipa.studies.formatting import NONE, number, signed
from ipa.studies.intervals import LIMITS, Estimate, difference_of, paired_change_percent, paired_difference
from ipa.studies.many import Comparison, Group, by_policy, merged_latencies
from ipa.studies.pages.cards import comparison_card, run_card
from ipa.studies.pages.clock import on_clock
from ipa.studies.pages.colours import colour, in_css
from ipa.studies.pages.decisions import Reasons, bands
from ipa.studies.pages.document import Cell, html_document, html_table, plot_section, what_was_run
from ipa.studies.pages.latencies import distribution, latency, violations
from ipa.studies.pages.plane import trade_off
from ipa.studies.pages.plots import Plot
from ipa.studies.pages.slowest import Passed, mean_latency, slowest
from ipa.studies.pages.timelines import cores, load
from ipa.studies.pages.verdicts import verdicts
from ipa.studies.runs import check_records
from ipa.studies.runs.results import write_text

if TYPE_CHECKING:
    from ipa.studies.runs import RunData


def render(runs: Sequence[RunData], title: str, facts: Mapping[str, str] | None = None) -> str:
    """The page for one or several finished runs on the same load; a policy with several seeds gets intervals.

    `facts` are further lines of "What was run" (versions, a hash). The same runs give the same page, byte for byte.
    Raises ScenarioError where there are no runs, they are on different loads, a policy has a seed twice, or plotly is
    not installed.
    """
    groups = by_policy(runs)
    top = f'{verdicts(groups)}<p class="muted">{reading(groups)}</p>\n{headline(groups)}{comparisons(groups)}'
    sections = "".join(map(plot_section, plots_of(groups)))
    return html_document(
        title,
        _subtitle(groups),
        f"<section>\n<h2>Headline</h2>\n{top}</section>\n{sections}{what_was_run(_facts(groups) | dict(facts or {}))}",
    )


def plots(result: Comparison | RunData) -> list[Plot]:
    """The plots of the page, in its order. Raises ScenarioError for runs that make no page."""
    return plots_of(by_policy(_drawable(result).runs))


def write(result: Comparison | RunData, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises ScenarioError for runs without records, for a path that cannot be written, and where plotly is not installed.
    """
    comparison = _drawable(result)
    write_text(render(comparison.runs, comparison.title), path)


def card(result: Comparison | RunData) -> str:
    """The comparison, or the one run, in a notebook."""
    if not isinstance(result, Comparison):
        return run_card(result)
    return comparison_card(f"{result.title}: {len(result.runs)} runs", by_policy(result.runs))


def _drawable(result: Comparison | RunData) -> Comparison:
    """The comparison, or that of one run alone. Raises ScenarioError for runs without records."""
    comparison = result if isinstance(result, Comparison) else Comparison((result,))
    for run in comparison.runs:
        check_records(str(run.summary.get("records", "all")))
    return comparison


def plots_of(groups: Sequence[Group]) -> list[Plot]:
    """All plots, in the order of the page."""
    summary = groups[0].runs[0].summary
    duration_s, sla_s = float(summary["duration_s"]), float(summary["sla_s"])
    starts_at = groups[0].runs[0].starts_at
    first, reasons = _first_seeds(groups), [Reasons(group) for group in groups]
    compared = [trade_off(groups)] if sum(len(group.runs) for group in groups) > 1 else []
    over_time, violated = latency(groups, duration_s, sla_s, first), violations(groups, duration_s, sla_s, first)
    if violated is None:
        over_time = replace(over_time, reading=f"{over_time.reading} No request was late, dropped or failed.")
    found = [
        *compared,
        load(groups, duration_s, first),
        cores(groups, reasons, duration_s, first),
        bands(groups, reasons, duration_s, first, starts_at),
        over_time,
        *([violated] if violated else []),
        distribution(groups, sla_s),
        *_down_to_requests(groups, duration_s, sla_s, first, starts_at),
    ]
    return found if starts_at is None else [on_clock(plot, starts_at, duration_s) for plot in found]


def _down_to_requests(
    groups: Sequence[Group], duration_s: float, sla_s: float, first: str, starts_at: datetime | None
) -> list[Plot]:
    """Where the latency went; nothing for runs kept without the times of requests at the stages."""
    passed = [Passed(group) for group in groups]
    if any(each.rows.empty for each in passed):
        return []
    return [mean_latency(passed, first), slowest(passed, duration_s, sla_s, first, starts_at)]


def _first_seeds(groups: Sequence[Group]) -> str:
    """The sentence for plots over time, which show one seed of several."""
    if all(len(group.runs) == 1 for group in groups):
        return ""
    first = {group.seeds[0] for group in groups}
    return f" Seed {first.pop()} only." if len(first) == 1 else " The first seed of each policy only."


def _subtitle(groups: Sequence[Group]) -> str:
    summary = groups[0].runs[0].summary
    return (
        f"Pipeline {escape(str(summary['pipeline']))} on the load {escape(str(summary['trace']))}: "
        f"{_counted(len(groups), 'policy', 'policies')}, "
        f"{_counted(sum(len(group.runs) for group in groups), 'run', 'runs')}, "
        f"{float(summary['duration_s']):,g} s each, SLA {float(summary['sla_s']):.4g} s"
    )


def _facts(groups: Sequence[Group]) -> dict[str, str]:
    """The lines of "What was run"."""
    summary = groups[0].runs[0].summary
    requests = [int(run.summary["requests"]) for group in groups for run in group.runs]
    return {
        "Pipeline": str(summary["pipeline"]),
        "Load": str(summary["trace"]),
        "Duration": f"{float(summary['duration_s']):,g} s",
        "Requests per run": _between(min(requests), max(requests)),
        "SLA, end to end": f"{float(summary['sla_s']):.4g} s",
        "Policies and seeds": "; ".join(
            f"{group.policy} (seed {', '.join(map(str, group.seeds))})" for group in groups
        ),
        "Decisions per run": _between(
            *(end(int(run.summary["decisions"]) for group in groups for run in group.runs) for end in (min, max))
        ),
    }


def _between(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


# ---- the headline ----


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
