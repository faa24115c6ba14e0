"""`ipa schema`: the JSON Schema of every kind of file, for editors, and the columns of tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

import ipa
from ipa.studies.commands import printing
from ipa.studies.commands.options import Words
from ipa.studies.runs import columns
from ipa.studies.scenario import choices

if TYPE_CHECKING:
    from pydantic import BaseModel


@click.command()
@click.argument("kind", type=Words(choices.SchemaOf), required=False)
def schema(kind: str | None) -> None:
    """Print the JSON Schema of files, or the columns of tables.

    The kinds are pipeline, scenario, deployment, fleet, study and published; without one, the schema is of all kinds.
    With tables, what the columns of a run's tables and the keys of its summary and manifest mean. A file that begins
    with the comment `# yaml-language-server: $schema=ipa.schema.json` is then completed and checked while it is
    written.
    """
    printing.print_json(table_columns() if kind == "tables" else json_schema(kind))


def table_columns() -> dict[str, dict[str, dict[str, str]]]:
    """Table, or `summary`, `manifest` and its `live` -> column or key -> its `unit` and `meaning`."""
    tables = {**columns.COLUMNS, "summary": columns.SUMMARY, "manifest": columns.MANIFEST, "live": columns.LIVE}
    return {table: {key: entry._asdict() for key, entry in entries.items()} for table, entries in tables.items()}


DIALECT = "https://json-schema.org/draft/2020-12/schema"
HEADER = ("schema_version", "kind")
"""Keys that are required in files, but have defaults in Python."""


def json_schema(kind: str | None = None) -> dict[str, Any]:
    """The schema of files of a kind, one of `choices.FileKind`; None: of all kinds, distinguished by their `kind`."""
    if kind is not None:
        return {"$schema": DIALECT, **_schemas()[kind]()}
    schemas: dict[str, Any] = {name: make() for name, make in _schemas().items()}
    parts: dict[str, Any] = {}
    for name, schema in schemas.items():
        inner = schema.pop("$defs", {})
        parts[name] = _renamed(schema, name)
        parts |= {f"{name}.{definition}": _renamed(part, name) for definition, part in inner.items()}
    return {
        "$schema": DIALECT,
        "title": "A file of ipa",
        "type": "object",
        "properties": {"kind": {"enum": list(schemas)}},
        "required": list(HEADER),
        "allOf": [
            {"if": {"properties": {"kind": {"const": name}}, "required": ["kind"]}, "then": {"$ref": f"#/$defs/{name}"}}
            for name in schemas
        ],
        "$defs": parts,
    }


def _renamed(part: Any, kind: str) -> Any:
    """The part with its references renamed: in the schema of all kinds, a kind's definitions begin with its name."""
    if isinstance(part, dict):
        return {
            key: f"#/$defs/{kind}.{value.removeprefix('#/$defs/')}" if key == "$ref" else _renamed(value, kind)
            for key, value in part.items()
        }
    return [_renamed(item, kind) for item in part] if isinstance(part, list) else part


def _schemas() -> dict[str, Callable[[], dict[str, Any]]]:
    from ipa.live import LiveSettings
    from ipa.studies.fleets import Fleet
    from ipa.studies.many.study import PublishedFile, StudyFile  # which need pydantic: too slow for --help

    return {
        "pipeline": ipa.profiles.json_schema,
        "scenario": _of(ipa.Scenario),
        "deployment": _of(LiveSettings),
        "fleet": _of(Fleet),
        "study": _of(StudyFile),
        "published": _of(PublishedFile),
    }


def _of(model: type[BaseModel]) -> Callable[[], dict[str, Any]]:
    def schema() -> dict[str, Any]:
        described = model.model_json_schema()
        return {**described, "required": list(dict.fromkeys((*HEADER, *described.get("required", ()))))}

    return schema
