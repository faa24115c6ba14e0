"""Prints a table: `python -m tests.studies.figure_16 --part one-by-one`, or `--part together`. Needs `IPA_TRACE`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from tests.studies.figure_16.runs import Lost, in_order, lost
from tests.studies.figure_16.settings import FORECASTS, PIPELINES, TOGETHER, one_by_one, together

HEAD = ("lost: true future, `lstm`, reactive", "violations, %", "order")


@click.command()
@click.option("--part", type=click.Choice(["one-by-one", "together"]), default="one-by-one")
@click.option("--seeds", type=click.IntRange(1), default=5)
def main(part: str, seeds: int) -> None:
    """What is lost with each forecast, by setting."""
    for line in _one_by_one(seeds) if part == "one-by-one" else _together(seeds):
        click.echo(line)


def _one_by_one(seeds: int) -> Iterator[str]:
    yield from _header("setting", *(f"{pipeline}: {text}" for pipeline in PIPELINES for text in HEAD))
    for settings in zip(*(one_by_one(pipeline) for pipeline in PIPELINES), strict=True):
        cells = [
            cell
            for pipeline, setting in zip(PIPELINES, settings, strict=True)
            for cell in _cells({forecast: lost(pipeline, forecast, setting, seeds) for forecast in FORECASTS})
        ]
        yield _row(settings[0].name, *cells)


def _together(seeds: int) -> Iterator[str]:
    """Each combination; then, by how long decisions take, on which of the pipelines the order comes out."""
    yield from _header(*TOGETHER, *(f"{pipeline}: {text}" for pipeline in PIPELINES for text in HEAD))
    where: dict[tuple[str, ...], dict[str, str]] = {}
    for ways, setting in together():
        of = {
            pipeline: {forecast: lost(pipeline, forecast, setting, seeds) for forecast in FORECASTS}
            for pipeline in PIPELINES
        }
        yield _row(*ways, *(cell for each in of.values() for cell in _cells(each)))
        ordered = [pipeline for pipeline, each in of.items() if in_order(each)]
        *others, took = ways
        where.setdefault(tuple(others), {})[took] = "both" if len(ordered) == len(PIPELINES) else "".join(ordered)
    yield ""
    *others, last = TOGETHER
    yield from _header(*others, *(f"{last} of {took}" for took in TOGETHER[last]))
    for ways_of, by_time in where.items():
        yield _row(*ways_of, *by_time.values())


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
