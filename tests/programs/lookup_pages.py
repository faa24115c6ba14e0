"""Writes the pages of docs/lookup/ from what they describe: python -m tests.programs.lookup_pages

The command line comes from the parser, keys of files from their schemas, columns and metrics from where they are
declared, parameters of policies and names of Python from the docstrings.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import ipa
from ipa.live.live_backend import TROUBLES
from ipa.live.serving.metrics import TABLE
from ipa.policies import PREDICTORS, RANGES
from ipa.policies.manual import manual_of
from ipa.policies.predictors import describe_predictor
from ipa.policies.registry import POLICIES
from ipa.studies.commands import main
from ipa.studies.commands.schema import json_schema
from ipa.studies.runs.columns import COLUMNS, LIVE, MANIFEST, SUMMARY, Column
from tests.command import whole_tree

FOLDER = Path(__file__).parents[2] / "docs" / "lookup"

Row = Iterable[str]


def table(head: Row, rows: Iterable[Row]) -> str:
    """A table in markdown."""
    lines = [list(head), ["---"] * len(list(head)), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |".replace("| --- ", "|---").replace("|--- |", "|---|") for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


# ---- the command line ----

SHARED_BY = 4
"""An option that so many commands have, with one help, is explained once."""


def commands() -> str:
    tree = [(path, command) for path, command in whole_tree(main) if path != "ipa"]
    options = {path: [each for each in command.params if isinstance(each, click.Option)] for path, command in tree}
    uses = Counter(_option(each) for each_of in options.values() for each in each_of)
    most = {
        name: meaning for (name, meaning), _ in reversed(uses.most_common())
    }  # a name stands once, by its commonest use
    shared = {row for row, count in uses.items() if count >= SHARED_BY and most[row[0]] == row[1]}
    order = dict.fromkeys(_option(each) for each_of in options.values() for each in each_of)
    parts = [
        "## Options that several commands have",
        table(("option", "meaning"), (row for row in order if row in shared)),
    ]
    for path, command in tree:
        usage = " ".join(command.collect_usage_pieces(click.Context(command)))
        parts += [f"## `{path}`", _code(f"{path} {usage}"), _help(command.help or "")]
        own = [_option(each) for each in options[path]]
        if rows := [row for row in own if row not in shared]:
            parts.append(table(("option", "meaning"), rows))
        if names := [_code(_flag(name)) for name, meaning in own if (name, meaning) in shared]:
            parts.append(f"As above: {', '.join(names)}.")
    return "\n\n".join(parts)


def _flag(cell: str) -> str:
    return max(re.findall(r"-[\w-]+", cell), key=len)


def _option(option: click.Option) -> tuple[str, str]:
    """Its names with what follows them, and its meaning with what it may be."""
    name, meaning = option.get_help_record(click.Context(main)) or ("", "")
    return _code(name), meaning.replace("  ", " ").replace("*", "\\*")


def _help(text: str) -> str:
    """A help text as markdown: paragraphs, and what is laid out by hand (after \\b) as a block."""
    parts = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        "\n".join(f"    {line}" for line in part.splitlines()[1:]) if part.startswith("\b") else " ".join(part.split())
        for part in parts
    )


# ---- keys of files ----

TITLES = {"scenario": "A scenario", "pipeline": "A pipeline", "study": "A study"}
INNER = {
    "initial": "STAGE",
    "provenance": "KEY",
    "settings": "NAME",
    "systems": "NAME",
    "sweeps": "NAME",
}
"""What stands for the names in mappings of keys of their own."""

UNFOLDED = {"kubernetes", "policy", "published"}
"""Keys whose own keys are others' (Kubernetes', the policy's) or those of another key (`defaults`)."""


def keys() -> str:
    parts = []
    for kind, title in TITLES.items():
        schema = json_schema(kind)
        found: dict[str, list[Row]] = {}
        for path, *row in _keys(schema, schema["$defs"], "", set(schema["required"])):
            found.setdefault(path, []).append(row)
        for path, rows in found.items():
            parts.append(f"### `{path}`" if path else f"## {title}")
            parts.append(table(("key", "type", "default", "meaning"), rows))
    return "\n\n".join(parts)


def _keys(
    model: Mapping[str, Any], models: Mapping[str, Any], path: str, required: set[str]
) -> Iterator[tuple[str, ...]]:
    """Where each key stands, its name, type, default and meaning; those below it follow."""
    for name, field in model["properties"].items():
        inside, below = _model_of(field, models)
        meaning = field.get("description") or (inside or {}).get("description", "")
        default = "" if name in required else _default(field.get("default"))
        yield path, _code(name), _type(field, models), default, meaning
        if inside is not None and name not in UNFOLDED:
            place = f"{path}.{name}".lstrip(".") + {"{}": f".{INNER.get(name, 'NAME')}"}.get(below, below)
            yield from _keys(inside, models, place, set(inside.get("required", ())))


