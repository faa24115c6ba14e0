"""Checks a pipeline: what it can serve, and what is likely to be a mistake."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ipa.profiles import Pipeline, Stage, default_rules, listed
from ipa.studies.profile.by_rule import ruled
from ipa.studies.profile.doubts import sla_doubts
from ipa.studies.profile.graph import fastest_s, graph_as_dict, longest_way, other_spread
from ipa.studies.profile.numbers import sla_sum

MOST_REPLICAS = 100
"""The most replicas of a stage, as is the policies' default."""


@dataclass(frozen=True)
class End:
    """One end of what a pipeline can serve: a choice of variants of scale-only.

    `pas` from 0 to 100, `cores` for a forecast of the pipeline's `load_rps`, `most_rps` the largest forecast that
    `MOST_REPLICAS` replicas at each stage carry.
    """

    name: str
    variants: dict[str, str]
    pas: float
    cores: int
    most_rps: float


def ends(pipeline: Pipeline) -> list[End]:
    """The end of each of scale-only's choices."""
    return [_end(pipeline, name) for name in pipeline.defaults.scale_only]


def _end(pipeline: Pipeline, name: str) -> End:
    defaults = pipeline.defaults
    names = dict(defaults.scale_only[name])
    variants = [(stage, stage.variant(names[stage.name])) for stage in pipeline.stages]
    items = default_rules.stage_loads_rps(pipeline, names, 1.0)
    least_rps = min(
        default_rules.replica_rps(defaults, stage, variant) / items[stage.name]
        for stage, variant in variants
        if items[stage.name] > 0
    )
    return End(
        name=name,
        variants=names,
        pas=100 * pipeline.accuracy_of([variant.name for _, variant in variants]),
        cores=default_rules.total_cores(pipeline, names, defaults.load_rps),
        most_rps=MOST_REPLICAS * least_rps / (1 + defaults.load_margin),
    )


def warnings(pipeline: Pipeline) -> Iterator[str]:
    """Warnings of what is likely to be a mistake or a surprise."""
    least_s = fastest_s(pipeline)
    for stage in pipeline.stages:
        on_way_s = math.fsum(least_s[name] for name in longest_way(pipeline, least_s, stage.name))
        others_s = on_way_s - min(variant.p99_s(1) for variant in stage.variants)
        yield from _too_slow(pipeline, stage, others_s)
        if all(variant.max_batch() == 1 for variant in stage.variants):
            yield f"{stage.name}: only batch size 1 is profiled, so requests are never batched"
    entries = pipeline.graph.entries(list(pipeline.by_name)) if pipeline.graph else ()
    if len(entries) > 1:
        yield f"each request enters at {listed(entries)}, as these say no stage that they are `after`"
    for edge in pipeline.graph.edges if pipeline.graph else ():
        if other_spread(edge):
            yield (
                f"{edge.parent} → {edge.child}: the number of items has a spread of {other_spread(edge)}, not "
                f"{edge.spread:g}: so few items cannot have that (docs/model.md, rule 12)"
            )
    yield from unmeasured(pipeline)
    fastest_way_s = math.fsum(least_s[name] for name in longest_way(pipeline, least_s))
    low, high = (_end(pipeline, label) for label in ("low", "high"))
    if low.most_rps < pipeline.defaults.load_rps:
        yield (
            f"the lightest variants serve up to {low.most_rps:.3g} requests/s with {MOST_REPLICAS} replicas, less than "
            f"load_rps, {pipeline.defaults.load_rps:g}: set that to your load, and run on such a load (--scale)"
        )
    if low.variants == high.variants:
        yield "the lightest variants are the most accurate that keep the SLA: there is nothing to weigh against cores"
    if all(stage.sla_why for stage in pipeline.stages):
        yield from sla_doubts(pipeline)
    if pipeline.defaults.by_rule and any(not stage.sla_why for stage in pipeline.stages):
        yield (
            f"the SLA, {sla_sum(pipeline)}, is by rule, 25 x the mean p99, where the fastest variants need "
            f"{fastest_way_s:.3g} s: give yours with --set sla_s=SECONDS, or a stage's in the file "
            "with sla: {pinned_s: SECONDS, why: ...}"
        )


def unmeasured(pipeline: Pipeline) -> Iterator[str]:
    """The warning that accuracies have no effect, as in the file of a new profile; empty if any differs from 1."""
    if all(variant.accuracy == 1.0 for stage in pipeline.stages for variant in stage.variants):
        yield f"{pipeline.name}: all accuracies are 1, so that no variant is better than another: write what yours are"


def _too_slow(pipeline: Pipeline, stage: Stage, others_s: float) -> Iterator[str]:
    """Variants that cannot keep the SLA, even with the fastest ones at the other stages, or cannot keep their stage's
    share of it."""
    for variant in stage.variants:
        p99_s = variant.p99_s(1)
        complaint = f"{stage.name}: {variant.name} never keeps"
        if p99_s + others_s > pipeline.sla_s:
            waits = " and joins" if pipeline.graph and any(map(pipeline.graph.wait_s, pipeline.by_name)) else ""
            others = f" and the fastest at the other stages{waits} {others_s:.3g} s"
            at_others = others if len(pipeline.stages) > 1 else ""
            yield f"{complaint} the SLA of {pipeline.sla_s:.4g} s: its p99 at batch 1 is {p99_s:.3g} s{at_others}"
        elif p99_s > stage.sla_s:
            yield f"{complaint} its stage's SLA of {stage.sla_s:.4g} s: its p99 at batch 1 is {p99_s:.3g} s"


def checked(pipeline: Pipeline) -> dict[str, Any]:
    """The whole check, JSON-able."""
    return {
        "pipeline": pipeline.name,
        "sla_s": pipeline.sla_s,
        "stages": [
            {
                "stage": stage.name,
                "sla_s": stage.sla_s,
                "threshold_rps": stage.threshold_rps,
                "variants": [
                    {
                        "variant": variant.name,
                        "accuracy": variant.accuracy,
                        "base_cores": variant.base_cores,
                        "cores": list(variant.cores),
                        "batches": list(variant.batches()),
                        "p99_s": variant.p99_s(1),
                        "replica_rps": default_rules.replica_rps(pipeline.defaults, stage, variant),
                        "start_up_s": variant.start_up_s,
                    }
                    for variant in stage.variants
                ],
            }
            for stage in pipeline.stages
        ],
        "load_rps": pipeline.defaults.load_rps,
        "scale_only": [asdict(end) for end in ends(pipeline)],
        "by_rule": [asdict(ruled_value) for ruled_value in ruled(pipeline)],
        **graph_as_dict(pipeline),
        "warnings": list(warnings(pipeline)),
    }
