"""A policy written as the manifests of an autoscaler, one for each stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ipa.policies.hpa import METRICS, UTILISATION, Hpa
from ipa.policies.interface import PolicyError
from ipa.policies.kpa import Kpa
from ipa.policies.ray import Ray
from ipa.policies.settings import horizontal, keda, knative, ray_serve
from ipa.policies.settings.comments import with_comments
from ipa.policies.settings.reading import BY_STAGE

if TYPE_CHECKING:
    from ipa.profiles import Pipeline

Writer = Callable[[str, Mapping[str, Any]], dict[str, Any]]

FORMATS: Mapping[str, tuple[type[Any], Writer]] = {
    "hpa": (Hpa, horizontal.write),
    "keda": (Hpa, keda.write),
    "knative": (Kpa, knative.write),
    "ray": (Ray, ray_serve.write),
}
"""The format's name -> the policy whose settings it holds, and what writes a stage's."""


def format_of(policy: object) -> str:
    """The format that says what a policy does. PolicyError: none does."""
    if isinstance(policy, Hpa):
        return "keda" if policy.external else "hpa"
    for name, (kind, _) in FORMATS.items():
        if isinstance(policy, kind):
            return name
    raise PolicyError(f"{type(policy).__name__}: no autoscaler's settings say what it does; allowed: hpa, kpa, ray")


def write_settings(policy: object, pipeline: Pipeline, format_name: str, comments: Sequence[str] = ()) -> str:
    """The manifest as YAML: one document, a List where there are several stages; what was guessed or rounded is
    said in comments.

    `format_name`: one of `FORMATS`. `comments`: the lines above it. PolicyError: the format cannot say what the policy
    does.
    """
    kind, write = FORMATS[format_name]
    if not isinstance(policy, kind):
        raise PolicyError(
            f"--as {format_name}: holds settings of {kind.__name__.lower()}, not of {type(policy).__name__.lower()}; "
            f"allowed: {format_of(policy)}"
        )
    import yaml

    manifests = [write(stage.name, _of_stage(policy, stage.name)) for stage in pipeline.stages]
    text = yaml.safe_dump(_whole(format_name, manifests), sort_keys=False, width=10_000, allow_unicode=True)
    return "".join(f"# {line}\n" for line in comments) + with_comments(text)


def _of_stage(policy: Any, stage: str) -> dict[str, Any]:
    """The parameters of a policy for one stage, with what is left to the stage filled in."""
    parameters = dict(policy.parameters)
    for key in BY_STAGE:
        if isinstance(parameters.get(key), Mapping):
            parameters[key] = parameters[key][stage]
    batch = float(policy.batch[stage])
    if parameters.get("target", 0) is None:
        throughput_rps = policy.stage_throughput_rps(stage)
        parameters["target"] = dict(zip(METRICS, (UTILISATION, batch, UTILISATION * throughput_rps), strict=True))[
            policy.metric
        ]
    if parameters.get("target_concurrency", 0) is None:
        parameters["target_concurrency"] = batch
    return parameters


def _whole(format_name: str, manifests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if format_name == "ray":
        return {"applications": [{"name": "pipeline", "deployments": list(manifests)}]}
    return manifests[0] if len(manifests) == 1 else {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
