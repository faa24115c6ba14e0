"""The page of a run or a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isnan, nan
from typing import TYPE_CHECKING

from ipa.studies.formatting import NONE, number, signed
from ipa.studies.intervals import CONFIDENCE, Estimate, difference_of, limits, paired_change_percent, paired_difference
from ipa.studies.many import Comparison, PolicyRuns, by_policy, merged_latencies
from ipa.studies.pages import bands
from ipa.studies.pages.answers import recommended
from ipa.studies.pages.colours import colour
from ipa.studies.pages.document import Cell, Choice, Items, Page, Paragraph, Part, Section, Strong, Swatch, Table, Text
from ipa.studies.pages.graph_of_run import READING, drawing_of
from ipa.studies.pages.latencies import distribution, latency, violations
from ipa.studies.pages.plane import trade_off
from ipa.studies.pages.plots import Plot
from ipa.studies.pages.scene import Scene
from ipa.studies.pages.slowest import down_to_requests
from ipa.studies.pages.timelines import cores, load
from ipa.studies.pages.verdicts import definitions, sentence
from ipa.studies.runs import age_of_metrics, check_records, has_records, is_longer_than_an_hour, unmet

if TYPE_CHECKING:
    from ipa.studies import RunData


def page(result: Comparison | RunData) -> Page:
    """The page of runs on the same load; a policy with several seeds gets intervals.

    Raises ScenarioError if there are no runs, they have no records or are on different loads, or a policy has a seed
    twice.
    """
    comparison = result if isinstance(result, Comparison) else Comparison((result,))
    for run in comparison.runs:
        check_records(str(run.summary.get("records", "all")))
    scene = Scene(by_policy(comparison.runs))
    first, reasons = recommended(comparison.recommend())
    return Page(
        comparison.title,
        [_subtitle(scene.groups)],
        [
            *first,
            *plane_of(scene),
            Section("Headline", [figures(scene.groups), *reasons, *headline(scene.groups)]),
            *graphs(scene),
            *plots_of(scene),
        ],
        _facts(scene.groups),
    )


def graphs(scene: Scene) -> list[Part]:
    """The pipeline's graph in the first run of each policy, of which the reader picks one; empty for a chain."""
    drawn = [(group, drawing) for group in scene.groups if (drawing := drawing_of(group.runs[0])) is not None]
    if len(drawn) < 2:
        return [drawing.plot("graph", "The graph", READING) for _, drawing in drawn]
    names = {str(group.place): group.label for group, _ in drawn}
    shown = [
        Section("", [drawing.plot(f"graph-{group.place}", group.label)], shown_for={"graph": str(group.place)})
        for group, drawing in drawn
    ]
    return [Section("The graph", [Choice("graph", "Policy", names), *shown], READING + scene.first)]


def plane_of(scene: Scene) -> list[Plot]:
    """Accuracy against cost; empty for a single run."""
    return [trade_off(scene)] if sum(len(group.runs) for group in scene.groups) > 1 else []


def plots_of(scene: Scene) -> list[Plot]:
    """All plots but the plane, in the order of the page."""
    return [*over_time(scene), distribution(scene), *down_to_requests(scene)]


def plots_of_first(groups: Sequence[PolicyRuns]) -> list[Plot]:
    """The plots of policies of which only the first seed has its tables, if it has records: all but the plane show it
    alone."""
    plots = [trade_off(Scene(tuple(groups)))]
    drawn = tuple(group for group in groups if has_records(group.runs[0]))
    if drawn:
        scene = Scene(drawn)
        curves = distribution(Scene(tuple(replace(group, runs=group.runs[:1]) for group in drawn)))
        plots += [*over_time(scene), replace(curves, note=curves.note + scene.first)]
    return plots


def over_time(scene: Scene) -> list[Plot]:
    """The plots over time."""
    latencies, violated = latency(scene), violations(scene)
    if violated is None:
        latencies = replace(latencies, note=f"{latencies.note} No request was late, dropped or failed.")
    return [load(scene), cores(scene), bands.over_time(scene), latencies, *([violated] if violated else [])]


def _subtitle(groups: Sequence[PolicyRuns]) -> str:
    summary = groups[0].runs[0].summary
    return (
        f"Pipeline {summary['pipeline']} on the load {summary['trace']}: "
        f"{_counted(len(groups), 'policy', 'policies')}, "
        f"{_counted(sum(len(group.runs) for group in groups), 'run', 'runs')}, "
        f"{float(summary['duration_s']):,g} s each, SLA {float(summary['sla_s']):.4g} s"
    )


