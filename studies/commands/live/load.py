"""`ipa live load`: a load, sent to a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ipa.studies import live_runs
from ipa.studies.commands import printing
from ipa.studies.commands.amounts import SECONDS
from ipa.studies.commands.options import (
    NEW_FILE,
    Url,
    described_scenario,
    load_options,
    output_options,
    set_option,
    token_file_option,
)


@click.command()
@click.argument("what", metavar="URL|PIPELINE|FILE")
@click.option("--url", type=Url(), help="Gateway of PIPELINE or FILE. Default: http://127.0.0.1:8080.")
@click.option("--model", help="Model to send requests to. Default: the pipeline's name.")
@click.option(
    "--body",
    type=NEW_FILE,
    help="JSON file with a V2 inference request to send. Default: zeros, shaped as the model's metadata says.",
)
@token_file_option
@load_options
@set_option
@click.option("--duration", "duration_s", type=SECONDS, help="Seconds of the load to send. Default: all of it.")
@click.option(
    "--patience",
    "patience_s",
    type=SECONDS,
    default=60.0,
    help="Seconds to wait for answers after the last request. Default: 60.",
)
@click.option("--out", type=NEW_FILE, help="Write a table of the requests to this new .csv or .parquet file.")
@output_options
def load(
    what: str,
    url: str | None,
    model: str | None,
    body: Path | None,
    token_file: Path | None,
    assignments: Sequence[str],
    duration_s: float | None,
    patience_s: float,
    out: Path | None,
    as_json: bool,
    **options: object,
) -> None:
    """Send a load to any server of the Open Inference Protocol V2.

    The load is open loop: each request is sent when it is due, however slow the answers are, and latencies count from
    that moment. A URL needs --model; for PIPELINE or FILE the load goes to its gateway.
    """
    live_runs.check_installed()
    live_runs.check_address(what, url, model)
    is_url = live_runs.is_url(what)
    # A load needs no pipeline; any one will do for the scenario of a URL.
    scenario = described_scenario("video" if is_url else what, assignments, **options)
    target = live_runs.load_target(
        scenario, what if is_url else url or live_runs.GATEWAY, model, body, duration_s, token_file
    )
    printing.say_load(target.trace)
    if out is not None:
        live_runs.check_load_file(out)
    sent = live_runs.send_load(target, patience_s)
    if out is not None:
        live_runs.write_load_table(sent, out)
    figures = live_runs.load_figures(sent, target)
    if figures["loss"]:
        printing.log(figures["loss"])
    if as_json:
        printing.print_json(figures)
    else:
        printing.print_figures(f"{target.trace.name} to {target.url}", figures)
        if out is not None:
            click.echo(f"Requests: {out}")
    if warning := live_runs.late_warning(sent.lateness(), len(sent.request)):
        click.echo(warning, err=True)
    if figures["loss"]:
        raise click.ClickException(figures["loss"])
