"""The JSON Schema of every kind of file, for editors: what may stand where, as the files are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from ipa import profiles
from ipa.studies.many.study import PublishedFile, StudyFile
from ipa.studies.scenario import Scenario

DIALECT = "https://json-schema.org/draft/2020-12/schema"
HEADER = ("schema_version", "kind")
"""Keys that a file needs, though a value made in Python does not."""


def json_schema(kind: str | None = None) -> dict[str, Any]:
    """The schema of files of a kind, one of `choices.FileKind`; None: of any of them, told apart by their `kind`."""
    if kind is not None:
        return {"$schema": DIALECT, **_SCHEMAS[kind]()}
    found: dict[str, Any] = {name: make() for name, make in _SCHEMAS.items()}
    parts: dict[str, Any] = {}
    for name, schema in found.items():
        inner = schema.pop("$defs", {})
        parts[name] = _renamed(schema, name)
        parts |= {f"{name}.{each}": _renamed(part, name) for each, part in inner.items()}
    return {
        "$schema": DIALECT,
        "title": "A file of ipa",
        "type": "object",
        "properties": {"kind": {"enum": list(found)}},
        "required": list(HEADER),
        "allOf": [
            {"if": {"properties": {"kind": {"const": name}}, "required": ["kind"]}, "then": {"$ref": f"#/$defs/{name}"}}
            for name in found
        ],
        "$defs": parts,
    }


def _renamed(part: Any, kind: str) -> Any:
    """The same with references into the definitions of all kinds, where those of a kind begin with its name."""
    if isinstance(part, dict):
        return {
            key: f"#/$defs/{kind}.{value.removeprefix('#/$defs/')}" if key == "$ref" else _renamed(value, kind)
            for key, value in part.items()
        }
    return [_renamed(each, kind) for each in part] if isinstance(part, list) else part


def _of(model: type[BaseModel]) -> Callable[[], dict[str, Any]]:
    def schema() -> dict[str, Any]:
        found = model.model_json_schema()
        return {**found, "required": list(dict.fromkeys((*HEADER, *found.get("required", ()))))}

    return schema


_SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "pipeline": profiles.json_schema,
    "scenario": _of(Scenario),
    "study": _of(StudyFile),
    "published": _of(PublishedFile),
}
