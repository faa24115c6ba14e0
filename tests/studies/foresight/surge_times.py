"""How far from the time of the half hour at which surges had come others come, by how many days are remembered: the
large surges of the development part of the Twitter trace.

    python -m tests.studies.foresight.surge_times
"""

from __future__ import annotations

import click
import numpy as np

from ipa import traces
from ipa.policies.foresight.clock import apart_s
from ipa.policies.foresight.silence import heard
from ipa.policies.foresight.surges import DAY_S, LONGEST_S, Surge, large_onsets_s, surges_in
from tests.studies.foresight.cases import DEVELOPMENT, trace_path

PERIOD_S = 1800.0
LIMITS_S = (60.0, 30.0, 20.0)
MARGIN_S = 600 + LONGEST_S
"""Each day is looked at from so long before it on, so that the level before its first surge is known, and how long its
last surge of the day before goes on."""


def surges_of_days(counts_rps: list[float]) -> list[Surge]:
    """All surges of these days, oldest first."""
    found: dict[float, Surge] = {}
    known: list[Surge] = []
    for end in range(int(DAY_S), len(counts_rps) + 1, int(DAY_S)):
        begin = max(0, end - int(DAY_S) - MARGIN_S)
        seen, _ = heard(counts_rps[begin:end], float(end), DAY_S, DAY_S)
        known = surges_in(seen, float(end), known)
        found.update((surge.onset_s, surge) for surge in known)
    return [found[onset_s] for onset_s in sorted(found)]


@click.command(help=__doc__)
def main() -> None:
    """Print the table."""
    counts = traces.find(trace_path()).per_second()[: DEVELOPMENT[1]].astype(float).tolist()
    onsets_s = np.array(large_onsets_s(surges_of_days(counts)))
    click.echo(
        "| days remembered | large surges | none before within " + " s | ".join(f"{s:.0f}" for s in LIMITS_S) + " s |"
    )
    click.echo("|--:|--:|" + "--:|" * len(LIMITS_S))
    for days in (1, 2, 3):
        nearest = []
        for onset_s in onsets_s[onsets_s >= days * DAY_S]:
            before = onsets_s[(onsets_s < onset_s) & (onsets_s >= onset_s - days * DAY_S)]
            nearest.append(float(apart_s(onset_s, before, PERIOD_S).min()) if len(before) else PERIOD_S)
        far = " | ".join(str(sum(each > limit_s for each in nearest)) for limit_s in LIMITS_S)
        click.echo(f"| {days} | {len(nearest)} | {far} |")


if __name__ == "__main__":
    main()