def _model_of(field: Mapping[str, Any], models: Mapping[str, Any]) -> tuple[Any, str]:
    """The model behind a key, and whether it is the key's value (""), one of a list or one of a mapping."""
    for each in (field, *field.get("anyOf", ()), *field.get("oneOf", ())):
        if "$ref" in each:
            found = models[each["$ref"].removeprefix("#/$defs/")]
            if "properties" in found:
                return found, ""
        for key, below in (("items", "[]"), ("additionalProperties", "{}")):
            if not isinstance(inner := each.get(key), dict):
                continue
            for choice in (inner, *inner.get("anyOf", ())):
                if "$ref" in choice:
                    return models[choice["$ref"].removeprefix("#/$defs/")], below
            if isinstance(inner, dict) and "oneOf" in inner:
                kinds = [models[kind["$ref"].removeprefix("#/$defs/")] for kind in inner["oneOf"]]
                return _merged(kinds), below
    return None, ""


def _merged(kinds: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The keys of all kinds of a thing; lists of different models under one key are a list of either."""
    properties: dict[str, Any] = {}
    for name, field in [item for kind in kinds for item in kind["properties"].items()]:
        other = properties.get(name, field)
        either = [each["items"] for each in (other, field) if each.get("type") == "array" and each != other]
        properties[name] = {**field, "items": {"oneOf": [other["items"], *either]}} if either else field
    words = [kind["properties"]["kind"]["const"] for kind in kinds if "kind" in kind["properties"]]
    if words:
        properties["kind"] = {**properties["kind"], "enum": words}
    required = set.intersection(*[set(kind.get("required", ())) for kind in kinds])
    return {"properties": properties, "required": list(required)}


def _default(value: Any) -> str:
    if value in (None, "", {}, []) or isinstance(value, dict):
        name = value.get("name") if isinstance(value, dict) else None
        return _code(name) if isinstance(name, str) else "none"
    return _code(
        str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    )


def _type(field: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """A key's type in words."""
    if "enum" in field or "const" in field:
        return ", ".join(_code(str(word)) for word in field.get("enum", [field.get("const")]))
    if choices := field.get("anyOf") or field.get("oneOf"):
        return ", or ".join(dict.fromkeys(_type(each, models) for each in choices if each.get("type") != "null"))
    if "$ref" in field:
        return _type(models[field["$ref"].removeprefix("#/$defs/")], models)
    kind = field.get("type", "any value")
    kind = kind[0] if isinstance(kind, list) else kind  # a number, or a text with a unit
    if kind in ("integer", "number"):
        return " ".join(("whole" if kind == "integer" else "number", *_bounds(field)))
    if kind == "array":
        inner = _type(field["items"], models) if field.get("items") else "values"
        return f"list of {'mappings' if inner == 'mapping' else inner}"
    return {"string": "text", "boolean": "true, false", "object": "mapping"}.get(kind, kind)


def _bounds(field: Mapping[str, Any]) -> Iterator[str]:
    for key, word in (
        ("minimum", "from"),
        ("exclusiveMinimum", "above"),
        ("maximum", "to"),
        ("exclusiveMaximum", "below"),
    ):
        if key in field and abs(field[key]) < 1e9:
            yield f"{word} {field[key]:,g}"


# ---- columns, policies, live mode, Python ----


def columns() -> str:
    parts = []
    for name, found in COLUMNS.items():
        parts += [f"## `{name}`", _columns("column", found)]
    for title, found in (
        ("The summary", SUMMARY),
        ("The manifest", MANIFEST),
        ("The manifest's key `live`", LIVE),
    ):
        parts += [f"## {title}", _columns("key", found)]
    return "\n\n".join(parts)


def _columns(head: str, found: Mapping[str, Column]) -> str:
    return table((head, "unit", "meaning"), ((_code(name), each.unit, each.meaning) for name, each in found.items()))


def parameters() -> str:
    """Parameters that several policies have with one meaning stand once."""
    manuals = [manual_of(name) for name in POLICIES]
    uses = Counter(each for manual in manuals for each in manual.parameters)
    shared = {each for each, count in uses.items() if count >= SHARED_BY}
    parts = [
        "## Parameters that several policies have",
        _parameters(dict.fromkeys(each for manual in manuals for each in manual.parameters if each in shared)),
    ]
    for manual in manuals:
        parts += [f"## `{manual.name}`", manual.summary]
        if manual.argument:
            parts.append(f"With an argument: {' '.join(manual.argument.split())}")
        if own := [each for each in manual.parameters if each not in shared]:
            parts.append(_parameters(own))
        if names := [_code(each.name) for each in manual.parameters if each in shared]:
            parts.append(f"As above: {', '.join(names)}.")
    rows = ((_code(name), _first(kind), _values(describe_predictor(kind()))) for name, kind in PREDICTORS.items())
    parts += ["## Predictors", table(("name", "forecast", "parameters"), rows)]
    ranges = ((_code(name), _code(tried)) for name, tried in RANGES.items())
    parts += ["## Ranges that `ipa tune` tries", table(("parameter", "range"), ranges)]
    return "\n\n".join(parts)


def _parameters(found: Iterable[Any]) -> str:
    rows = ((_code(each.name), _code(each.default or "required"), each.meaning) for each in found)
    return table(("parameter", "default", "meaning"), rows)


def _values(described: Mapping[str, Any]) -> str:
    def said(value: Any) -> str:
        return ", ".join(each["name"] for each in value) if isinstance(value, list) else f"{value}"

    return "; ".join(f"`{key}`: {said(value)}" for key, value in described.items() if key != "name")


def live() -> str:
    metrics = (
        (_code(each.name), each.kind, ", ".join(each.processes), ", ".join(each.labels), each.help) for each in TABLE
    )
    return "\n\n".join((
        "## Metrics",
        "Each has the label `pipeline` as well. [How they are read](../live.md#metrics).",
        table(("metric", "kind", "from", "labels", "says"), metrics),
        "## Troubles",
        "What prevents a controller from working. [What is done about each](../kubernetes-operations.md#faults).",
        table(("kind", "says"), ((_code(kind), said) for kind, said in TROUBLES.items())),
    ))  # fmt: skip


def names() -> str:
    found = {name: getattr(ipa, name) for name in dir(ipa) if not name.startswith("_")}
    functions = [(name, each) for name, each in found.items() if inspect.isfunction(each)]
    classes = [(name, each) for name, each in found.items() if inspect.isclass(each)]
    modules = [(name, each) for name, each in found.items() if inspect.ismodule(each)]
    parts = ["## Functions"]
    for name, each in functions:
        parts += [f"### `{name}`", _code(f"{name}{_signature(each)}"), _prose(inspect.getdoc(each))]
    parts.append("## Classes")
    for name, kind in classes:
        parts += [f"### `{name}`", _prose(inspect.getdoc(kind))]
        if rows := list(_members(kind)):
            parts.append(table(("member", "what it is"), rows))
    parts += ["## Modules", table(("module", "what it holds"), ((_code(name), _first(each)) for name, each in modules))]
    return "\n\n".join(parts)


def _members(of: type) -> Iterator[Row]:
    """The public methods and properties that the class declares and documents."""
    for name, each in vars(of).items():
        target = each.fget if isinstance(each, property) else getattr(each, "func", getattr(each, "__func__", each))
        if not name.startswith("_") and inspect.isfunction(target) and target.__doc__:
            call = "" if target is not each and not isinstance(each, classmethod | staticmethod) else "()"
            yield _code(f"{name}{call}"), _first(target)


def _signature(of: Any) -> str:
    """Annotations are texts, and stand without quotes; a default that is a function is told as `...`."""
    text = re.sub(r"<function .+? at 0x[0-9a-f]+>", "...", str(inspect.signature(of)))
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)


