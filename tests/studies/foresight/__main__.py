"""Runs every cell and prints the tables: `python -m tests.studies.foresight --set test --setting defaults`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ipa.profiles import parse_yaml
from tests.studies.foresight.cases import BOUND, DRAWN, OURS, PIPELINES, SETTINGS, SYSTEMS, windows
from tests.studies.foresight.runs import kept
from tests.studies.foresight.tables import cells, lines, summary


@click.command()
@click.option("--set", "part", type=click.Choice([*DRAWN, "azure"]), default="development")
@click.option("--setting", type=click.Choice([*SETTINGS]), default="defaults")
@click.option("--seeds", type=click.IntRange(1), default=3)
@click.option("--pipeline", "pipelines", multiple=True, default=PIPELINES)
@click.option("--policy", default=OURS, help="what is looked at, with parameters if need be")
@click.option("--alone", is_flag=True, help="beside IPA and the oracle only")
@click.option("--with", "keys", multiple=True, metavar="KEY=VALUE", help="a key of all scenarios")
@click.option("--keep", type=click.Path(path_type=Path), help="a folder for the rows; those there are not run again")
@click.option("--every-cell/--summary", default=True)
def main(
    part: str,
    setting: str,
    seeds: int,
    pipelines: tuple[str, ...],
    policy: str,
    alone: bool,
    keys: tuple[str, ...],
    keep: Path | None,
    every_cell: bool,
) -> None:
    """How a policy does against the others and the oracle, on windows of the Twitter trace (`IPA_TRACE`)."""
    given: dict[str, Any] = dict(SETTINGS[setting])
    for text in keys:
        key, _, value = text.partition("=")
        given[key] = parse_yaml(f"value: {value}", "").data["value"]
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    systems = [policy, BOUND, *(["ipa"] if alone else SYSTEMS)]
    name = "; ".join([setting, *keys])
    asked = (
        (name, pipeline, window, system, seed, given)
        for pipeline in pipelines
        for system in systems
        for window in windows(part)
        for seed in range(1, seeds + 1)
    )
    found = cells(kept(keep, asked), policy)
    click.echo("\n".join([*(lines(found) if every_cell else []), "", *summary(found)]))


main()
