"""The rules for the defaults that a pipeline leaves out: functions of its stages.

They bracket the pipeline: the lightest variants at one end (scale-only:low), the most accurate ones that keep their
stage's SLA at the other (scale-only:high). `alpha` gives both ends the same objective when `load_rps` is forecast:
below that load accuracy is worth its cores, above it cores are worth more. Switch-only has the replicas with which the
lightest variants carry one and a half times that load.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from ipa.profiles.defaults import Defaults
from ipa.profiles.graph import Graph
from ipa.profiles.stage import Measured, Stage, Variant

PEAK = 1.5
"""The load that switch-only's fixed replicas carry, over `load_rps`."""


class Outline(Protocol):
    """A pipeline, whether or not its defaults are whole; they are always right in what they name."""

    @property
    def stages(self) -> Sequence[Stage]: ...

    @property
    def defaults(self) -> Defaults: ...

    @property
    def measured_accuracies(self) -> Measured: ...

    @property
    def graph(self) -> Graph | None: ...


def complete(pipeline: Outline) -> Defaults:
    """The defaults of a pipeline with nothing missing."""
    defaults, stages = pipeline.defaults, pipeline.stages
    missing: list[str] = [f"scale_only.{label}" for label in ("low", "high") if label not in defaults.scale_only]
    ends = {
        "low": {s.name: s.lightest().name for s in stages},
        "high": most_accurate(stages, pipeline.measured_accuracies),
    }
    scale_only = {**ends, **defaults.scale_only}
    whole = replace(defaults, scale_only=scale_only)
    if defaults.alpha is None:
        missing.append("alpha")
        whole = replace(whole, alpha=alpha(pipeline, scale_only))
    if not defaults.switch_only_replicas:
        missing.append("switch_only_replicas")
        whole = replace(whole, switch_only_replicas=switch_only_replicas(pipeline, scale_only["low"]))
    return replace(whole, by_rule=(*defaults.by_rule, *(key for key in missing if key not in defaults.by_rule)))


def heaviest(stage: Stage) -> Variant:
    """The most accurate variant, of equals that with the fewest base cores, and of these the quickest.

    Only those count whose p99 latency at batch size 1 is within the stage's SLA, unless none is.
    """
    return max(_quick_enough(stage), key=lambda variant: (variant.accuracy, -variant.base_cores, -variant.p99_s(1)))


def most_accurate(stages: Sequence[Stage], measured: Measured) -> dict[str, str]:
    """Stage -> its `heaviest` variant or, where accuracies were measured together, those of the best combination.

    Only variants that are eligible for `heaviest` count; of equals, the combination with the fewest base cores, then
    the first.
    """
    if not measured:
        return {stage.name: heaviest(stage).name for stage in stages}
    quick = [{variant.name: variant.base_cores for variant in _quick_enough(stage)} for stage in stages]
    _, _, best = min(
        (-accuracy, sum(cores[name] for cores, name in zip(quick, names, strict=True)), names)
        for names, accuracy in measured.items()
        if all(name in cores for cores, name in zip(quick, names, strict=True))
    )
    return {stage.name: name for stage, name in zip(stages, best, strict=True)}


def _quick_enough(stage: Stage) -> Sequence[Variant]:
    """The variants whose p99 latency at batch size 1 is within the stage's SLA; all, if none is."""
    return [variant for variant in stage.variants if variant.p99_s(1) <= stage.sla_s] or stage.variants


def alpha(pipeline: Outline, scale_only: Mapping[str, Mapping[str, str]]) -> float:
    """The weight with which `scale_only`'s low and high have the same objective when `load_rps` is forecast.

    That is beta x the difference of their cores (at least one core) over the difference of their accuracies, to three
    digits; 1 where the accuracies do not differ.
    """
    low, high, defaults = scale_only["low"], scale_only["high"], pipeline.defaults
    of_low, of_high = (combined_accuracy(pipeline, end) for end in (low, high))
    if of_high <= of_low:
        return 1.0
    cores = total_cores(pipeline, high, defaults.load_rps) - total_cores(pipeline, low, defaults.load_rps)
    return float(f"{(defaults.beta or 1.0) * max(cores, 1) / (of_high - of_low):.3g}")


