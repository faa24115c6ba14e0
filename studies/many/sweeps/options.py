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
        "Values of any key: policy.alpha=0.5,1,2; from, to and step: hop_s=0:0.1:0.02; for --points, two ends: "
        "policy.beta=0.1:10 or 0.1:10:log. Repeatable.",
        metavar="KEY=VALUES",
    )
    where: Texts = option(
        (),
        "Leave out points but those where this holds: 'policy.alpha<=policy.beta'. Repeatable.",
        metavar="CONDITION",
    )
    points: str | None = option(
        None,
        "Draw so many points in place of all, at random or by a Sobol sequence.",
        metavar="[sobol:]N",
    )
    seeds: int | None = option(None, "Runs of each point, from --seed on. Default: 1.", least=1)
    values: Mapping[str, Any] | None = None
