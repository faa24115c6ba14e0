"""`ipa trace info`: the figures of a load."""

from __future__ import annotations

import click

import ipa
from ipa import studies
from ipa.studies.commands import printing
from ipa.studies.commands.options import (
    json_option,
    scale_option,
    time_hints,
    time_options,
    window_option,
    workload_seed_option,
)

MOST_MEANS = 24
"""How many means over time a person still reads."""

WIDTHS = (
    (60, "minute"), (300, "5 minutes"), (600, "10 minutes"), (1800, "30 minutes"), (3600, "hour"), (10800, "3 hours"),
    (86400, "day"), (604800, "week"),
)  # fmt: skip
"""Over what a mean is taken, in seconds and in words: the first that gives at most `MOST_MEANS`."""


@click.command()
@click.argument("name", metavar="NAME|FILE")
@time_options
@window_option
@scale_option
@workload_seed_option
@json_option
def info(name: str, window: str | None, scale: float | None, seed: int, as_json: bool, **times: str | None) -> None:
    """Show the figures of a load: requests, mean rate, range and burstiness."""
    trace = studies.Load.given(name, window, scale, seed, time_hints(**times)).trace()
    figures = ipa.traces.info(trace)
    if as_json:
        printing.print_json(figures)
        return
    width_s, words = next((each for each in WIDTHS if trace.duration_s <= MOST_MEANS * each[0]), WIDTHS[-1])
    del figures["minute_means_rps"]
    means = ", ".join(f"{mean:.4g}" for mean in ipa.traces.means_rps(trace, width_s))
    figures = {key: value for key, value in figures.items() if value is not None}
    printing.print_figures(name, figures | {f"mean_rps of every {words}": means})
