"""What is asked for and is likely not what was meant: a number in another unit than its key's."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ipa.policies import Goal, split_spec
from ipa.profiles import Pipeline
from ipa.studies.profile.graph import longest_way
from ipa.studies.scenario import Scenario, pipeline_of

ROUNDING = 1e-9
"""Of per cents, which are products of decimals."""

MOST_SLA = 10.0
"""The largest SLA that is not doubted, in times of the slowest plan."""

MARGINS = ("load_margin", "margin")
"""The parameters of policies that are shares of the load."""

MOST_BATCH = 4096
"""The largest batch size of a profile."""


def doubts(scenario: Scenario) -> Iterator[str]:
    """The doubts about a scenario's SLA, and its policy's goal and margin. Raises as `pipeline_of` and `Goal.of`."""
    pipeline = pipeline_of(scenario)
    if scenario.sla_s is not None:  # a pipeline file's own is `ipa pipeline check`'s affair
        yield from sla_doubts(pipeline, pipeline.defaults.batch_cap)
    parameters = {**split_spec(scenario.policy.name)[1], **scenario.policy.parameters}
    for name in MARGINS:
        margin = parameters.get(name)
        if isinstance(margin, int | float) and margin >= 1:
            yield f"{name} {margin:g} plans for {1 + margin:g} times the load: it is a share, such as 0.1 or 10 %"
    goal = Goal.of(parameters.get("goal"), pipeline)
    if goal is None:
        return
    if goal.accuracy_at_least is not None:
        least = 100 * least_accuracy(pipeline)
        if goal.accuracy_at_least < least - ROUNDING:
            yield _no_wish("goal.accuracy_at_least", goal.accuracy_at_least, "every plan", least)
    for name, wished in goal.stage_accuracy_at_least.items():
        least = 100 * min(variant.accuracy for variant in pipeline.stage(name).variants)
        if wished < least - ROUNDING:
            yield _no_wish(f"goal.accuracy_at_least.{name}", wished, "every variant", least)


def sla_doubts(pipeline: Pipeline, batch_cap: int = MOST_BATCH) -> Iterator[str]:
    """The doubt about an SLA that is far above what any plan with batches up to a size takes."""
    slowest_s = slowest_plan_s(pipeline, batch_cap)
    if pipeline.sla_s > MOST_SLA * slowest_s:
        yield (
            f"the SLA, {pipeline.sla_s:.4g} s, is more than {MOST_SLA:g} times what the slowest plan takes, "
            f"{slowest_s:.3g} s: it is in seconds, unless it has a unit, as in 500 ms"
        )


def slowest_plan_s(pipeline: Pipeline, batch_cap: int) -> float:
    """The p99 latency of the slowest variants, each in its slowest batch size, on the longest way [s]."""
    slowest_s = {
        stage.name: max(variant.p99_s(b) for variant in stage.variants for b in variant.planned_batches(batch_cap))
        for stage in pipeline.stages
    }
    return math.fsum(slowest_s[name] for name in longest_way(pipeline, slowest_s))


def least_accuracy(pipeline: Pipeline) -> float:
    """The lowest accuracy of a pipeline's variants together, from 0 to 1."""
    if pipeline.measured_accuracies:
        return min(pipeline.measured_accuracies.values())
    return pipeline.accuracy_of([min(s.variants, key=lambda v: v.accuracy).name for s in pipeline.stages])


def _no_wish(key: str, wished: float, scope: str, least: float) -> str:
    return f"{key} {wished:g}: {scope} has at least {least:.4g}; accuracies are in per cent, such as 45 or 45 %"