def _first(of: Any) -> str:
    return _prose(inspect.getdoc(of)).split("\n\n")[0]


def _prose(text: str | None) -> str:
    """A docstring as paragraphs."""
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


PAGES: dict[str, tuple[str, str, Callable[[], str]]] = {
    "commands.md": (
        "Command line",
        "What `ipa COMMAND --help` prints, on one page. Every command has `-h` and `--help` too.",
        commands,
    ),
    "keys.md": (
        "Keys of files",
        """Every key of the three kinds of YAML files; `ipa schema` prints the same for editors. A key without a default
is required; the default `none` means that the key is not given. Times and shares may have
[units](../scenarios.md#units). What they are for: [scenarios](../scenarios.md),
[pipelines](../pipelines.md), [studies](../studies.md).""",
        keys,
    ),
    "columns.md": (
        "Tables",
        """The columns of a run's tables (`FOLDER/NAME.parquet`, in Python `run.tables["NAME"]`), and the keys of its
summary and manifest. Times are seconds since the start of the run; a time that was never reached is NaN.
[What each file holds](../scenarios.md#results).""",
        columns,
    ),
    "parameters.md": (
        "Parameters of policies and predictors",
        """What `ipa policy show NAME` prints, on one page. Parameters stand beside `name` in a scenario's `policy`,
behind the name (`ipa alpha=20`), or in `--set policy.PARAMETER=VALUE`. [What the policies do](../policies.md).""",
        parameters,
    ),
    "live.md": (
        "Metrics and troubles of live mode",
        "What the gateway and the controller measure, and what keeps a controller from its work.",
        live,
    ),
    "python.md": (
        "Python",
        "What `import ipa` offers; `help(ipa.simulate)` says the same. [How to use it](../python.md).",
        names,
    ),
}


def pages() -> dict[str, str]:
    """The text of each page, by its file's name."""
    return {name: f"# {title}\n\n{intro}\n\n{make()}\n" for name, (title, intro, make) in PAGES.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
