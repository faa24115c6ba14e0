"""The values of a pipeline that rules give because its file lacks them, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ipa.profiles import Pipeline, default_rules
from ipa.studies.profile.graph import accuracy_said
from ipa.studies.profile.numbers import sla_sum

SLA_RULE = " (25 x the mean p99; --set sla_s=SECONDS gives yours)"


@dataclass(frozen=True)
class Ruled:
    """A value that a rule gives: key and value as in the file, and the reason."""

    key: str
    value: str
    why: str


def ruled(pipeline: Pipeline) -> Iterator[Ruled]:
    """All values of a pipeline that rules give, in the file's order."""
    for stage in pipeline.stages:
        if not stage.sla_why:
            yield Ruled(f"{stage.name}: sla", f"{stage.sla_s:.4g} s", "25 x the mean p99 at batch 1 and most cores")
        bases = {v.name: v.base_cores for v in stage.variants if not v.base_cores_why}
        if bases:
            carried = f"carry {stage.threshold_rps:.4g} requests/s and keep the stage's SLA at batch 1"
            yield Ruled(f"{stage.name}: base_cores", _listed(bases), f"the fewest cores that {carried}")
        starts = {v.name: f"{v.start_up_s:g} s" for v in stage.variants if v.accuracy_from and not v.start_up_from}
        if starts:
            yield Ruled(f"{stage.name}: start_up", _listed(starts), "where nothing is measured")
    reasons = _reasons(pipeline)
    for key in sorted(pipeline.defaults.by_rule, key=list(reasons).index):
        name, _, label = key.partition(".")
        value = getattr(pipeline.defaults, name)
        yield Ruled(key, _shown(value[label] if label else value), reasons[key])


def note(pipeline: Pipeline, file: str) -> Sequence[str]:
    """Lines on the values that rules give to policies; empty if the file leaves out at most the scale-only choices."""
    defaults = pipeline.defaults
    if not any("." not in key for key in defaults.by_rule):
        return ()
    low, high = (", ".join(defaults.scale_only[label].values()) for label in ("low", "high"))
    replicas = ", ".join(map(str, defaults.switch_only_replicas.values()))
    weights = f"alpha {defaults.alpha:g}, beta {defaults.beta:g}, load margin {defaults.load_margin:g}"
    if "alpha" in defaults.by_rule:
        weights += f"; at a forecast of {defaults.load_rps:g} requests/s low and high are worth the same"
    sla = sla_sum(pipeline) + (SLA_RULE if any(not stage.sla_why for stage in pipeline.stages) else "")
    return (
        f"{file}: rules fill in what it leaves out (ipa pipeline check {file} says why):",
        f"  SLA {sla}; {weights}",
        f"  scale-only low: {low}; high: {high}; switch-only replicas: {replicas}",
    )


def _reasons(pipeline: Pipeline) -> Mapping[str, str]:
    """Key -> the reason of its rule's value."""
    load_rps, margin = pipeline.defaults.load_rps, pipeline.defaults.load_margin
    return {
        "alpha": f"at a forecast of {load_rps:g} requests/s (load_rps), low and high are worth the same",
        "beta": "the unit: a core costs 1",
        "gamma": "of equal choices, the smaller batches",
        "accuracy": accuracy_said(pipeline),
        "accuracy_scale": "accuracies as they are, not their ranks",
        "accuracy_floor": "none",
        "batch_cap": "none: every profiled batch size",
        "load_margin": f"replicas are at most {100 / (1 + margin):.0f} % busy at the forecast load",
        "throughput_share": "all that was measured",
        "scale_only.low": "the lightest variants",
        "scale_only.high": "the most accurate variants that keep their stage's SLA",
        "switch_only_replicas": f"the lightest variants carry {default_rules.PEAK * load_rps:g} requests/s",
    }


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return _listed(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in values.items())