def switch_only_replicas(pipeline: Outline, low: Mapping[str, str]) -> dict[str, int]:
    """Stage -> the replicas with which its variant of scale-only:low carries `PEAK` x `load_rps`."""
    return {stage: count for stage, (_, count) in _carrying(pipeline, low, PEAK * pipeline.defaults.load_rps).items()}


def total_cores(pipeline: Outline, variants: Mapping[str, str], load_rps: float) -> int:
    """The cores with which one variant for each stage carries a forecast load."""
    return sum(count * variant.base_cores for variant, count in _carrying(pipeline, variants, load_rps).values())


def _carrying(pipeline: Outline, variants: Mapping[str, str], load_rps: float) -> dict[str, tuple[Variant, int]]:
    """Stage -> its variant, and the replicas of it that carry a forecast load of the pipeline."""
    loads_rps = stage_loads_rps(pipeline, variants, load_rps)
    chosen = [(stage, stage.variant(variants[stage.name])) for stage in pipeline.stages]
    return {s.name: (variant, replicas(pipeline.defaults, s, variant, loads_rps[s.name])) for s, variant in chosen}


def stage_loads_rps(pipeline: Outline, variants: Mapping[str, str], load_rps: float) -> dict[str, float]:
    """Stage -> the items per second that it gets at a load of the pipeline, with one variant for each."""
    names, graph = [stage.name for stage in pipeline.stages], pipeline.graph
    factors = dict.fromkeys(names, 1.0) if graph is None else graph.factors(names, variants)
    return {name: load_rps * factors[name] for name in names}


def replicas(defaults: Defaults, stage: Stage, variant: Variant, load_rps: float) -> int:
    """The replicas with which a variant, in its best batch size, carries a forecast load with its margin."""
    return max(1, math.ceil(load_rps * (1 + defaults.load_margin) / replica_rps(defaults, stage, variant)))


def replica_rps(defaults: Defaults, stage: Stage, variant: Variant) -> float:
    """What a replica of a variant is planned to sustain in its best batch size [rps].

    Batch sizes are the profiled ones up to `batch_cap` whose p99 latency is within the stage's SLA, or 1.
    """
    fitting = [b for b in variant.planned_batches(defaults.batch_cap) if b == 1 or variant.p99_s(b) <= stage.sla_s]
    return defaults.throughput_share * max(variant.throughput_rps(b) for b in fitting)


def combined_accuracy(pipeline: Outline, variants: Mapping[str, str]) -> float:
    """The accuracy of one variant for each stage, as the objective counts it."""
    defaults, stages, graph = pipeline.defaults, pipeline.stages, pipeline.graph
    measured = pipeline.measured_accuracies
    if measured and defaults.accuracy == ("pairs" if graph is None else "product"):
        return max(defaults.accuracy_floor, measured[tuple(variants[stage.name] for stage in stages)])
    terms = {
        stage.name: max(defaults.accuracy_floor, _accuracy(defaults, stage, stage.variant(variants[stage.name])))
        for stage in stages
    }
    if defaults.accuracy == "product":
        return math.prod(terms.values()) if graph is None else graph.accuracy(terms)
    return math.fsum(terms.values()) / (len(terms) if defaults.accuracy == "average" else 1)


def _accuracy(defaults: Defaults, stage: Stage, variant: Variant) -> float:
    """Raw or, among the candidates, as a rank from 0 to 1."""
    if defaults.accuracy_scale == "raw":
        return variant.accuracy
    names = defaults.candidates.get(stage.name) or [variant_of_stage.name for variant_of_stage in stage.variants]
    return float(stage.ranks([stage.variant(name) for name in names])[variant.name])
