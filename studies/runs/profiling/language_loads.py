"""Language models in `ipa profile run`: each is measured at two loads, and a step is fitted to half of the requests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ipa.live import profiling
from ipa.live.profiling import Effort, Start, Target, TextLoad
from ipa.profiles import LanguageModel, Pipeline, StageTokens
from ipa.studies.runs.profiling import language_fit
from ipa.studies.runs.profiling.language_fit import Fit
from ipa.studies.runs.profiling.measured_requests import MeasuredRequests
from ipa.studies.runs.profiling.measurements import Measurements
from ipa.studies.runs.profiling.plan import Advance, ProfilingPlan

FULL = 0.75
"""The requests that a busy replica has at once, as a share of the most that are planned with: none should wait for
another, in a simulation that is a little slower either."""

PART = 0.5
"""The share of the requests of each load that is fitted, the first ones."""


def loads_of(plan: ProfilingPlan, target: Target) -> tuple[int, ...]:
    """How many requests at once there are under each load: one, and as many as keep a replica busy."""
    model, tokens = _language(plan.pipeline, target)
    most = model.most_at_once(tokens)
    return tuple(sorted({1, max(min(2, most), round(FULL * most))}))


async def check(target: Target, pipeline: Pipeline, source: str, effort: Effort, log: Path) -> None:
    """Let a language model serve a few requests. Raises as `profiling.opened_text`."""
    model, tokens = _language(pipeline, target)
    async with profiling.opened_text(target, source, model, tokens, effort, log) as (session, _):
        await session.warm_up()


async def measure(plan: ProfilingPlan, measurements: Measurements, target: Target, log: Path, advance: Advance) -> None:
    """Measure the loads of a language model that are not kept yet. Raises as `profiling.opened_text`."""
    loads = _loads(measurements, target)
    missing = [at_once for at_once in loads_of(plan, target) if at_once not in loads]
    for _ in loads:
        advance("")
    if not missing:
        return
    model, tokens = _language(plan.pipeline, target)
    async with profiling.opened_text(target, plan.source, model, tokens, plan.effort, log) as (session, server):
        await session.warm_up()
        for at_once in missing:
            load = await session.load(at_once)
            measurements.add(load)
            advance(_said(load))
        if server is not None and not measurements.of(Start, target.stage, target.variant):
            measurements.add(profiling.started(target, model.cores, server))


def fits(plan: ProfilingPlan, measurements: Measurements) -> Mapping[tuple[str, str], Fit]:
    """(stage, variant) -> the step of each language model. Raises as `language_fit.fit`."""
    return {
        (target.stage, target.variant): language_fit.fit(
            _language(plan.pipeline, target)[0],
            [requests_of(load) for _, load in sorted(_loads(measurements, target).items())],
            PART,
        )
        for target in plan.language_targets
    }


def requests_of(load: TextLoad) -> MeasuredRequests:
    """The requests of a load, as a table of measured requests has them."""
    queued_s, first_s, last_s = np.array([load.queued_s, load.first_token_s, load.last_token_s]) - load.queued_s[0]
    tokens = np.array([load.input_tokens, load.output_tokens], dtype=np.int64)
    return MeasuredRequests(f"{load.at_once} at once", queued_s, first_s, last_s, tokens[0], tokens[1])


def _loads(measurements: Measurements, target: Target) -> dict[int, TextLoad]:
    """Requests at once -> the load that is kept."""
    return {load.at_once: load for load in measurements.of(TextLoad, target.stage, target.variant)}


def _language(pipeline: Pipeline | None, target: Target) -> tuple[LanguageModel, StageTokens]:
    assert pipeline is not None
    stage = pipeline.stage(target.stage)
    model, tokens = stage.variant(target.variant).language_model, stage.tokens
    assert model is not None
    assert tokens is not None
    return model, tokens


def _said(load: TextLoad) -> str:
    first_s, further_s, whole_s = requests_of(load).times_s.mean(axis=1)
    busy = f"; others used {100 * load.others:.0f} % of the machine" if load.others > 0.05 else ""
    return (
        f"{load.stage} {load.variant}, {load.at_once} at once: mean {1000 * first_s:.4g} ms to the first token, "
        f"{1000 * further_s:.4g} ms for each further one, {whole_s:.4g} s in all ({len(load.queued_s)} requests{busy})"
    )
