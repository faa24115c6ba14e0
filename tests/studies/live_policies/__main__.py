"""Runs what is missing and prints a table: `python -m tests.studies.live_policies --keep FOLDER`. Needs `IPA_TRACE`."""

from __future__ import annotations

from pathlib import Path

import click

from tests.studies.live_policies.cases import PIPELINES, POLICIES, cases
from tests.studies.live_policies.runs import make, rows
from tests.studies.live_policies.tables import lines


@click.command()
@click.option("--keep", type=click.Path(path_type=Path), required=True, help="the folder of the runs")
@click.option("--at-once", type=click.IntRange(1), default=1, help="live runs side by side")
@click.option("--most-late", default=0.05, help="runs of which a larger share was sent late are made again")
@click.option("--pipeline", "pipelines", multiple=True, default=PIPELINES)
@click.option("--policy", "policies", multiple=True, default=POLICIES)
@click.option("--make/--table", "makes", default=True, help="the table alone, of the runs that are there")
def main(
    keep: Path, at_once: int, most_late: float, pipelines: tuple[str, ...], policies: tuple[str, ...], makes: bool
) -> None:
    """Which policy is best live."""
    wanted = [case for case in cases() if case.pipeline in pipelines and case.policy in policies]
    if makes:
        make(wanted, keep, at_once, most_late)
    click.echo("\n".join(lines(rows(wanted, keep))))


main()
