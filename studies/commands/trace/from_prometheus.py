"""`ipa trace from-prometheus`: a load out of a Prometheus server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

import ipa
from ipa import studies
from ipa.studies.commands import printing, progress
from ipa.studies.commands.amounts import SECONDS, Whole
from ipa.studies.commands.options import (
    NEW_FILE,
    Words,
    output_options,
)
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from ipa.studies.scenario import Range
    from ipa.traces import Filling


@click.command(name="from-prometheus")
@click.argument("url", metavar="URL")
@click.option(
    "--query",
    required=True,
    metavar="PROMQL",
    help="What counts the requests of each step, such as sum(increase(requests_total[1m])), or a counter.",
)
@click.option(
    "--start",
    required=True,
    metavar="TIME",
    help="First second: such as 2026-01-05T10:00:00Z, or 7d: 7 days ago.",
)
@click.option("--end", default="now", metavar="TIME", help="End, not included: as --start. Default: now.")
@click.option("--step", metavar="DURATION", help="From one value to the next, such as 1m. Default: the query's.")
@click.option(
    "--fill",
    type=Words(("zero", "linear")),
    help="What stands for steps without a sample: no requests, or a straight line. Default: they are an error.",
)
@click.option("--token-file", type=NEW_FILE, help="File with a bearer token. Or give user:password@ in the URL.")
@click.option("--timeout", "timeout_s", type=SECONDS, default=30.0, help="Seconds for each answer. Default: 30.")
@click.option("--seed", type=Whole(min=0), default=1, help="Seed of where requests fall within a step. Default: 1.")
@click.option("--to", type=NEW_FILE, required=True, help="Write to this new .csv or .parquet file.")
@output_options
def from_prometheus(
    url: str,
    query: str,
    start: str,
    end: str,
    step: str | None,
    fill: Filling | None,
    token_file: Path | None,
    timeout_s: float,
    seed: int,
    to: Path,
    as_json: bool,
) -> None:
    """Write the load that a Prometheus server has recorded to a file.

    URL is the server's, such as http://localhost:9090.
    """
    asked = _asked(query, start, end, step, time.time())
    token = None if token_file is None else _token(token_file)
    server = studies.prometheus.Server(url, token=token, timeout_s=timeout_s)
    ipa.traces.check_new(to)
    with progress.counted("Answers of Prometheus", len(list(asked.parts()))) as each:
        trace = server.load(asked, seed=seed, filling=fill or "refuse", each=each)
    printing.say_load(trace)
    printing.print_made(ipa.traces.write(trace, to), as_json)


def _asked(query: str, start: str, end: str, step: str | None, now_s: float) -> Range:
    """The query over its time, which begins and ends with whole steps. Raises ScenarioError for what is none."""
    step_s = _step_s(query, step)
    moments = {}
    for option, text in (("--start", start), ("--end", end)):
        try:
            moments[option] = int(studies.prometheus.moment_s(text, now_s) // step_s) * step_s
        except ValueError as error:
            raise ScenarioError(f"{option} {error}") from None
    return studies.prometheus.Range(query, moments["--start"], moments["--end"], step_s)


def _step_s(query: str, step: str | None) -> int:
    windows_s = studies.prometheus.windows_s(query)
    if step is None and len(windows_s) != 1:
        raise ScenarioError(f"--query {query}: has no window such as [1m] that says the step, or several; give --step")
    try:
        step_s = windows_s.pop() if step is None else studies.prometheus.duration_s(step)
        if step_s < 1:
            raise ValueError(f"{step!r} is no time at all; a step is at least 1s")
    except ValueError as error:
        raise ScenarioError(f"--step {error}") from None
    return step_s


def _token(path: Path) -> str:
    """The token in a file, which is never shown. Raises ScenarioError where there is none."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(
            f"--token-file {path}: cannot be read: {getattr(error, 'strerror', None) or 'no text'}"
        ) from None
    if not token or not token.isprintable() or " " in token:
        raise ScenarioError(f"--token-file {path}: should hold a token, on one line")
    return token
