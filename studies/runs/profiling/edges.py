"""Counts of items on the edges of a graph, and their form in a pipeline file: numbers, shares, persistence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from math import fsum
from statistics import fmean, median

import numpy as np

from ipa.live import profiling
from ipa.live.profiling import Numbers
from ipa.profiles import Edge, ProfiledEdge
from ipa.studies.runs.profiling.profile import Profile

APART = 0.05
"""If the variants' shares differ by more than this, it is reported: a file has one share for all variants."""


@dataclass(frozen=True)
class EdgeCounts:
    """How many items each sample put on an edge, in order of the samples: variant -> numbers. `others`: the parent's
    variants that were not measured. `every_s`: the time between samples; None: unknown, and so is persistence.
    """

    edge: Edge
    numbers: Mapping[str, tuple[int, ...]]
    others: tuple[str, ...]
    every_s: float | None

    @property
    def share(self) -> float:
        """The share of items that take the edge, averaged over variants."""
        return fmean(self.means.values())

    @property
    def means(self) -> dict[str, float]:
        """Variant -> mean number of items on the edge per item."""
        return {variant: fmean(items) for variant, items in self.numbers.items()}

    @property
    def persist_s(self) -> float | None:
        """How long numbers of items persist; None if unknown, and for shares, which do not persist."""
        if self.every_s is None or not self.edge.items_from:
            return None
        return median(profiling.persist_s_of(items, self.every_s) for items in self.numbers.values())

    @property
    def table(self) -> Mapping[str, tuple[int, ...]]:
        """The content of a file of counts, a column for each variant; empty if some variant has no counts."""
        numbers_by_variant = {**self.edge.counts, **self.numbers}
        is_whole = self.edge.items_from and all(variant in self.edge.counts for variant in self.others)
        return numbers_by_variant if is_whole else {}

    def values(self, source: str, table: str) -> dict[str, object]:
        """Key of the edge -> its value, None for a key to leave out; `table`: the file of the counts."""
        values: dict[str, object] = {"from": source}
        if not self.edge.items_from:
            return {"share": _rounded(self.share, 12), **values}
        values |= {"share": None, "counts": None, "items": None, "spread": None}
        if self.table:
            values["counts"] = table
        else:
            others = {variant: self.edge.factor(variant) for variant in self.others}
            means, variances = self.means, [float(np.var(items)) for items in self.numbers.values()]
            values["items"] = {**others, **{variant: _rounded(mean) for variant, mean in means.items()}}
            total = sum(means.values())
            values["spread"] = _rounded(sum(variances) / total) if total else None
        if self.persist_s is not None:
            values["persist_s"] = _rounded(self.persist_s) or None
        return values


def counted(profile: Profile) -> list[EdgeCounts]:
    """The counts on each edge that depends on models' outputs, in the order of the file."""
    plan, counts = profile.plan, []
    if plan.pipeline is None or plan.pipeline.graph is None:
        return []
    for edge in plan.pipeline.graph.edges:
        sampled_targets = [target for target in plan.targets if target.stage == edge.parent and target.samples]
        if edge not in plan.edges_from(edge.parent) or not sampled_targets:
            continue
        records_of = {
            target.variant: profile.measurements.of(Numbers, edge.parent, target.variant) for target in sampled_targets
        }
        numbers = {
            variant: next(record.items for record in reversed(records) if record.child == edge.child)
            for variant, records in records_of.items()
        }
        others = tuple(
            target.name for target in plan.pipeline.stage(edge.parent).variants if target.name not in numbers
        )
        counts.append(EdgeCounts(edge, numbers, others, plan.every_s))
    return counts


def written(profile: Profile, source: str) -> tuple[list[ProfiledEdge], dict[str, str]]:
    """The edges for the pipeline file, and the files of counts beside it: name -> text."""
    edges, tables = [], {}
    every = counted(profile)
    for counts in every:
        if not _is_writable(counts, every):
            continue
        name = f"{profile.plan.to.stem}.{counts.edge.parent}-{counts.edge.child}.csv"
        edges.append(ProfiledEdge(counts.edge.parent, counts.edge.child, counts.values(source, name)))
        if counts.table:
            rows = [",".join("" if n is None else str(n) for n in row) for row in zip_longest(*counts.table.values())]
            tables[name] = "\n".join([",".join(counts.table), *rows]) + "\n"
    return edges, tables


def _is_writable(counts: EdgeCounts, every: list[EdgeCounts]) -> bool:
    """Whether a file can hold the counts: shares must be above 0, and those of a switch must sum to 1."""
    edge = counts.edge
    if edge.items_from or not edge.switch:
        return bool(edge.items_from) or counts.share > 0.0
    shares = [
        other_counts.share
        for other_counts in every
        if (other_counts.edge.parent, other_counts.edge.switch) == (edge.parent, edge.switch)
    ]
    return min(shares) > 0.0 and abs(fsum(shares) - 1.0) < 1e-9


def doubts(profile: Profile) -> Iterator[str]:
    """Remarks on counts that are missing, or that a file cannot hold exactly."""
    plan, every = profile.plan, counted(profile)
    for target in plan.targets:
        edges = plan.edges_from(target.stage)
        if edges and target.samples is None:
            children = ", ".join(edge.child for edge in edges)
            yield (
                f"{target.stage}/{target.variant}: how many items go on to {children} is counted on samples alone: "
                "give --samples"
            )
    for counts in every:
        place, shares = f"{counts.edge.child} after {counts.edge.parent}", counts.means
        if not _is_writable(counts, every):
            reason = "samples take not each edge of its switch, or none" if counts.edge.switch else "no sample takes it"
            yield f"{place}: {reason}: its share stays {counts.edge.share:g}"
        elif not counts.edge.items_from and max(shares.values()) - min(shares.values()) > APART:
            shares_text = ", ".join(f"{variant} {share:.3g}" for variant, share in shares.items())
            yield f"{place}: the share is the mean of variants that differ: {shares_text}"
    if any(counts.edge.items_from and counts.every_s is None for counts in every):
        yield "how long numbers of items persist is not measured: --every says how far apart the samples are"


def _rounded(value: float, digits: int = 6) -> float:
    return float(f"{value:.{digits}g}")
