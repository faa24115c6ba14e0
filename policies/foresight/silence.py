"""Silence: seconds without any request that chance does not bring are taken for seconds without a sample.

A load from which nothing comes any more, from one second to the next, has hardly ended: more likely something before
the service holds it back, or nobody counts it. As a rule it comes back where it was, at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import log, nan, sqrt
from typing import Any

from ipa.policies.foresight.level import LONG_S, MEDIUM_S, SHORT_S, level_of
from ipa.policies.foresight.surges import DAY_S, DEVIATIONS, LONGEST_S
from ipa.policies.interface import Memory, Observation

USUAL = 0.1
"""Where silences fill more than this share of the time, they are how the load is."""
CALM_BEFORE_S = 3600.0
"""So long without a silence is taken to have been before the time seen."""
FEWEST = 10
"""In the minute before a silence there are so many requests."""


@dataclass(frozen=True, slots=True)
class Silences:
    """When each of the latest silences began and, so far, ended on the policy's clock [s]; and how many seconds all
    have lasted, those of a day ago counted half."""

    spans: tuple[tuple[float, float], ...] = ()
    in_all_s: float = 0.0

    @classmethod
    def of(cls, kept: Sequence[Any] | None) -> Silences:
        """From a memory; None: there has been none."""
        return cls() if kept is None else cls(tuple((begun, end) for begun, end in kept[0]), kept[1])

    @property
    def kept(self) -> list[Any]:
        """As JSON."""
        return [[list(span) for span in self.spans], self.in_all_s]

    def are_usual(self, seen_s: float) -> bool:
        """Whether that is how the load is, of which `seen_s` have been seen."""
        counted_s = min(seen_s, DAY_S / log(2)) + CALM_BEFORE_S  # a steady share, those of a day ago counted half
        return self.in_all_s > USUAL * counted_s


def told_of(observation: Observation, memory: Memory, now_s: float, step_s: float) -> tuple[Observation, Silences]:
    """The observation without a sample where its load is silent, and what is known of silences from now on.

    `now_s`: the time on the policy's clock; `step_s`: since the decision before.
    """
    before = Silences.of(memory.get("silence"))
    if "seen" in memory:
        load_rps, silences = heard(observation.load_rps, now_s, step_s, memory["seen"]["seen_s"], before)
        return replace(observation, load_rps=tuple(load_rps)), silences
    past_rps = observation.past_rps or ()
    whole = (*past_rps, *observation.load_rps)
    found, silences = heard(whole, now_s, step_s, len(whole))
    begins = len(past_rps)
    return replace(observation, past_rps=tuple(found[:begins]), load_rps=tuple(found[begins:])), silences


def heard(
    load_rps: Sequence[float], until_s: float, step_s: float, seen_s: float, before: Silences | None = None
) -> tuple[Sequence[float], Silences]:
    """The counts of seconds, those of silences without a sample (NaN), and what is known of silences then.

    The last second ends at `until_s` on the policy's clock. `before`: what was known `step_s` ago. With a level of L
    and a deviation of D before, k seconds without a request are a silence if L k is more than five deviations of their
    sum, D sqrt(k). What lasts longer than half an hour is the level, as of a surge; and where silences are usual, they
    are a part of the load.
    """
    known = before or Silences()
    spans = dict(known.spans)
    in_all_s = known.in_all_s * 0.5 ** (step_s / DAY_S)
    start_s = until_s - len(load_rps)
    found = list(load_rps) if 0.0 in load_rps else load_rps
    for first, end in _runs(load_rps) if 0.0 in load_rps else ():
        begun_s, end_s = start_s + first, start_s + end
        same_s = next((b for b, e in spans.items() if b <= end_s and e >= begun_s), None)
        if same_s is None and not _is_silence(found, first, end):
            continue
        if same_s is not None:
            begun_s, known_s = same_s, spans[same_s]
        else:
            known_s = begun_s
        spans[begun_s] = max(end_s, known_s)
        in_all_s += max(end_s - known_s, 0.0) * 0.5 ** ((until_s - end_s) / DAY_S)
        if spans[begun_s] - begun_s < LONGEST_S:
            found[first:end] = [nan] * (end - first)  # type: ignore[index]
    kept = tuple((begun_s, end_s) for begun_s, end_s in spans.items() if end_s >= start_s)
    silences = Silences(kept, in_all_s)
    return load_rps if silences.are_usual(seen_s) else found, silences


def _runs(load_rps: Sequence[float]) -> Iterator[tuple[int, int]]:
    """The seconds without a request that follow one another, up to the last of them: the first, and the one after the
    last. Seconds without a sample among them end nothing."""
    first, end = None, 0
    for place, count in enumerate(load_rps):
        if count == 0:
            first, end = place if first is None else first, place + 1
        elif count == count and first is not None:
            yield first, end
            first = None
    if first is not None:
        yield first, end


def _is_silence(load_rps: Sequence[float], first: int, end: int) -> bool:
    lasts_s = end - first
    if lasts_s < SHORT_S or first < MEDIUM_S:
        return False
    level = level_of(load_rps[max(0, first - LONG_S) : first])
    if level is None or level.m60_rps * LONG_S < FEWEST:
        return False
    return level.m60_rps * sqrt(lasts_s) > DEVIATIONS * level.deviation_rps