def _facts(groups: Sequence[PolicyRuns]) -> dict[str, str]:
    """The lines of "What was run"."""
    summary = groups[0].runs[0].summary
    age = age_of_metrics(groups[0].runs[0].scenario)
    return {
        "Pipeline": str(summary["pipeline"]),
        "Load": str(summary["trace"]),
        "Duration": f"{float(summary['duration_s']):,g} s",
        "Requests per run": _range(groups, "requests"),
        "SLA, end to end": f"{float(summary['sla_s']):.4g} s",
        "Policies and seeds": "; ".join(
            f"{group.policy} (seed {', '.join(map(str, group.seeds))})" for group in groups
        ),
        "Decisions per run": _range(groups, "decisions"),
        **({"Metrics": f"{age} when policies see them"} if age else {}),
    }


def _range(groups: Sequence[PolicyRuns], key: str) -> str:
    """A count of all runs: `80`, or `80 to 120`."""
    counts = [int(run.summary[key]) for group in groups for run in group.runs]
    return " to ".join(dict.fromkeys(f"{count:,}" for count in (min(counts), max(counts))))


def _counted(count: int, single: str, several: str) -> str:
    return f"{count} {single if count == 1 else several}"


# ---- the headline ----


@dataclass(frozen=True)
class FigureColumn:
    """A column of the table: a figure of the summary times a factor, rounded; `good`: which end is better, if any."""

    key: str
    title: str
    unit: str
    decimals: int
    good: str = ""
    factor: float = 1.0


_COLUMNS = (
    FigureColumn("pas_mean", "PAS", "x 100", 2, "high"),
    FigureColumn("cost_mean_cores", "Cost", "mean cores", 2, "low"),
    FigureColumn("sla_violation_rate", "SLA violations", "% of requests", 2, "low", 100.0),
    FigureColumn("goodput_rps", "Goodput", "rps", 2, "high"),
    FigureColumn("latency_p50_s", "Latency p50", "s", 3, "low"),
    FigureColumn("latency_p99_s", "Latency p99", "s", 3, "low"),
    FigureColumn("dropped", "Dropped", "requests", 1, "low"),
    FigureColumn("changes", "Changes", "configurations", 1),
)
_GPUS = FigureColumn("gpus_mean", "GPUs", "mean", 2, "low")
_OF_TOKENS = (
    FigureColumn("ttft_p99_s", "First token p99", "s", 3, "low"),
    FigureColumn("tpot_p99_s", "Further token p99", "ms", 1, "low", 1000.0),
)
_WORST_HOUR = FigureColumn("sla_violation_worst_hour_rate", "Worst hour", "% of its requests", 2, "low", 100.0)
_WHERE_ANY = (
    FigureColumn("failed", "Failed", "requests", 1, "low"),
    FigureColumn("unfinished", "Unfinished", "requests", 1, "low"),
    FigureColumn("infeasible_decisions", "Infeasible", "decisions", 1, "low"),
)


def headline(groups: Sequence[PolicyRuns]) -> list[Part]:
    """The state of each policy, the differences from the one that the reader picks, and how to read the figures."""
    stood = [sentence(group) for group in groups]
    lines = [line for group in groups if (line := unmet(group.label, list(group.summaries.values())))]
    parts: list[Part] = [Items([*_at_once(stood), *lines]), Paragraph(definitions(stood), "muted")]
    if len(groups) > 1:
        paired = "Differences seed by seed, where both met the same arrivals and draws:"
        names = {str(group.place): group.label for group in groups}
        parts += [Paragraph(paired, "muted"), Choice("against", "Against", names)]
        parts += [_differences(group, groups) for group in groups]
    return [*parts, Paragraph(reading(groups), "muted")]


def _at_once(stood: Sequence[Text]) -> list[Text]:
    """The sentences on policies, or one for all if it says the same of each."""
    first, *others = stood
    if others and first[1] == " is " and all(other_text[1:] == first[1:] for other_text in others):
        return [[f"All {len(stood)} policies are ", *first[2:]]]
    return list(stood)


def _differences(picked: PolicyRuns, groups: Sequence[PolicyRuns]) -> Section:
    others = [_against(group, picked) for group in groups if group is not picked]
    return Section("", [Items(others)], shown_for={"against": str(picked.place)})


