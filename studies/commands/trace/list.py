"""`ipa trace list`: the loads by name."""

from __future__ import annotations

import os
from typing import Any

import click

import ipa
from ipa.studies.commands import printing
from ipa.studies.commands.options import output_options


@click.command("list")
@output_options
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
    printing.print_table(table)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(name: str) -> dict[str, Any]:
    real = name.startswith("twitter:")
    figures: dict[str, Any] = {} if real else ipa.traces.info(ipa.traces.find(name, seed=1))
    known = ipa.traces.default_path(os.environ) is not None
    return {
        "name": name,
        "duration_s": figures.get("duration_s"),
        "requests": figures.get("requests"),
        "mean_rps": None if real else round(figures["mean_rps"], 1),
        "range_rps": None if real else f"{figures['min_rps']} to {figures['max_rps']}",
        "what": ("a window of the real trace" + ("" if known else f", once {ipa.traces.TRACE_VARIABLE} names its file"))
        if real
        else "synthetic, drawn from the seed",
    }
