"""Prints the table: `python -m tests.studies.figure_16`. Needs `IPA_TRACE`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from tests.studies.figure_16.runs import Lost, in_order, lost
from tests.studies.figure_16.settings import FORECASTS, PIPELINES, settings

HEAD = ("lost: true future, `lstm`, reactive", "violations, %", "order")


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=3)
def main(seeds: int) -> None:
    """What is lost with each forecast, by setting."""
    for line in _lines(seeds):
        click.echo(line)


def _lines(seeds: int) -> Iterator[str]:
    yield from _header("setting", *(f"{pipeline}: {text}" for pipeline in PIPELINES for text in HEAD))
    for setting in settings():
        cells = [
            cell
            for pipeline in PIPELINES
            for cell in _cells({forecast: lost(pipeline, forecast, setting, seeds) for forecast in FORECASTS})
        ]
        yield _row(setting.name, *cells)


def _cells(of: dict[str, Lost]) -> tuple[str, str, str]:
    requests = ", ".join(f"{of[forecast].requests:,.0f}" for forecast in FORECASTS)
    violations = ", ".join(f"{of[forecast].violations:.1f}" for forecast in FORECASTS)
    return requests, violations, "yes" if in_order(of) else "no"


def _header(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield f"|{'---|' * len(titles)}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
