"""`ipa trace`: lists, describes, converts and fetches loads."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import ipa
from ipa import studies
from ipa.studies.commands import printing, progress, reports
from ipa.studies.commands.group import Group
from ipa.studies.commands.options import (
    NEW_FILE,
    Words,
    described_load,
    json_option,
    log_option,
    page_option,
    quiet_option,
    scale_option,
    window_option,
    workload_seed_option,
)
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from ipa.studies.scenario import QueryRange
    from ipa.traces import Filling, Trace


@click.group(cls=Group)
def trace() -> None:
    """List, inspect, fetch and convert loads."""


# ---- list ----


@trace.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the loads that have a name, with the figures of the synthetic ones.

    The figures are those of seed 1; `ipa trace info` has more, also of the others.
    """
    rows = [_row(name) for name in ipa.traces.known_names()]
    if as_json:
        printing.print_json(rows)
        return
    table = printing.new_table("", "load", "seconds", "requests", "mean rps", "range rps", "what")
    table.columns[-1].justify = "left"
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    table.add_row("constant:RATE[:SECONDS]", "1200", "", "RATE", "", "the same number every second")
    for family, rates_of in ipa.traces.FAMILIES.items():
        table.add_row(f"{family}:SEED", "1200", "", "", "", _first_words(rates_of.__doc__ or ""))
    for family, past in zip(ipa.traces.REAL_FAMILIES, ("", ", without the load before it"), strict=True):
        table.add_row(f"{family}:SEED", "1200", "", "", "", f"a window of the real trace that the seed draws{past}")
    printing.print_table(table)


def _first_words(docstring: str) -> str:
    """A docstring of one sentence as the end of a table's row."""
    return docstring[:1].lower() + docstring[1:].rstrip(".")


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(name: str) -> dict[str, Any]:
    real = name.startswith("twitter:")
    figures: dict[str, Any] = {} if real else ipa.traces.info(ipa.traces.find(name, seed=1))
    is_there = ipa.traces.default_path(os.environ) is not None
    return {
        "name": name,
        "duration_s": figures.get("duration_s"),
        "requests": figures.get("requests"),
        "mean_rps": None if real else round(figures["mean_rps"], 1),
        "range_rps": None if real else f"{figures['min_rps']} to {figures['max_rps']}",
        "what": (
            "a window of the real trace" + ("" if is_there else f", once {ipa.traces.TRACE_VARIABLE} names its file")
        )
        if real
        else "synthetic, drawn from the seed",
    }


# ---- info ----


MOST_MEANS = 24
"""The most means over time that are printed."""

WIDTHS = (
    (60, "minute"), (300, "5 minutes"), (600, "10 minutes"), (1800, "30 minutes"), (3600, "hour"), (10800, "3 hours"),
    (86400, "day"), (604800, "week"),
)  # fmt: skip
"""The possible widths of a mean, in seconds and in words; the first with at most `MOST_MEANS` means is used."""


SHAPES = (
    *("minute_means_rps", "dispersion_index", "dispersion_by_scale"),
    *("largest_rises", "daily_rps", "weekly_rps"),
)
"""Figures that are printed as text."""


