"""The numbers of a profile and the marks of their sources, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ipa.profiles import Figure, Pipeline, Stage


@dataclass(frozen=True)
class Mark:
    """The mark of a kind of provenance: a sign in text, and plotly's name of a similar symbol."""

    sign: str
    symbol: str


MARKS: Mapping[str, Mark] = {
    "measured": Mark("●", "circle"),
    "interpolated": Mark("◇", "diamond-open"),
    "calibrated": Mark("★", "star"),
    "assumed": Mark("✕", "x-thin-open"),
}
"""Kind of provenance -> its mark; the shapes are distinct without colours."""


@dataclass(frozen=True)
class Quantity:
    """One of a figure's three numbers, and its provenance key."""

    label: str
    title: str
    value: Callable[[Figure], float]
    source: Callable[[Figure], str]
    is_latency: bool = True


QUANTITIES = (
    Quantity("mean s", "Mean latency of a batch (s)", lambda f: f.mean_s, lambda f: f.mean_from),
    Quantity("p99 s", "p99 latency of a batch (s)", lambda f: f.p99_s, lambda f: f.p99_from),
    Quantity(
        "rps",
        "Throughput of a replica (requests/s)",
        lambda f: f.throughput_rps,
        lambda f: f.throughput_from,
        is_latency=False,
    ),
)


def counts(pipeline: Pipeline, stages: Sequence[Stage]) -> dict[str, int]:
    """Kind of provenance -> how many of the stages' numbers (mean, p99, throughput) have it."""
    kinds = [pipeline.provenance[source].kind for source in _number_sources(stages)]
    return {kind: kinds.count(kind) for kind in MARKS}


def sources(pipeline: Pipeline, stages: Sequence[Stage]) -> list[str]:
    """The provenance keys of everything in the stages' profiles, by kind, in the file's order."""
    used = set(_number_sources(stages))
    for variant in (variant for stage in stages for variant in stage.variants):
        used |= {variant.accuracy_from, variant.start_up_from, variant.memory_from}
    used.add(pipeline.pair_accuracies_from)
    if pipeline.graph is not None:
        used |= {pipeline.graph.accuracies_from, *(edge.source for edge in pipeline.graph.edges)}
    return [key for kind in MARKS for key, origin in pipeline.provenance.items() if key in used and origin.kind == kind]


def pins(stages: Sequence[Stage]) -> dict[str, str]:
    """Values pinned instead of those of rules, with the reasons."""
    reason_by_value = {}
    for stage in stages:
        if stage.sla_why:
            reason_by_value[f"SLA of {stage.name}"] = stage.sla_why
        for variant in stage.variants:
            if variant.base_cores_why:
                reason_by_value[f"base cores of {variant.name}"] = variant.base_cores_why
    return reason_by_value


def besides(stages: Sequence[Stage]) -> dict[str, str]:
    """Further measurements of variants: memory."""
    measurements = {}
    for variant in (variant for stage in stages for variant in stage.variants):
        if variant.memory_mb is not None:
            measurements[f"memory of {variant.name}"] = f"{variant.memory_mb:g} MiB at most"
    return measurements


def sla_sum(pipeline: Pipeline) -> str:
    """The end-to-end SLA as a sum over the stages, in a graph those of the longest path: `4.62 + 2.27 = 6.89 s`."""
    parts = {stage.name: stage.sla_s for stage in pipeline.stages}
    if pipeline.graph is not None:
        parts = {name: parts[name] for name in pipeline.graph.longest_way(parts)}
        if abs(sum(parts.values()) - pipeline.sla_s) > 1e-6:
            return f"{pipeline.sla_s:.4g} s"
    terms = " + ".join(f"{sla_s:.4g}" for sla_s in parts.values())
    return f"{terms} = {pipeline.sla_s:.4g} s" if len(parts) > 1 else f"{terms} s"


def _number_sources(stages: Sequence[Stage]) -> Iterator[str]:
    for stage in stages:
        for variant in stage.variants:
            for figure in variant.figures:
                for quantity in QUANTITIES:
                    yield quantity.source(figure)
