"""`ipa optimise`: one decision, explained; the Pareto-optimal plans for a load; the plan against the load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.studies.commands import printing
from ipa.studies.commands.options import (
    Number,
    build_scenario,
    goal_option,
    output_options,
    pipeline_argument,
    set_option,
)

if TYPE_CHECKING:
    from ipa.policies import ExplainedOption, Explanation, Price, StageConfiguration
    from ipa.studies.plans import Frontier, Over, Plan


@click.command()
@pipeline_argument
@click.option("--load", "load_rps", type=Number(min=0.0), help="Load to plan for, in requests per second.")
@click.option("--policy", help="Policy whose parameters to use. Default: ipa.")
@goal_option
@click.option("--frontier", is_flag=True, help="Show all Pareto-optimal plans for the load instead.")
@click.option(
    "--over", "loads", metavar="FROM:TO[:STEP]", help="Show the plan for each of these loads instead, such as 1:60."
)
@set_option
@output_options
def optimise(
    what: str,
    load_rps: float | None,
    frontier: bool,
    loads: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Explain one decision: each stage's options, the binding constraint, the runner-up and prices.

    With --frontier, or with --over in place of --load, plans are listed instead.
    """
    _check_together(load_rps, frontier, loads)
    scenario = build_scenario(what, **options)
    if loads is not None or frontier:
        _show_plans(
            studies.plans.over(scenario, studies.plans.loads_of(loads))
            if loads is not None
            else studies.plans.frontier(scenario, load_rps or 0.0),
            as_json,
        )
        return
    explanation = studies.explain(scenario, load_rps or 0.0)
    if as_json:
        printing.print_json(explanation.as_dict())
    else:
        print_explanation(explanation)


def _check_together(load_rps: float | None, frontier: bool, loads: str | None) -> None:
    if loads is not None and (frontier or load_rps is not None):
        raise click.UsageError(
            f"--over {loads}: takes the place of --load and --frontier; leave out either it or these"
        )
    if loads is None and load_rps is None:
        raise click.UsageError("--load: is missing; give the load to plan for, or several with --over FROM:TO")


# ---- plans ----


def _show_plans(plans: Frontier | Over, as_json: bool) -> None:
    if as_json:
        printing.print_json(plans.as_dict())
        return
    if isinstance(plans, studies.plans.Frontier):
        print_frontier(plans)
    else:
        print_over(plans)


def print_frontier(frontier: Frontier) -> None:
    """Print a row for each Pareto-optimal plan, with the chosen one marked; if there is none, the reason."""
    load = f"{frontier.chosen.load_rps:g} requests/s"
    if not frontier.plans:
        printing.print_line(f"No plan keeps the SLA and the limits at {load}")
        for note in frontier.chosen.notes:
            printing.print_line(f"Note: {note}")
        return
    table = printing.new_table(
        f"{frontier.pipeline.name}: all Pareto-optimal plans for {load}",
        *("plan", "cores", "accuracy", "PAS", "objective", "latency s", ""),
        folds_names=True,
    )
    for plan in frontier.plans:
        is_chosen = frontier.is_chosen(plan)
        table.add_row(
            _plan(plan.configuration),
            str(plan.cores),
            f"{plan.objective['accuracy']:.4f}",
            f"{100 * plan.objective['pas']:.2f}",
            studies.formatting.number(plan.objective["total"], 4),
            f"{plan.latency_s:.3f}",
            "chosen" if is_chosen else "",
            style="bold" if is_chosen else None,
        )
    printing.print_table(table)


def print_over(over: Over) -> None:
    """Print a row for each span of loads with the same plan."""
    table = printing.new_table(
        f"{over.pipeline.name}: the plan against the load",
        *("load rps", "plan", "cores", "PAS", "binding", ""),
        names=2,
        folds_names=True,
    )
    for span in over.spans:
        first = span[0]
        table.add_row(
            _loads(span),
            _plan(first.configuration),
            str(first.cores),
            f"{100 * first.objective['pas']:.2f}",
            first.binding,
            "" if first.feasible else first.rung,
            style=None if first.feasible else "dim",
        )
    printing.print_table(table)
    for span in over.spans:
        if not span[0].feasible:
            printing.print_line(f"At {span[0].load_rps:g} rps: {'; '.join(span[0].notes)}")
            break


def _loads(span: Sequence[Plan]) -> str:
    """The loads of consecutive equal plans: `7` or `7 to 9`."""
    first, last = span[0].load_rps, span[-1].load_rps
    return f"{first:.12g}" if first == last else f"{first:.12g} to {last:.12g}"


