"""`ipa optimise`: one decision, explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ipa import studies
from ipa.studies.commands import complete, printing
from ipa.studies.commands.amounts import Number
from ipa.studies.commands.options import build_scenario, output_options, pipeline_argument, set_option

if TYPE_CHECKING:
    from ipa.policies import ExplainedOption, Explanation


@click.command()
@pipeline_argument
@click.option(
    "--load", "load_rps", type=Number(min=0.0), required=True, help="Load to plan for, in requests per second."
)
@click.option("--policy", shell_complete=complete.policies, help="Policy whose parameters to use. Default: ipa.")
@set_option
@output_options
def optimise(what: str, load_rps: float, policy: str | None, assignments: Sequence[str], as_json: bool) -> None:
    """Explain one decision: each stage's options, the binding constraint and the runner-up."""
    explanation = studies.explain(build_scenario(what, assignments, policy=policy), load_rps)
    if as_json:
        printing.print_json(explanation.as_dict())
    else:
        print_explanation(explanation)


def print_explanation(explanation: Explanation) -> None:
    """Print the options of each stage, the choice, what binds and the runner-up."""
    for stage, options in explanation.options.items():
        table = printing.new_table(
            f"{stage}: options for {explanation.load_rps:g} requests/s",
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
                studies.drawing.number(option.value, 4),
                _standing(option),
                style="bold" if option.chosen else "dim" if option.dominated else None,
            )
        printing.print_table(table)
    _print_choice(explanation)


def _standing(option: ExplainedOption) -> str:
    if option.chosen:
        return "chosen"
    if not option.sustains:
        return "too many replicas"
    return "dominated" if option.dominated else ""


def _print_choice(explanation: Explanation) -> None:
    objective = explanation.objective
    gains = ", ".join(f"without {name}: +{gain:.4f}" for name, gain in explanation.gains.items() if gain > 0)
    total = studies.drawing.number(objective["total"], 4)
    figures = (
        f"PAS {100 * objective['pas']:.2f}, {objective['cost_cores']:g} cores, objective {total}, "
        f"latency {explanation.latency_s:.3f} of {explanation.sla_s:.3f} s (slack {explanation.slack_s:.3f} s)"
    )
    lines = [
        f"Chosen ({explanation.rung}): {printing.describe_configuration(explanation.configuration)}",
        f"  {figures}",
        f"Binding constraint: {explanation.binding}{f' ({gains})' if gains else ''}",
    ]
    if explanation.runner_up is not None:
        lines.append(
            f"Runner-up: {printing.describe_configuration(explanation.runner_up.configuration)}, "
            f"objective {explanation.runner_up.difference:.4f} less"
        )
    lines += [f"Note: {note}" for note in explanation.notes]
    for line in lines:
        printing.console().print(line)
