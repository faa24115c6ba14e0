"""The accuracy that a run came to, as the programme of a policy combines it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import fsum
from typing import Any

from ipa.policies import Configuration, Entry
from ipa.policies.optimiser import Programme


def served_accuracy(
    programme: Programme, initial: Configuration, entries: Sequence[Entry], summary: Mapping[str, Any]
) -> float:
    """The accuracy of the requests that a run served: that of the decided configurations, times `served_share`.

    A configuration is decided before it serves, and one that is changed again at once never does. The decided accuracy
    is weighted by the time for which a configuration was in force.
    """
    in_force = [(0.0, initial)]
    in_force += [(entry.observation.time_s, entry.decision.configuration) for entry in entries if not entry.is_refused]
    ends_s = [*(since_s for since_s, _ in in_force), summary["duration_s"]]
    lasting_s = [end_s - since_s for since_s, end_s in pairwise(ends_s)]
    decided = fsum(
        lasted_s * programme.score(configuration)["accuracy"]
        for lasted_s, (_, configuration) in zip(lasting_s, in_force, strict=True)
    )
    return decided / float(summary["duration_s"]) * served_share(summary)


def served_share(summary: Mapping[str, Any]) -> float:
    """The PAS of the requests served / that of the decided configurations; 1 if nothing was served."""
    served, planned = summary["pas_mean"], summary["planned_pas_mean"]
    return served / planned if served is not None and planned else 1.0
