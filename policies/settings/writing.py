"""A policy written as the manifests of an autoscaler, one for each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ipa.policies.hpa import METRICS, UTILISATION, Hpa
from ipa.policies.interface import PolicyError
from ipa.policies.settings import horizontal, keda
from ipa.policies.settings.comments import with_comments
from ipa.policies.settings.reading import BY_STAGE

if TYPE_CHECKING:
    from ipa.profiles import Pipeline

FORMATS = {"hpa": horizontal.write, "keda": keda.write}
"""The format's name -> what writes a stage's."""


def format_of(policy: object) -> str:
    """The format that says what a policy does. PolicyError: none does."""
    if not isinstance(policy, Hpa):
        raise PolicyError(f"{type(policy).__name__}: no autoscaler's settings say what it does; allowed: hpa")
    return "keda" if policy.external else "hpa"


def write_settings(policy: object, pipeline: Pipeline, format_name: str, comments: Sequence[str] = ()) -> str:
    """The manifest as YAML: one document, a List where there are several stages; what was guessed or rounded is
    said in comments.

    `format_name`: one of `FORMATS`. `comments`: the lines above it. PolicyError: the format cannot say what the policy
    does.
    """
    format_of(policy)
    write = FORMATS[format_name]
    import yaml

    manifests = [write(stage.name, _of_stage(policy, stage.name)) for stage in pipeline.stages]
    text = yaml.safe_dump(_whole(manifests), sort_keys=False, width=10_000, allow_unicode=True)
    return "".join(f"# {line}\n" for line in comments) + with_comments(text)


def _of_stage(policy: Any, stage: str) -> dict[str, Any]:
    """The parameters of a policy for one stage, with what is left to the stage filled in."""
    parameters = dict(policy.parameters)
    for key in BY_STAGE:
        if isinstance(parameters.get(key), Mapping):
            parameters[key] = parameters[key][stage]
    batch = float(policy.batch[stage])
    if parameters["target"] is None:
        defaults = (UTILISATION, batch, UTILISATION * policy.stage_throughput_rps(stage))
        parameters["target"] = dict(zip(METRICS, defaults, strict=True))[policy.metric]
    return parameters


def _whole(manifests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return manifests[0] if len(manifests) == 1 else {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
