"""The options of a sweep, declared once for the command line and Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipa.studies.scenario import option

Vary = Mapping[str, str | Sequence[Any]] | Sequence[str]
"""Keys with their values, as a command-line text or a sequence; or texts `KEY=VALUES`."""

Texts = str | Sequence[str]


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """The options of a sweep.

    `values` of the scenario, by dotted key, are for all runs. Unless they set `records`, no records of requests are
    kept, and latency quantiles have a relative error of up to 0.1 %.
    """

    vary: Vary = option(
        (),
        "Values of any key of the scenario: policy.alpha=0.5,1,2, or from, to and step: hop_s=0:0.1:0.02; between two "
        "ends for samples: policy.beta=0.1:10, on a logarithmic scale policy.beta=0.1:10:log. Repeatable.",
        metavar="KEY=VALUES",
    )
    where: Texts = option(
        (),
        "Leave out the points where this does not hold: 'guards.min_replicas<=guards.max_replicas'. Repeatable.",
        metavar="CONDITION",
    )
    points: str | None = option(
        None,
        "Draw so many points instead of all combinations: 128, or sobol:128, evenly spread by a Sobol sequence.",
        metavar="[sobol:]N",
    )
    seeds: int | None = option(None, "Runs of each point, with seeds from --seed on. Default: 1.", least=1)
    values: Mapping[str, Any] | None = None
