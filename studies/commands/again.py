"""`ipa again`: what made a results folder, with other values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ipa import studies
from ipa.studies.scenario import ScenarioError

MADE_BY = {"run": "simulate", "runs": "compare", "sweep": "sweep"}
"""Kind of a folder -> the command that makes it."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("results", metavar="FOLDER", type=click.Path(path_type=Path))
@click.argument("options", metavar="[OPTIONS OF ITS COMMAND]...", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def again(ctx: click.Context, results: Path, options: Sequence[str]) -> None:
    """Repeat the command that made a results folder, with other values.

    FOLDER holds a run, a comparison or a sweep. `ipa simulate`, `compare` or `sweep` runs again with its scenario,
    policies, points and seeds; options change them: --set sla_s=2 --set scale=2 --policy foresight.
    """
    if not results.exists():
        raise ScenarioError(f"{results}: no such folder")
    question = studies.results.asked(results)
    if question is None:
        raise ScenarioError(f"{results}: holds no results of a run, a comparison or a sweep")
    assert ctx.parent is not None
    root = ctx.parent.command
    assert isinstance(root, click.Group)
    name = MADE_BY[question.kind]
    command = root.get_command(ctx.parent, name)
    assert command is not None
    with command.make_context(name, [str(results), *options], parent=ctx.parent) as context:
        command.invoke(context)
