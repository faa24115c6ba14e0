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
class Counted:
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
        known = {**self.edge.counts, **self.numbers}
        is_whole = self.edge.items_from and all(each in self.edge.counts for each in self.others)
        return known if is_whole else {}

    def values(self, source: str, table: str) -> dict[str, object]:
        """Key of the edge -> its value, None for a key to leave out; `table`: the file of the counts."""
        found: dict[str, object] = {"from": source}
        if not self.edge.items_from:
            return {"share": _rounded(self.share, 12), **found}
        found |= {"share": None, "counts": None, "items": None, "spread": None}
        if self.table:
            found["counts"] = table
        else:
            others = {variant: self.edge.factor(variant) for variant in self.others}
            means, variances = self.means, [float(np.var(items)) for items in self.numbers.values()]
            found["items"] = {**others, **{variant: _rounded(mean) for variant, mean in means.items()}}
            total = sum(means.values())
            found["spread"] = _rounded(sum(variances) / total) if total else None
        if self.persist_s is not None:
            found["persist_s"] = _rounded(self.persist_s) or None
        return found


def counted(profile: Profile) -> list[Counted]:
    """The counts on each edge that depends on models' outputs, in the order of the file."""
    plan, found = profile.plan, []
    if plan.pipeline is None or plan.pipeline.graph is None:
        return []
    for edge in plan.pipeline.graph.edges:
        asked = [target for target in plan.targets if target.stage == edge.parent and target.samples]
        if edge not in plan.edges_from(edge.parent) or not asked:
            continue
        kept = {each.variant: profile.kept.of(Numbers, edge.parent, each.variant) for each in asked}
        numbers = {
            variant: next(one.items for one in reversed(records) if one.child == edge.child)
            for variant, records in kept.items()
        }
        others = tuple(each.name for each in plan.pipeline.stage(edge.parent).variants if each.name not in numbers)
        found.append(Counted(edge, numbers, others, plan.every_s))
    return found


def written(profile: Profile, source: str) -> tuple[list[ProfiledEdge], dict[str, str]]:
    """The edges for the pipeline file, and the files of counts beside it: name -> text."""
    edges, tables = [], {}
    every = counted(profile)
    for each in every:
        if not _is_writable(each, every):
            continue
        name = f"{profile.plan.to.stem}.{each.edge.parent}-{each.edge.child}.csv"
        edges.append(ProfiledEdge(each.edge.parent, each.edge.child, each.values(source, name)))
        if each.table:
            rows = [",".join("" if n is None else str(n) for n in row) for row in zip_longest(*each.table.values())]
            tables[name] = "\n".join([",".join(each.table), *rows]) + "\n"
    return edges, tables


def _is_writable(each: Counted, every: list[Counted]) -> bool:
    """Whether a file can hold the counts: shares must be above 0, and those of a switch must sum to 1."""
    edge = each.edge
    if edge.items_from or not edge.switch:
        return bool(edge.items_from) or each.share > 0.0
    shares = [one.share for one in every if (one.edge.parent, one.edge.switch) == (edge.parent, edge.switch)]
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
    for each in every:
        place, shares = f"{each.edge.child} after {each.edge.parent}", each.means
        if not _is_writable(each, every):
            reason = "samples take not each edge of its switch, or none" if each.edge.switch else "no sample takes it"
            yield f"{place}: {reason}: its share stays {each.edge.share:g}"
        elif not each.edge.items_from and max(shares.values()) - min(shares.values()) > APART:
            said = ", ".join(f"{variant} {share:.3g}" for variant, share in shares.items())
            yield f"{place}: the share is the mean of variants that differ: {said}"
    if any(each.edge.items_from and each.every_s is None for each in every):
        yield "how long numbers of items persist is not measured: --every says how far apart the samples are"


def _rounded(value: float, digits: int = 6) -> float:
    return float(f"{value:.{digits}g}")
