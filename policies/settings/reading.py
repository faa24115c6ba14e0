"""A manifest of an autoscaler, read as a policy with its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipa.policies.interface import PolicyError
from ipa.policies.settings.fields import Fields, shown

SUFFIXES = (".yaml", ".yml")

KINDS = "HorizontalPodAutoscaler of autoscaling/v2, ScaledObject of keda.sh/v1alpha1, or a List of these"

BY_STAGE = ("target", "min_replicas", "max_replicas")
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
        parts = [_item(item, str(item.take("apiVersion", "")), str(item.take("kind", ""))) for item in items]
    else:
        parts = [_item(document, version, kind)]
    if not parts:
        raise PolicyError("items: is empty; allowed: at least one autoscaler")
    return _together(parts, notes)


Part = tuple[str, dict[str, Any]]
"""What is scaled, and the parameters of `hpa`."""


def _item(document: Fields, version: str, kind: str) -> Part:
    from ipa.policies.settings import horizontal, keda

    document.skip("status")
    is_horizontal = kind == "HorizontalPodAutoscaler" and version in ("autoscaling/v2", "autoscaling/v1")
    if not is_horizontal and not (kind == "ScaledObject" and version.startswith("keda.sh/")):
        raise PolicyError(f"kind: {shown(kind)} of apiVersion {shown(version)}; allowed: {KINDS}")
    document.skip("metadata")
    spec = document.fields("spec")
    document.end()
    name = _target(spec)
    parameters = horizontal.read(spec, version) if is_horizontal else keda.read(spec)
    spec.end()
    return name, parameters


def _target(spec: Fields) -> str:
    reference = spec.fields("scaleTargetRef")
    name = str(reference.take("name", ""))
    reference.skip("apiVersion", "kind", "envSourceContainerName")
    reference.end()
    return name


def _together(parts: Sequence[Part], notes: list[str]) -> Settings:
    """One policy for what all say: one autoscaler for all stages, or one for each."""
    if len(parts) == 1:
        return Settings("hpa", parts[0][1], tuple(dict.fromkeys(notes)))
    names = [name for name, _ in parts]
    if len(set(names)) < len(names) or not all(names):
        raise PolicyError(f"items: scale {', '.join(name or 'nothing' for name in names)}; allowed: each another stage")
    parameters: dict[str, Any] = {}
    for key in dict.fromkeys(key for _, stage_parameters in parts for key in stage_parameters):
        values = [stage_parameters.get(key) for _, stage_parameters in parts]
        if all(value == values[0] for value in values):
            parameters[key] = values[0]
        elif key in BY_STAGE and None not in values:
            parameters[key] = dict(zip(names, values, strict=True))
        else:
            raise PolicyError(f"items: {key} is {values[0]!r} for {names[0]} and another elsewhere; allowed: the same")
    return Settings("hpa", parameters, tuple(dict.fromkeys(notes)))
