"""The margin for ordinary seconds: by how much more than the level had to be planned for, so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import TYPE_CHECKING, Any

from ipa.policies.foresight.choice import DOUBLED_IN
from ipa.policies.foresight.insurance import Timing
from ipa.policies.foresight.level import LONG_S, MEDIUM_S, NORMAL
from ipa.policies.foresight.peak import BAND
from ipa.policies.foresight.surges import BIN_S, BINS, RISE, Surge

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]
    Places = npt.NDArray[np.int64]

MARGINS = 1 + ceil(DOUBLED_IN * log2(1 + RISE))
"""Margins are tried in the steps of rates: none, one step, ... up to a surge's rise. What needs more is a surge."""
HALVED_S = 86_400.0
"""What has been seen counts half after this time."""
PAST_EVERY, PAST_EVERY_S = 7, 70.0
"""Of the decisions that could have been made before a run, one in so many is tried, and none sooner than so long after
another: all would take long, and 7 has no factor in common with what timers are set to."""


@dataclass(frozen=True, slots=True)
class Tried:
    """For each margin, how many requests it would have made late so far, and of how many."""

    late: tuple[float, ...] = (0.0,) * MARGINS
    requests: float = 0.0

    @classmethod
    def of(cls, kept: Sequence[Any] | None) -> Tried:
        """From a memory; None: nothing has been tried."""
        return cls() if kept is None else cls(tuple(kept[0]), kept[1])

    @property
    def kept(self) -> list[Any]:
        """As JSON."""
        return [list(self.late), self.requests]

    def least(self, risk: float) -> float:
        """The least margin, as a factor from 1, with which no more than that share would have been late."""
        steps = next((step for step, late in enumerate(self.late) if late <= risk * self.requests), MARGINS - 1)
        return float(2.0 ** (steps / DOUBLED_IN))

    def after(
        self, load_rps: Sequence[float], surges: Sequence[Surge], until_s: float, timing: Timing, is_past: bool
    ) -> Tried:
        """With the latest decision tried whose seconds have come, or those of all the past.

        `load_rps`: the counts of seconds, the last of which ends at `until_s` on the policy's clock (NaN: no sample).
        A decision whose seconds touch a surge's first minute, rise by as much, or lack a sample, says nothing: surges
        are insured against apart.
        """
        import numpy as np

        counts = np.asarray(load_rps, dtype=np.float64)
        ahead, step = ceil(timing.answered_s), max(1, round(timing.step_s))
        latest = len(counts) - step * ceil(ahead / step)
        every = PAST_EVERY * ceil(PAST_EVERY_S / (PAST_EVERY * step)) if is_past else 1
        first = LONG_S if is_past else max(LONG_S, latest)
        ends = np.arange(latest, first - 1, -step * every)
        gaps = np.concatenate([[0], np.cumsum(np.isnan(counts))])
        ordinary = gaps[ends + ahead] == gaps[np.maximum(ends - LONG_S - ahead, 0)]
        times = until_s - len(counts) + ends
        first_s = float(times.min(initial=until_s))
        for surge in (each for each in surges if each.onset_s + BINS * BIN_S > first_s):
            ordinary &= (times + ahead < surge.onset_s) | (times >= surge.onset_s + BINS * BIN_S)
        if not ordinary.any():
            return self
        late, requests = _late(np.nan_to_num(counts), ends[ordinary], timing)
        kept = 0.5 ** (timing.step_s / HALVED_S)
        summed = kept * np.array(self.late) + every * late
        return Tried(tuple(summed.tolist()), kept * self.requests + every * requests)


def _late(counts: Numbers, ends: Places, timing: Timing) -> tuple[Numbers, float]:
    """How many requests each margin makes late after decisions at `ends` [the place of the second after], and of how
    many: those that come before what waits can be served by replicas of the next decision. Only decisions count after
    which the greatest margin makes none late.

    Nothing waits at a decision. What it takes away is gone at once, and what it adds serves after the lead; until then
    there is what earlier decisions have added.
    """
    import numpy as np

    factors = 2.0 ** (np.arange(MARGINS) / DOUBLED_IN)
    seconds = np.arange(ceil(timing.unrescued_s))
    if not len(seconds):
        return np.zeros(MARGINS), float(counts[ends[:, None] + np.arange(ceil(timing.answered_s))].sum())
    level = _levels(counts)
    since_s = timing.step_s * np.ceil(np.maximum(timing.lead_s - seconds, 0.0) / timing.step_s)
    decided = np.maximum(ends[:, None] - LONG_S - np.rint(since_s).astype(int), 0)
    served = np.minimum(level[decided], level[ends - LONG_S][:, None])[:, :, None] * factors
    came = counts[ends[:, None] + seconds]
    # What waits at the end of each second: what has come beyond what was served, since that was least.
    beyond = np.cumsum(came, axis=1)[:, :, None] - np.cumsum(served, axis=1)
    waits = beyond - np.minimum(np.minimum.accumulate(beyond, axis=1), 0.0)
    late = np.minimum(np.maximum(waits - timing.wait_s * served, 0.0), came[:, :, None]).sum(axis=1)
    is_ordinary = late[:, -1] == 0
    return late[is_ordinary].sum(axis=0), float(came[is_ordinary].sum())


def _levels(counts: Numbers) -> Numbers:
    """At the end of each second from the 60th on, the level planned for [rps], as `peak_of` has it in calm."""
    import numpy as np

    sums = np.concatenate([[0.0], np.cumsum(counts)])
    changes = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(counts, prepend=counts[0])))])
    ends = np.arange(LONG_S, len(counts) + 1)
    mean = (sums[ends] - sums[ends - MEDIUM_S]) / MEDIUM_S
    deviation = NORMAL * (changes[ends] - changes[ends - LONG_S + 1]) / (LONG_S - 1)
    found: Numbers = mean + BAND * deviation
    return found
