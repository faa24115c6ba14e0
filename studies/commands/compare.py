"""`ipa compare`: several policies on the same requests."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.studies.commands import fleets, printing, progress, reports, unwritten
from ipa.studies.commands.options import (
    Results,
    assigned,
    check_required,
    declared,
    described_scenario,
    goal_option,
    jobs_option,
    on_option,
    output_options,
    pipeline_argument,
    report_option,
    require_option,
    resumable_out_option,
    scenario_options,
    taken,
)

if TYPE_CHECKING:
    from ipa.studies import Comparison
    from ipa.studies.many import Given, Requirement
    from ipa.studies.runs.results import Question


OF_POLICY = "policy."


def is_for_all(assignment: str) -> bool:
    """Whether a --set assigns a parameter of policies, and not another key or the scenario's policy itself."""
    key = assignment.partition("=")[0]
    return key.startswith(OF_POLICY) and key not in ("policy.name", "policy.label")


def compare_fleet(
    what: str,
    assignments: Sequence[str],
    jobs: int | None,
    on: str,
    options: dict[str, Any],
) -> None:
    """Compare the rules of sharing on a fleet. Raises UsageError for an option that goes with policies."""
    results, goal = taken(Results, options), options.pop("policy_goal")
    comparing = taken(studies.many.options.ComparisonOptions, options)
    others: dict[str, object] = {"--policy": comparing.policies, "--report": results.report}
    others |= {"--require": options.pop("required"), "--goal": goal}
    for name, value in others.items():
        if value:
            raise click.UsageError(f"{name} does not go with a fleet, of which rules of sharing are compared")
    running, seeds = progress.running(results.out, jobs, on), comparing.seeds or 1
    fleets.compare(what, assignments, options, seeds=seeds, running=running, as_json=results.as_json)


@click.command()
@pipeline_argument
@declared(studies.many.options.ComparisonOptions, "policies")
@goal_option
@scenario_options
@declared(studies.many.options.ComparisonOptions, "seeds")
@jobs_option
@on_option
@resumable_out_option
@report_option
@require_option
@output_options
def compare(
    what: str,
    assignments: Sequence[str],
    jobs: int | None,
    on: str,
    required: Sequence[Requirement],
    **options: Any,
) -> None:
    """Run several policies on the same requests, and compare them.

    --set policy.KEY=VALUE and --goal apply to every policy that has the parameter.

    With --out each run is saved as soon as it finishes. Repeat the command to resume an interrupted comparison, or add
    policies or seeds to extend one. A command that would drop or change a saved run is refused.

    Of a fleet, the rules that share its budget are compared, over seeds.
    """
    if studies.scenario.is_fleet(what):
        further = {**options, "required": required}
        compare_fleet(what, assignments, jobs, on, further)
        return
    results, goal = taken(Results, options), options.pop("policy_goal")
    comparing = taken(studies.many.options.ComparisonOptions, options)
    for_all = [assignment for assignment in assignments if is_for_all(assignment)]
    question = studies.results.asked(what)
    seeds = comparing.seeds or 1
    if question is not None and question.kind == "runs":
        options["policy"] = question.scenario.policy.model_dump()
        seeds = comparing.seeds or question.seeds or 1
    base = described_scenario(what, [assignment for assignment in assignments if assignment not in for_all], **options)
    parameters = {key.removeprefix(OF_POLICY): value for key, value in assigned(for_all).items()}
    if goal is not None:
        parameters["goal"] = goal
    chosen = comparing.policies or _as_before(question, parameters) or studies.BASELINES
    systems = studies.many.systems.choose(base, chosen, parameters=parameters, log=printing.note)
    printing.say_rules(base.pipeline)
    printing.say_settings(assignment for assignment in chosen if isinstance(assignment, str))
    printing.say_doubts(systems)
    if results.report is not None:
        reports.check_report(results.report, results.out, base.records)
    printing.say_load(studies.load_of(base).trace())
    progress.compile_engine(base.engine)
    with progress.ended_cleanly(results.out), redirect_stdout(sys.stderr):  # a user's policy may print
        running = progress.running(results.out, jobs, on)
        comparison = studies.many.conduct(systems, seeds, running, without_tables=results.report is None)
    _show(replace(comparison, required=tuple(required)), results)
    if seeds > 1 and studies.load_of(base).has_fixed_times:
        printing.log(
            f"Warning: {base.trace} says when each request comes, so all seeds have the same arrivals: intervals show "
            "only what else is drawn"
        )
    groups = studies.many.by_policy(comparison.runs)
    check_required(required, ((group.policy, list(group.summaries.values())) for group in groups))


def _as_before(question: Question | None, parameters: Mapping[str, Any]) -> Sequence[Given]:
    """The policies of a repeated comparison, without the parameters that `parameters` now set for all."""
    names = {key.partition(".")[0] for key in parameters}
    policies = () if question is None else question.policies
    return [{key: value for key, value in policy.items() if key not in names} for policy in policies]


def _show(comparison: Comparison, results: Results) -> None:
    """Write the report, print the results and warnings."""
    if results.report is not None:
        with unwritten.told_last():
            reports.write_report(comparison, results.report)
    if results.as_json:
        printing.print_json([dict(run.summary) for run in comparison.runs])
    else:
        print_comparison(comparison, results.out, results.report)
    printing.warn([run.summary for run in comparison.runs])


def print_comparison(comparison: Comparison, folder: Path | None, report: Path | None) -> None:
    """Print a row for each policy (means over seeds with 95 % intervals), the recommendation, and where results are."""
    groups = studies.many.by_policy(comparison.runs)
    first = groups[0]
    span = f"seed {first.seeds[0]}"
    if len(first.seeds) > 1:
        span = f"seeds {first.seeds[0]} to {first.seeds[-1]}, 95 % intervals"
    columns = comparison.columns
    table = printing.new_table(
        printing.title_of_run(first.runs[0].summary, span), "policy", *(name for name, *_ in columns)
    )
    for group in groups:
        table.add_row(group.title, *(studies.many.cell(group, figure) for figure in columns))
    printing.print_tight(table)
    if age := studies.runs.age_of_metrics(first.runs[0].scenario):
        printing.print_line(f"The policies see metrics that are {age}.")
    if len(first.seeds) > 1:
        printing.print_line(studies.intervals.limits([first.runs[0].scenario.trace]))
        if merged := studies.many.merged_latencies(groups):
            printing.print_line(merged)
    printing.print_recommendation(comparison.recommend())
    printing.print_unmet((group.label, list(group.summaries.values())) for group in groups)
    printing.print_places(folder, report)
