"""`ipa trace info`: the figures of a load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import ipa
from ipa import studies
from ipa.studies.commands import complete, printing
from ipa.studies.commands.options import (
    NEW_FILE,
    output_options,
    scale_option,
    time_hints,
    time_options,
    window_option,
    workload_seed_option,
)

if TYPE_CHECKING:
    from ipa.traces import Trace

MOST_MEANS = 24
"""How many means over time a person still reads."""

WIDTHS = (
    (60, "minute"), (300, "5 minutes"), (600, "10 minutes"), (1800, "30 minutes"), (3600, "hour"), (10800, "3 hours"),
    (86400, "day"), (604800, "week"),
)  # fmt: skip
"""Over what a mean is taken, in seconds and in words: the first that gives at most `MOST_MEANS`."""


SHAPES = (
    *("minute_means_rps", "dispersion_index", "dispersion_by_scale"),
    *("largest_rises", "daily_rps", "weekly_rps"),
)
"""Figures that are printed in words."""


@click.command()
@click.argument("name", metavar="NAME|FILE", shell_complete=complete.traces)
@time_options
@window_option
@scale_option
@workload_seed_option
@click.option("--to", type=NEW_FILE, help="Write an HTML page with plots to this file.")
@output_options
def info(
    name: str,
    window: str | None,
    scale: float | None,
    seed: int,
    to: Path | None,
    as_json: bool,
    **times: str | None,
) -> None:
    """Show the figures of a load: requests, mean rate, range, burstiness, day and week, largest rises."""
    trace = studies.Load.given(name, window, scale, seed, time_hints(**times)).trace()
    if to is not None:
        studies.pages.load.write(trace, to)
    figures = ipa.traces.info(trace)
    if as_json:
        printing.print_json(figures)
        return
    shown = {key: value for key, value in figures.items() if key not in SHAPES and value is not None}
    printing.print_figures(name, shown | _shape(trace) | _means(trace))
    printing.print_places(None, to)


def _shape(trace: Trace) -> dict[str, Any]:
    """Burstiness, rises, day and week, in a row each."""
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
    """The means over time, as many as a person reads."""
    width_s, words = next((each for each in WIDTHS if trace.duration_s <= MOST_MEANS * each[0]), WIDTHS[-1])
    means = ", ".join(f"{mean:.4g}" for mean in ipa.traces.means_rps(trace, width_s))
    return {f"mean_rps of every {words}": means}