@trace.command()
@click.argument("name", metavar="NAME|FILE")
@window_option
@scale_option
@workload_seed_option
@log_option
@page_option
@json_option
def info(
    name: str,
    to: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Show the figures of a load: requests, mean rate, range, burstiness, day and week, largest rises."""
    trace = described_load(name, **options).trace()
    if to is not None:
        reports.write_page(studies.pages.load.page(trace), to)
    figures = ipa.traces.info(trace)
    if as_json:
        printing.print_json(figures)
        return
    shown = {key: value for key, value in figures.items() if key not in SHAPES and value is not None}
    printing.print_figures(name, shown | _shape(trace) | _means(trace))
    printing.print_places(None, to)


def _shape(trace: Trace) -> dict[str, Any]:
    """Burstiness, rises, day and week, a row each."""
    scales = studies.pages.load.SCALES
    clock = trace.starts_at is not None
    rows: dict[str, Any] = {}
    for scale_s, index in ipa.traces.dispersion(trace).items():
        rows.setdefault("dispersion_index by scale", []).append(f"{scales[scale_s]}: {index:.4g}")
    for rise in ipa.traces.rises(trace):
        words = f"{scales[rise.span_s]}: {rise.from_rps:.4g} to {rise.to_rps:.4g} rps at {rise.at_s:,} s"
        rows.setdefault("largest rise by scale", []).append(words)
    for means_rps, places in (
        (ipa.traces.daily(trace), "hour from midnight" if clock else "hour of a day from the start"),
        (ipa.traces.weekly(trace), "day from Monday" if clock else "day of a week from the start"),
    ):
        if means_rps is not None:
            rows[f"mean_rps of each {places}"] = [f"{mean_rps:.4g}" for mean_rps in means_rps]
    return {name: ("\n" if "rise" in name else ", ").join(words) for name, words in rows.items()}


def _means(trace: Trace) -> dict[str, str]:
    """The means over time, at most `MOST_MEANS`."""
    width_s, words = next((width for width in WIDTHS if trace.duration_s <= MOST_MEANS * width[0]), WIDTHS[-1])
    means = ", ".join(f"{mean:.4g}" for mean in ipa.traces.means_rps(trace, width_s))
    return {f"mean_rps of every {words}": means}


# ---- convert ----


@trace.command()
@click.argument("source", metavar="NAME|FILE")
@click.option("--to", type=NEW_FILE, required=True, help="Write to this new .csv or .parquet file.")
@window_option
@scale_option
@workload_seed_option
@log_option
@quiet_option
def convert(
    source: str,
    to: Path,
    **options: Any,
) -> None:
    """Write a load, or a part of it, to a file: a synthetic one such as step:7, or one that was recorded."""
    trace = described_load(source, **options).trace()
    printing.say_load(trace)
    click.echo(str(ipa.traces.write(trace, to)))


# ---- from-prometheus ----


@trace.command(name="from-prometheus")
@click.argument("url", metavar="URL")
@click.option(
    "--query",
    required=True,
    metavar="PROMQL",
    help="Query for the requests of each step, such as sum(increase(requests_total[1m])), or a counter.",
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
    help="Fill steps without a sample: with zero requests, or by linear interpolation. Default: they are an error.",
)
@click.option("--token-file", type=NEW_FILE, help="File with a bearer token. Or give user:password@ in the URL.")
@click.option("--to", type=NEW_FILE, required=True, help="Write to this new .csv or .parquet file.")
@quiet_option
def from_prometheus(
    url: str,
    fill: Filling | None,
    token_file: Path | None,
    to: Path,
    **asked_for: Any,
) -> None:
    """Write the load that a Prometheus server has recorded to a file.

    URL is the server's, such as http://localhost:9090.
    """
    queried = _asked(**asked_for, now_s=time.time())
    token = None if token_file is None else _token(token_file)
    server = studies.prometheus.RemotePrometheus(url, token=token)
    ipa.traces.check_new(to)
    with progress.counted("Answers of Prometheus", len(list(queried.parts()))) as advance:
        trace = server.load(queried, seed=1, filling=fill or "refuse", on_answer=advance)
    printing.say_load(trace)
    click.echo(str(ipa.traces.write(trace, to)))


def _asked(query: str, start: str, end: str, step: str | None, now_s: float) -> QueryRange:
    """The range of the query, aligned to whole steps. Raises ScenarioError if it is malformed."""
    step_s = _step_s(query, step)
    moments = {}
    for option, text in (("--start", start), ("--end", end)):
        try:
            moments[option] = int(studies.prometheus.moment_s(text, now_s) // step_s) * step_s
        except ValueError as error:
            raise ScenarioError(f"{option} {error}") from None
    return studies.prometheus.QueryRange(query, moments["--start"], moments["--end"], step_s)


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
    """The token in a file, which is never printed. Raises ScenarioError if there is none."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(
            f"--token-file {path}: cannot be read: {getattr(error, 'strerror', None) or 'no text'}"
        ) from None
    if not token or not token.isprintable() or " " in token:
        raise ScenarioError(f"--token-file {path}: should hold a token, on one line")
    return token
