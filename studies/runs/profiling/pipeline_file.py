"""The pipeline file of a profile, and the profile as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

from ipa import profiles
from ipa.live import profiling
from ipa.live.profiling import Overhead, Point, Start, Target, TextLoad
from ipa.profiles import AGAINST, Figure, ProfiledVariant, Provenance
from ipa.studies import results
from ipa.studies.runs.profiling import language_fit, measured_requests
from ipa.studies.runs.profiling.figures import LAWS, figures
from ipa.studies.runs.profiling.language_loads import requests_of
from ipa.studies.runs.profiling.profile import Profile

SOURCE = "profiled"
"""The provenance key of measured figures; `profiled-2` if the file keeps an earlier one."""
FITTED = "fitted"
"""The beginning of the provenance key of the step of a language model; its name follows."""

BUSY = 0.05
"""If other processes or the host use a larger share of the machine, the provenance says so."""


def write(profile: Profile, made_on: str) -> str:
    """Write the pipeline file of a profile made on that day, and return its text.

    Raises ProfileError if the result is not a valid pipeline; the measurements are kept.
    """
    plan = profile.plan
    old = "" if plan.pipeline is None else profiles.text(plan.source)
    text = _text(profile, made_on, old)
    results.write_text(text, plan.to)
    return text


def _text(profile: Profile, made_on: str, old: str) -> str:
    plan = profile.plan
    key = _free(SOURCE, plan.pipeline.provenance if plan.pipeline is not None else {})
    variants = [_variant(profile, target, key) for target in plan.targets]
    used = {source for variant in variants for figure in variant.figures for source in _sources(figure)}
    provenance = {key: Provenance("measured", _source(profile, made_on))}
    old_provenance = plan.pipeline.provenance if plan.pipeline is not None else {}
    provenance |= {
        variant.step_source: _fitted(profile, variant.stage, variant.variant, made_on)
        for variant in variants
        if variant.step is not None
    }
    provenance |= {
        law: Provenance("interpolated", LAWS[law]) for law in LAWS if law in used and law not in old_provenance
    }
    if plan.pipeline is not None:
        return profiles.profiled_text(old, str(plan.to), variants, provenance)
    stages = " then ".join(dict.fromkeys(variant.stage for variant in variants))
    return profiles.new_pipeline_text(plan.name, f"{stages}, profiled", variants, provenance)


def _sources(figure: Figure) -> tuple[str, str, str]:
    return figure.mean_from, figure.p99_from, figure.throughput_from


def _variant(profile: Profile, target: Target, key: str) -> ProfiledVariant:
    measurements, plan = profile.measurements, profile.plan
    names = target.stage, target.variant
    if fit := profile.fits.get(names):
        start_up_s = [record.start_up_s for record in measurements.of(Start, *names)]
        return ProfiledVariant(
            *names,
            (),
            key,
            start_up_s=_rounded(median(start_up_s)) if start_up_s else None,
            step=fit.model.step,
            step_source=_free(f"{FITTED}-{target.variant}", {} if plan.pipeline is None else plan.pipeline.provenance),
        )
    points = {
        place: point
        for place, point in measurements.points(*names).items()
        if place[0] in plan.cores and place[1] in plan.batches
    }
    starts = measurements.of(Start, *names)
    memory_mb = [record.memory_mb for record in starts if record.memory_mb is not None]
    return ProfiledVariant(
        *names,
        figures(points, key),
        key,
        start_up_s=_rounded(median(record.start_up_s for record in starts)) if starts else None,
        memory_mb=round(max(memory_mb), 1) if memory_mb else None,
    )


def _fitted(profile: Profile, stage: str, variant: str, made_on: str) -> Provenance:
    fit, plan = profile.fits[stage, variant], profile.plan
    target = next(target for target in plan.targets if (target.stage, target.variant) == (stage, variant))
    off = ", ".join(f"{100 * errors['latency_s'][0]:+.1f} % {name}" for name, errors in fit.errors.items())
    how = (
        f"ipa profile run, {made_on}, on {target.url or profiling.this_machine()}; mean end to end of {fit.judged} "
        f"other requests: {off}{language_fit.unsure(fit)}; {plan.record.name}"
    )
    return Provenance("calibrated", f"{how}{AGAINST}the times of {fit.fitted} requests")


def _source(profile: Profile, made_on: str) -> str:
    plan = profile.plan
    packages = results.versions_of("ipa-pipelines", "numpy", "onnxruntime")
    versions = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    where = plan.targets[0].url or f"{profiling.this_machine()}; {versions}"
    busy = busiest(profile)
    disturbed = f"; others used up to {100 * busy['others']:.0f} % of the machine" if busy["others"] > BUSY else ""
    disturbed += f"; its host took up to {100 * busy['steal']:.0f} %" if busy["steal"] > BUSY else ""
    return (
        f"ipa profile run, {made_on}, on {where}; seed {plan.effort.seed}, intervals within "
        f"{100 * plan.effort.within:g} % or {plan.effort.longest_s:g} s for a point{disturbed}; {plan.record.name}"
    )


def points_of(profile: Profile) -> list[Point]:
    """All points of the profile's variants, in the plan's order."""
    measurements = profile.measurements
    return [
        point for target in profile.plan.targets for point in measurements.points(target.stage, target.variant).values()
    ]


def busiest(profile: Profile) -> dict[str, float]:
    """The largest shares of the machine used by other processes and by its host, over all points and loads."""
    loads = [load for target in profile.plan.targets for load in loads_of(profile, target)]
    measured = [*points_of(profile), *loads]
    return {key: max((getattr(entry, key) for entry in measured), default=0.0) for key in ("steal", "others")}


def loads_of(profile: Profile, target: Target) -> list[TextLoad]:
    """The loads under which a language model was measured."""
    return profile.measurements.of(TextLoad, target.stage, target.variant)


def as_dict(profile: Profile) -> dict[str, Any]:
    """The profile, JSON-able."""
    measurements, plan = profile.measurements, profile.plan
    return {
        "pipeline": plan.name,
        "file": str(plan.to),
        "measurements": str(plan.record),
        "machine": asdict(profiling.this_machine()),
        "busiest": busiest(profile),
        "variants": [
            {
                "stage": target.stage,
                "variant": target.variant,
                "points": [
                    asdict(entry) for _, entry in sorted(measurements.points(target.stage, target.variant).items())
                ],
                "starts": [asdict(entry) for entry in measurements.of(Start, target.stage, target.variant)],
                "overheads": [asdict(entry) for entry in measurements.of(Overhead, target.stage, target.variant)],
                "loads": [_load(load) for load in loads_of(profile, target)],
                "fit": None if fit is None else language_fit.as_dict(fit),
            }
            for target in plan.targets
            for fit in [profile.fits.get((target.stage, target.variant))]
        ],
        "skipped": [asdict(entry) for entry in profile.skipped],
    }


def _load(load: TextLoad) -> dict[str, Any]:
    """A load without its requests: their number, and their mean times."""
    times_s = requests_of(load).times_s.mean(axis=1).tolist()
    means = dict(zip(measured_requests.TIMES, times_s, strict=True))
    counts = {"at_once": load.at_once, "requests": len(load.queued_s)}
    return {**counts, **means, "steal": load.steal, "others": load.others}


def _free(name: str, used_names: Mapping[str, object]) -> str:
    number, key = 1, name
    while key in used_names:
        number += 1
        key = f"{name}-{number}"
    return key


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
