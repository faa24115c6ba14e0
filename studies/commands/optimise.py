"""`ipa optimise`: one decision, explained, and the Pareto-optimal plans for a load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.studies.commands import printing
from ipa.studies.commands.options import (
    Number,
    build_scenario,
    goal_option,
    json_option,
    pipeline_argument,
    set_option,
)

if TYPE_CHECKING:
    from ipa.policies import ExplainedOption, Explanation, Price, StageConfiguration
    from ipa.studies.plans import Frontier


@click.command()
@pipeline_argument
@click.option(
    "--load", "load_rps", type=Number(min=0.0), required=True, help="Load to plan for, in requests per second."
)
@click.option("--policy", help="Policy whose parameters to use. Default: ipa.")
@goal_option
@click.option("--frontier", is_flag=True, help="Show all Pareto-optimal plans for the load instead.")
@set_option
@json_option
def optimise(
    what: str,
    load_rps: float,
    frontier: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Explain one decision, or list the Pareto-optimal plans."""
    scenario = build_scenario(what, **options)
    answer = studies.plans.frontier(scenario, load_rps) if frontier else studies.explain(scenario, load_rps)
    if as_json:
        printing.print_json(answer.as_dict())
    elif isinstance(answer, studies.plans.Frontier):
        print_frontier(answer)
    else:
        print_explanation(answer)


# ---- plans ----


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
