"""The report of a run or a comparison as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING

from ipa.studies.drawing import Plot, html_document, on_clock, plot_section, what_was_run
from ipa.studies.report.bands import bands
from ipa.studies.report.groups import Group, by_policy
from ipa.studies.report.headline import comparisons, headline, reading
from ipa.studies.report.latencies import distribution, latency, violations
from ipa.studies.report.reasons import Reasons
from ipa.studies.report.slowest import Passed, mean_latency, slowest
from ipa.studies.report.timelines import cores, load
from ipa.studies.report.trade_off import trade_off
from ipa.studies.report.verdict import verdicts

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
    sections = "".join(map(plot_section, plots(groups)))
    return html_document(
        title,
        _subtitle(groups),
        f"<section>\n<h2>Headline</h2>\n{top}</section>\n{sections}{what_was_run(_facts(groups) | dict(facts or {}))}",
    )


def plots_of(runs: Sequence[RunData]) -> list[Plot]:
    """The plots of the page for some runs, in its order. Raises ScenarioError for runs that make no page."""
    return plots(by_policy(runs))


def plots(groups: Sequence[Group]) -> list[Plot]:
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
