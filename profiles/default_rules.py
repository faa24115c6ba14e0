"""The rules for the defaults that a pipeline leaves out: functions of its stages.

They bracket what the pipeline can do. The lightest variants are one end (scale-only:low), the most accurate ones that
keep their stage's SLA the other (scale-only:high). `alpha` makes both ends worth the same when `load_rps` is forecast:
below that load accuracy is worth its cores, above it cores are worth more. Switch-only has the replicas with which the
lightest variants still carry one and a half times that load.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ipa.profiles.defaults import Defaults
from ipa.profiles.stage import Pairs, Stage, Variant

PEAK = 1.5
"""The load that switch-only's fixed replicas carry, over `load_rps`."""


def complete(defaults: Defaults, stages: Sequence[Stage], pairs: Pairs | None = None) -> Defaults:
    """The defaults with nothing missing, for stages that have whatever the given ones name."""
    pairs = pairs or {}
    missing: list[str] = [f"scale_only.{label}" for label in ("low", "high") if label not in defaults.scale_only]
    ends = {"low": {s.name: s.lightest().name for s in stages}, "high": most_accurate(stages, pairs)}
    whole = replace(defaults, scale_only={**ends, **defaults.scale_only})
    if defaults.alpha is None:
        missing.append("alpha")
        whole = replace(whole, alpha=alpha(whole, stages, pairs))
    if not defaults.switch_only_replicas:
        missing.append("switch_only_replicas")
        whole = replace(whole, switch_only_replicas=switch_only_replicas(whole, stages))
    return replace(whole, by_rule=(*defaults.by_rule, *(each for each in missing if each not in defaults.by_rule)))


def heaviest(stage: Stage) -> Variant:
    """The most accurate variant, of equals that with the fewest base cores, and of these the quickest.

    Only those count whose p99 latency at batch size 1 is within the stage's SLA, unless none is.
    """
    return max(_quick_enough(stage), key=lambda variant: (variant.accuracy, -variant.base_cores, -variant.p99_s(1)))


def most_accurate(stages: Sequence[Stage], pairs: Pairs) -> dict[str, str]:
    """Stage -> its `heaviest` variant or, where pairs were measured, those of the best pair.

    Among pairs, those count that the rule for `heaviest` lets count at each stage; of equals, the one with the fewest
    base cores, then the first.
    """
    if not pairs:
        return {stage.name: heaviest(stage).name for stage in stages}
    first, second = stages
    _, _, pair = min(
        (-pairs[a.name][b.name], a.base_cores + b.base_cores, (a.name, b.name))
        for a in _quick_enough(first)
        for b in _quick_enough(second)
    )
    return {first.name: pair[0], second.name: pair[1]}


def _quick_enough(stage: Stage) -> Sequence[Variant]:
    """The variants whose p99 latency at batch size 1 is within the stage's SLA; all, if none is."""
    return [variant for variant in stage.variants if variant.p99_s(1) <= stage.sla_s] or stage.variants


def alpha(defaults: Defaults, stages: Sequence[Stage], pairs: Pairs) -> float:
    """The weight with which scale-only's low and high have the same objective when `load_rps` is forecast.

    That is beta x the difference of their cores (at least one core) over the difference of their accuracies, to three
    digits; 1 where the accuracies do not differ.
    """
    low, high = defaults.scale_only["low"], defaults.scale_only["high"]
    gain = combined_accuracy(defaults, stages, high, pairs) - combined_accuracy(defaults, stages, low, pairs)
    if gain <= 0:
        return 1.0
    load_rps = defaults.load_rps
    cores = total_cores(defaults, stages, high, load_rps) - total_cores(defaults, stages, low, load_rps)
    return float(f"{(defaults.beta or 1.0) * max(cores, 1) / gain:.3g}")


def switch_only_replicas(defaults: Defaults, stages: Sequence[Stage]) -> dict[str, int]:
    """Stage -> the replicas with which its variant of scale-only:low carries `PEAK` x `load_rps`."""
    low = defaults.scale_only["low"]
    return {s.name: replicas(defaults, s, s.variant(low[s.name]), PEAK * defaults.load_rps) for s in stages}


def total_cores(defaults: Defaults, stages: Sequence[Stage], variants: Mapping[str, str], load_rps: float) -> int:
    """The cores with which one variant for each stage carries a forecast load."""
    chosen = [(stage, stage.variant(variants[stage.name])) for stage in stages]
    return sum(replicas(defaults, stage, variant, load_rps) * variant.base_cores for stage, variant in chosen)


def replicas(defaults: Defaults, stage: Stage, variant: Variant, load_rps: float) -> int:
    """The replicas with which a variant, in its best batch size, carries a forecast load with its margin."""
    return max(1, math.ceil(load_rps * (1 + defaults.load_margin) / replica_rps(defaults, stage, variant)))


def replica_rps(defaults: Defaults, stage: Stage, variant: Variant) -> float:
    """What a replica of a variant is planned to sustain in its best batch size [rps].

    Batch sizes are the profiled powers of two up to `batch_cap` whose p99 latency is within the stage's SLA, or 1.
    """
    fitting = [b for b in variant.planned_batches(defaults.batch_cap) if b == 1 or variant.p99_s(b) <= stage.sla_s]
    return defaults.throughput_share * max(variant.throughput_rps(b) for b in fitting)


def combined_accuracy(defaults: Defaults, stages: Sequence[Stage], variants: Mapping[str, str], pairs: Pairs) -> float:
    """The accuracy of one variant for each stage, as the objective counts it."""
    if defaults.accuracy == "pairs":
        first, second = (variants[stage.name] for stage in stages)
        return max(defaults.accuracy_floor, pairs[first][second])
    terms = [
        max(defaults.accuracy_floor, _accuracy(defaults, stage, stage.variant(variants[stage.name])))
        for stage in stages
    ]
    if defaults.accuracy == "product":
        return math.prod(terms)
    return math.fsum(terms) / (len(terms) if defaults.accuracy == "average" else 1)


def _accuracy(defaults: Defaults, stage: Stage, variant: Variant) -> float:
    """Raw or, among the candidates, as a rank from 0 to 1."""
    if defaults.accuracy_scale == "raw":
        return variant.accuracy
    names = defaults.candidates.get(stage.name) or [each.name for each in stage.variants]
    return float(stage.ranks([stage.variant(name) for name in names])[variant.name])
