"""Silence: seconds without any request that chance does not bring are taken for seconds without a sample.

A load from which nothing comes any more, from one second to the next, has hardly ended: more likely something before
the service holds it back, or nobody counts it. As a rule it comes back where it was, at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import nan, sqrt

from ipa.policies.foresight.level import LONG_S, MEDIUM_S, SHORT_S, level_of
from ipa.policies.foresight.surges import DAY_S, DEVIATIONS, LONGEST_S
from ipa.policies.interface import Memory, Observation

USUAL, TRIED_S = 0.1, 3600.0
"""Where silences have filled this share of the time seen, and of this time before, they are how the load is."""


@dataclass(frozen=True, slots=True)
class Silence:
    """The latest silence: when it began and, so far, ended on the policy's clock [s]; and how many seconds all have
    lasted, those of a day ago counted half."""

    begun_s: float
    end_s: float
    in_all_s: float = 0.0

    @property
    def kept(self) -> list[float]:
        """As JSON."""
        return [self.begun_s, self.end_s, self.in_all_s]

    def is_usual(self, seen_s: float) -> bool:
        """Whether that is how the load is, of which `seen_s` have been seen."""
        return self.in_all_s > USUAL * (min(seen_s, DAY_S) + TRIED_S)


def told_of(
    observation: Observation, memory: Memory, now_s: float, step_s: float
) -> tuple[Observation, Silence | None]:
    """The observation without a sample where its load is silent, and what is known of silences from now on."""
    before = Silence(*memory["silence"]) if "silence" in memory else None
    if "seen" in memory:
        load_rps, silence = heard(observation.load_rps, now_s, step_s, memory["seen"]["seen_s"], before)
        return replace(observation, load_rps=tuple(load_rps)), silence
    past_rps = observation.past_rps or ()
    whole = (*past_rps, *observation.load_rps)
    found, silence = heard(whole, now_s, step_s, len(whole), before)
    begins = len(past_rps)
    return replace(observation, past_rps=tuple(found[:begins]), load_rps=tuple(found[begins:])), silence


def heard(
    load_rps: Sequence[float], until_s: float, step_s: float, seen_s: float, before: Silence | None = None
) -> tuple[Sequence[float], Silence | None]:
    """The counts of seconds, those of silences without a sample (NaN), and what is known of silences then.

    The last second ends at `until_s` on the policy's clock. `before`: what was known `step_s` ago. With a level of L
    and a deviation of D before, k seconds without a request are a silence if L k is more than five deviations of their
    sum, D sqrt(k). What lasts longer than half an hour is the level, as of a surge; and where silences are usual, they
    are a part of the load.
    """
    latest = before
    if before is not None:
        latest = Silence(before.begun_s, before.end_s, before.in_all_s * 0.5 ** (step_s / DAY_S))
    if 0.0 not in load_rps:
        return load_rps, latest
    start_s = until_s - len(load_rps)
    silences = []
    for first, end in _runs(load_rps):
        begun_s, end_s = start_s + first, start_s + end
        if latest is not None and latest.begun_s <= begun_s <= latest.end_s:
            new_s = max(end_s - latest.end_s, 0.0)
            latest = Silence(latest.begun_s, max(end_s, latest.end_s), latest.in_all_s + new_s)
        elif _is_silence(load_rps, first, end):
            latest = Silence(begun_s, end_s, (latest.in_all_s if latest is not None else 0.0) + end - first)
        else:
            continue
        if latest.end_s - latest.begun_s < LONGEST_S:
            silences.append((first, end))
    if latest is None or latest.is_usual(seen_s):
        return load_rps, latest
    found = list(load_rps)
    for first, end in silences:
        found[first:end] = [nan] * (end - first)
    return found, latest


def _runs(load_rps: Sequence[float]) -> Iterator[tuple[int, int]]:
    """The seconds without a request that follow one another: the first, and the one after the last."""
    first = None
    for place, count in enumerate(load_rps):
        if count == 0:
            first = place if first is None else first
        elif first is not None:
            yield first, place
            first = None
    if first is not None:
        yield first, len(load_rps)


def _is_silence(load_rps: Sequence[float], first: int, end: int) -> bool:
    lasts_s = end - first
    if lasts_s < SHORT_S or first < MEDIUM_S:
        return False
    level = level_of(load_rps[max(0, first - LONG_S) : first])
    return level is not None and level.m60_rps * sqrt(lasts_s) > DEVIATIONS * level.deviation_rps
