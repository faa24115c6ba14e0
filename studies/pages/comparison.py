"""The report of a run or a comparison as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ipa.studies.many import Comparison, Group, by_policy
from ipa.studies.pages.clock import on_clock
from ipa.studies.pages.comparison_table import comparisons, headline, reading
from ipa.studies.pages.decisions import bands
from ipa.studies.pages.document import html_document, plot_section, what_was_run
from ipa.studies.pages.latencies import distribution, latency, violations
from ipa.studies.pages.plane import trade_off
from ipa.studies.pages.plots import Plot
from ipa.studies.pages.reasons import Reasons
from ipa.studies.pages.run_cards import comparison_card
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


def plots(comparison: Comparison) -> list[Plot]:
    """The plots of the page, in its order. Raises ScenarioError for runs that make no page."""
    _check(comparison)
    return plots_of(by_policy(comparison.runs))


def write(comparison: Comparison, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises ScenarioError for runs without records, for a path that cannot be written, and where plotly is not installed.
    """
    _check(comparison)
    write_text(render(comparison.runs, comparison.title), path)


def card(comparison: Comparison) -> str:
    """The comparison in a notebook."""
    return comparison_card(f"{comparison.title}: {len(comparison.runs)} runs", by_policy(comparison.runs))


def _check(comparison: Comparison) -> None:
    for run in comparison.runs:
        check_records(str(run.summary.get("records", "all")))


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