def figures(groups: Sequence[PolicyRuns]) -> Table:
    """Means with their intervals beneath; bold if better than all others, beyond the interval."""
    columns = [
        *_COLUMNS,
        *(column for column in _WHERE_ANY if any(any(group.values(column.key).values()) for group in groups)),
    ]
    if any(is_longer_than_an_hour(run.summary) for group in groups for run in group.runs):
        columns.insert(3, _WORST_HOUR)
    if all("ttft_p99_s" in run.summary for group in groups for run in group.runs):
        columns[-2:-2] = _OF_TOKENS
    if all("gpus_mean" in run.summary for group in groups for run in group.runs):
        columns.insert(2, _GPUS)
    cells = [_column(column, groups) for column in columns]
    names = [Cell([Swatch(colour(group.place)), group.label], is_heading=True) for group in groups]
    return Table(
        "Figures of each policy",
        ["Policy", *(Cell(column.title, column.unit) for column in columns)],
        [[name, *(of_column[row] for of_column in cells)] for row, name in enumerate(names)],
    )


def _column(column: FigureColumn, groups: Sequence[PolicyRuns]) -> list[Cell]:
    """The cells of a column, top down."""
    whole = column.decimals == 1 and all(len(group.runs) == 1 for group in groups)
    decimals = 0 if whole else column.decimals
    estimates = [group.estimate(column.key, column.factor) for group in groups]
    best = _best(column, estimates, groups)
    cells = []
    for place, mean_of_policy in enumerate(estimates):
        text = NONE if mean_of_policy is None else number(mean_of_policy.mean, decimals)
        interval = "" if mean_of_policy is None else mean_of_policy.text(decimals).partition(" ")[2]
        cells.append(Cell([Strong(text)] if place == best else text, interval))
    return cells


def _best(column: FigureColumn, estimates: Sequence[Estimate | None], groups: Sequence[PolicyRuns]) -> int | None:
    """The index of the policy that is better than each other one beyond the interval of their difference; the intervals
    are simultaneous (see `many.answers.differences`)."""
    sign = {"high": 1.0, "low": -1.0}.get(column.good)
    if sign is None or len(groups) < 2:
        return None
    means = [nan if mean_of_policy is None else sign * mean_of_policy.mean for mean_of_policy in estimates]
    best = max(range(len(groups)), key=lambda place: -inf if isnan(means[place]) else means[place])
    others = [group for place, group in enumerate(groups) if place != best]
    confidence = 1.0 - (1.0 - CONFIDENCE) / len(others)
    for rival in others:
        difference = difference_of(column.key, groups[best].summaries, rival.summaries, confidence=confidence)
        if difference is None or not min(sign * difference.low, sign * difference.high) > 0.0:  # NaN: no interval
            return None
    return best


def reading(groups: Sequence[PolicyRuns]) -> str:
    """How to read the table."""
    most = max(len(group.runs) for group in groups)
    if most == 1:
        text = "One run per policy, so no intervals" + (", and none is shown to be the best." if groups[1:] else ".")
    else:
        same = len({group.seeds for group in groups}) == 1
        which = f"the seeds {_listed(groups[0].seeds)}" if same else "each policy's seeds"
        text = f"Means over {which}, below them their intervals. {limits([groups[0].runs[0].scenario.trace])}"
    text += f" {merged}" if (merged := merged_latencies(groups)) else ""
    bold = " Bold: better than every other by differences seed by seed, whose intervals are widened for their number."
    return text + (bold if len(groups) > 1 and most > 1 else "")


def _against(group: PolicyRuns, reference: PolicyRuns) -> Text:
    """The differences of one policy from another, paired by seed."""
    names: list[str | Strong] = [Strong(group.label), " against ", Strong(reference.label)]
    if not set(group.seeds) & set(reference.seeds):
        return [*names, ": no seed in common"]
    pas = paired_difference(group.values("pas_mean"), reference.values("pas_mean"))
    cost = paired_change_percent(group.values("cost_mean_cores"), reference.values("cost_mean_cores"))
    rates = difference_of("sla_violation_rate", group.summaries, reference.summaries, 100.0)
    return [
        *names,
        (
            f": {signed(pas, 2, ' PAS')}{' at' if pas else ','} {signed(cost, 1, ' % cost')} "
            f"and {signed(rates, 2, ' percentage points of SLA violations')}"
        ),
    ]


def _listed(seeds: Sequence[int]) -> str:
    """`1, 2 and 3`; of many, the first and the last."""
    if len(seeds) > 6:
        return f"{seeds[0]} to {seeds[-1]} ({len(seeds)} of them)"
    *most, last = map(str, seeds)
    return f"{', '.join(most)} and {last}" if most else last