def _plan(configuration: Mapping[str, StageConfiguration]) -> str:
    return "; ".join(f"{stage.replicas} x {stage.variant} b{stage.batch}" for stage in configuration.values())


# ---- one decision ----


def print_explanation(explanation: Explanation) -> None:
    """Print the options of each stage, the choice, the binding constraint, the runner-up and the prices."""
    load = f"{explanation.load_rps:g} requests/s"
    if explanation.sustained_rps < explanation.load_rps:
        load = f"{explanation.sustained_rps:.4g} of {load}"
    for stage, options in explanation.options.items():
        table = printing.new_table(
            f"{stage}: options for {load}",
            "variant",
            *("batch", "replicas", "cores", "latency s", "queue s", "accuracy", "objective", ""),
        )
        for option in options:
            table.add_row(
                option.variant,
                str(option.batch),
                str(option.replicas),
                str(option.cores),
                f"{option.latency_s:.3f}",
                f"{option.queue_wait_s:.3f}",
                f"{100 * option.accuracy:.2f}",
                studies.formatting.number(option.value, 4),
                _standing(option),
                style="bold" if option.chosen else "dim" if option.dominated else None,
            )
        printing.print_table(table)
    chosen = f"Chosen ({explanation.rung}): {printing.describe_configuration(explanation.configuration)}"
    lines = _of_goal(explanation) if explanation.trade_offs else _of_weights(explanation)
    for line in [chosen, *lines, *(f"Note: {note}" for note in explanation.notes)]:
        printing.console().print(line)


def _standing(option: ExplainedOption) -> str:
    if option.chosen:
        return "chosen"
    if not option.sustains:
        return "too many replicas"
    return "dominated" if option.dominated else ""


def _of_weights(explanation: Explanation) -> Iterator[str]:
    gains = ", ".join(f"without {name}: +{gain:.4f}" for name, gain in explanation.gains.items() if gain > 0)
    total = studies.formatting.number(explanation.objective["total"], 4)
    yield f"  {_plan_figures(explanation.objective)}, objective {total}, {_latency(explanation)}"
    yield f"Binding constraint: {explanation.binding}{f' ({gains})' if gains else ''}"
    if explanation.runner_up is not None:
        plan = printing.describe_configuration(explanation.runner_up.configuration)
        yield f"Runner-up: {plan}, objective {explanation.runner_up.difference:.4f} less"
    if explanation.one_more_core is not None:
        yield f"One more core: {_worth(explanation, explanation.one_more_core)}"
    if explanation.ten_ms_of_sla is not None:
        yield f"10 ms more of SLA: {_worth(explanation, explanation.ten_ms_of_sla)}"


def _of_goal(explanation: Explanation) -> Iterator[str]:
    yield f"  {_plan_figures(explanation.objective)}, {_latency(explanation)}"
    yield f"Binding constraint: {explanation.binding}"
    if explanation.runner_up is not None:
        plan = printing.describe_configuration(explanation.runner_up.configuration)
        yield f"Runner-up: {plan}, {_plan_figures(explanation.runner_up.objective)}"
    for change, alternative in explanation.trade_offs.items():
        more_pas = alternative.pas - 100 * explanation.objective["pas"]
        more_cores = alternative.cores - explanation.objective["cost_cores"]
        text = "no other plan"
        if alternative.rung != explanation.rung:
            text = f"{alternative.rung}, with {printing.describe_configuration(alternative.configuration)}"
        elif alternative.configuration != explanation.configuration:
            plan = printing.describe_configuration(alternative.configuration)
            text = f"PAS {more_pas:+.2f}, {more_cores:+g} cores, with {plan}"
        yield f"{change[0].upper()}{change[1:]}: {text}"


def _plan_figures(objective: Mapping[str, float]) -> str:
    return f"PAS {100 * objective['pas']:.2f}, {objective['cost_cores']:g} cores"


def _latency(explanation: Explanation) -> str:
    way = f" on the slowest way, {' -> '.join(explanation.slowest_way)}" if explanation.slowest_way else ""
    slack = f"slack {explanation.slack_s:.3f} s"
    return f"latency {explanation.latency_s:.3f} of {explanation.sla_s:.3f} s ({slack}){way}"


def _worth(explanation: Explanation, price: Price) -> str:
    """A shadow price in words."""
    if price.configuration == explanation.configuration:
        return "no other plan"
    plan = printing.describe_configuration(price.configuration)
    if price.gain is not None:
        return f"objective {price.gain:+.4f}, with {plan}"
    if price.rung == "optimal":
        return f"feasible, with {plan}"
    return f"{price.rung}, {price.latency_s:.3f} s, sustains {price.sustained_rps:.4g} rps, with {plan}"
