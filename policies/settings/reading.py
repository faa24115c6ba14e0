"""A manifest of an autoscaler, read as a policy with its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipa.policies.interface import PolicyError
from ipa.policies.settings.fields import Fields, shown

SUFFIXES = (".yaml", ".yml")

KINDS = (
    "HorizontalPodAutoscaler of autoscaling/v2, ScaledObject of keda.sh/v1alpha1, Service or Revision of "
    "serving.knative.dev/v1, RayService of ray.io/v1, a Ray Serve config with applications, or a List of these"
)

BY_STAGE = ("target", "target_concurrency", "target_ongoing_requests", "min_replicas", "max_replicas")
"""The parameters that may differ from stage to stage."""


@dataclass(frozen=True)
class Settings:
    """A policy with parameters that behaves as an autoscaler's settings say, and notes on what has no counterpart."""

    policy: str
    parameters: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def is_settings_file(name: str) -> bool:
    """Whether a policy's name is that of a file with an autoscaler's settings."""
    return name.endswith(SUFFIXES)


def read_settings(path: str | Path) -> Settings:
    """The settings in a file, of one autoscaler for all stages, or of one for each.

    PolicyError, in one line with the file and the field: it cannot be read, holds several documents or another kind, or
    has a field that is wrong or has no counterpart and could matter.
    """
    try:
        return _settings(_document(Path(path)))
    except PolicyError as error:
        raise PolicyError(f"{path}: {error}") from None


def _document(path: Path) -> object:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PolicyError("cannot be read: is not UTF-8 text") from None
    if "{{" in text:
        line = next(number for number, line in enumerate(text.splitlines(), start=1) if "{{" in line)
        raise PolicyError(f"line {line}: has a template's {{{{ }}}}; allowed: what `helm template` makes of it")
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = "" if place is None else f"line {place.line + 1}: "
        raise PolicyError(f"{where}is no YAML: {getattr(error, 'problem', None) or error}") from None
    if len(documents) != 1:
        raise PolicyError(f"holds {len(documents)} documents; allowed: one, which may be a List")
    return documents[0]


def _settings(data: object) -> Settings:
    notes: list[str] = []
    document = Fields(data, "", notes)
    version, kind = str(document.take("apiVersion", "")), str(document.take("kind", ""))
    if kind == "List":
        document.skip("metadata")
        items = document.items("items")
        document.end()
        read = [_item(item, str(item.take("apiVersion", "")), str(item.take("kind", ""))) for item in items]
        parts = [part for group in read for part in group]
    else:
        parts = _item(document, version, kind)
    if not parts:
        raise PolicyError("items: is empty; allowed: at least one autoscaler")
    return _together(parts, notes)


Part = tuple[str, str, dict[str, Any]]
"""What is scaled, the policy, and its parameters."""


def _item(document: Fields, version: str, kind: str) -> list[Part]:
    from ipa.policies.settings import horizontal, keda, knative, ray_serve

    document.skip("status")
    group = version.partition("/")[0]
    if kind == "HorizontalPodAutoscaler" and version in ("autoscaling/v2", "autoscaling/v1"):
        spec = _spec(document)
        name = _target(spec)
        return [(name, "hpa", _ended(spec, horizontal.read(spec, version)))]
    if kind == "ScaledObject" and group == "keda.sh":
        spec = _spec(document)
        name = _target(spec)
        return [(name, "hpa", _ended(spec, keda.read(spec)))]
    if kind in ("Service", "Revision") and group == "serving.knative.dev":
        name = str((document.take("metadata", {}) if kind == "Service" else {}).get("name", ""))
        return [(name, "kpa", knative.read(document, kind))]
    if kind == "RayService" and group == "ray.io":
        return _of_ray_service(document)
    if not kind and not version:
        return [
            (name, "ray", ray_serve.read(deployment)) for name, deployment in ray_serve.deployments(document).items()
        ]
    raise PolicyError(f"kind: {shown(kind)} of apiVersion {shown(version)}; allowed: {KINDS}")


def _of_ray_service(document: Fields) -> list[Part]:
    import yaml

    from ipa.policies.settings import ray_serve

    text = document.fields("spec").take("serveConfigV2", "")
    try:
        config = Fields(yaml.safe_load(str(text)), "spec.serveConfigV2", document.notes)
    except yaml.YAMLError as error:
        raise PolicyError(f"spec.serveConfigV2: is no YAML: {getattr(error, 'problem', error)}") from None
    return [(name, "ray", ray_serve.read(deployment)) for name, deployment in ray_serve.deployments(config).items()]


def _spec(document: Fields) -> Fields:
    document.skip("metadata")
    spec = document.fields("spec")
    document.end()
    return spec


def _target(spec: Fields) -> str:
    reference = spec.fields("scaleTargetRef")
    name = str(reference.take("name", ""))
    reference.skip("apiVersion", "kind", "envSourceContainerName")
    reference.end()
    return name


def _ended(spec: Fields, parameters: dict[str, Any]) -> dict[str, Any]:
    spec.end()
    return parameters


def _together(parts: Sequence[Part], notes: list[str]) -> Settings:
    """One policy for what all say: one autoscaler for all stages, or one for each."""
    policies = dict.fromkeys(policy for _, policy, _ in parts)
    if len(policies) > 1:
        raise PolicyError(f"items: are {' and '.join(policies)}; allowed: autoscalers of one kind")
    (policy,) = policies
    if len(parts) == 1:
        return Settings(policy, parts[0][2], tuple(dict.fromkeys(notes)))
    names = [name for name, _, _ in parts]
    if len(set(names)) < len(names) or not all(names):
        raise PolicyError(f"items: scale {', '.join(name or 'nothing' for name in names)}; allowed: each another stage")
    parameters: dict[str, Any] = {}
    for key in dict.fromkeys(key for _, _, stage_parameters in parts for key in stage_parameters):
        values = [stage_parameters.get(key) for _, _, stage_parameters in parts]
        if all(value == values[0] for value in values):
            parameters[key] = values[0]
        elif key in BY_STAGE and None not in values:
            parameters[key] = dict(zip(names, values, strict=True))
        else:
            raise PolicyError(f"items: {key} is {values[0]!r} for {names[0]} and another elsewhere; allowed: the same")
    return Settings(policy, parameters, tuple(dict.fromkeys(notes)))
