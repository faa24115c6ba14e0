"""Whether one profile is slower than another, figure by figure."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from math import hypot

from ipa.profiles import Figure, Pipeline, Variant

WORSE, BETTER, SAME, UNSURE, COPIED = "worse", "better", "same", "unsure", "copied"
VERDICTS = (WORSE, BETTER, UNSURE, SAME, COPIED)


@dataclass(frozen=True)
class Change:
    """A number of both profiles: what it is, its values, and the half-width of the interval of `after` / `before` as a
    share (None: not known).

    `verdict`: worse or better, if the change is above the threshold and above that interval; same below the
    threshold; unsure where the interval is wider than the change, or not known; copied if both files have the number of
    one measurement.
    """

    stage: str
    variant: str
    cores: int | None
    batch: int | None
    what: str
    before: float
    after: float
    within: float | None
    verdict: str

    @property
    def ratio(self) -> float:
        """After over before."""
        return self.after / self.before


def changes(before: Pipeline, after: Pipeline, threshold: float) -> list[Change]:
    """All numbers that both have, in the order of the first; `threshold` is a share, 0.05 for 5 %."""
    same = {key for key, origin in before.provenance.items() if after.provenance.get(key) == origin}
    return [
        change
        for stage in before.stages
        if stage.name in after.by_name
        for old in stage.variants
        for new in after.stage(stage.name).variants
        if new.name == old.name
        for change in _of_variant(stage.name, old, new, threshold, same)
    ]


def _of_variant(stage: str, old: Variant, new: Variant, threshold: float, same: Set[str]) -> Iterator[Change]:
    figures = {(each.cores, each.batch): each for each in new.figures}
    for was in old.figures:
        now = figures.get((was.cores, was.batch))
        if now is not None:
            yield from _of_figure(stage, old.name, was, now, threshold, same)
    pairs = {"start_up_s": (old.start_up_s, new.start_up_s), "memory_mb": (old.memory_mb, new.memory_mb)}
    sure = {"start_up_s": None, "memory_mb": 0.0}
    is_measured = {"start_up_s": old.start_up_from and new.start_up_from, "memory_mb": True}
    sources = {"start_up_s": old.start_up_from, "memory_mb": old.memory_from}
    for what, (first, second) in pairs.items():
        if first and second and is_measured[what]:
            is_copied = first == second and sources[what] in same
            verdict = COPIED if is_copied else _verdict(second / first, sure[what], threshold, is_latency=True)
            yield Change(stage, old.name, None, None, what, first, second, sure[what], verdict)


def _of_figure(
    stage: str, variant: str, was: Figure, now: Figure, threshold: float, same: Set[str]
) -> Iterator[Change]:
    places = stage, variant, was.cores, was.batch
    is_copied = was == now and {was.mean_from, was.p99_from, was.throughput_from} <= same
    for what in ("mean_s", "p99_s", "throughput_rps"):
        key = what.removesuffix("_s") + "_within"
        # A throughput is batch / mean or noisier than that: its interval is the mean's.
        key = "mean_within" if what == "throughput_rps" else key
        within = _together(getattr(was, key), getattr(now, key))
        before, after = getattr(was, what), getattr(now, what)
        verdict = _verdict(after / before, within, threshold, is_latency=what != "throughput_rps")
        verdict = COPIED if is_copied else verdict
        yield Change(*places, what, before, after, within, verdict)


def _together(first: float | None, second: float | None) -> float | None:
    """The half-width of a ratio, as a share: errors of independent measurements add in squares."""
    return None if first is None or second is None else hypot(first, second)


def _verdict(ratio: float, within: float | None, threshold: float, *, is_latency: bool) -> str:
    change = ratio - 1 if is_latency else 1 / ratio - 1
    if abs(change) <= threshold:
        return SAME
    if within is None or abs(change) <= within:
        return UNSURE
    return WORSE if change > 0 else BETTER
