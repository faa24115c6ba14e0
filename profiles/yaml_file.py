"""YAML files with line numbers, validated with errors in plain words.

It takes two steps. `read_yaml` turns a file into a `Document`: plain data, and the line of every key and item.
`validate_document` validates it with a pydantic model. One error reports all problems, each in a line of text:
`file:line: key: what is wrong; given ...; did you mean ...?`.

Scalars are those of YAML 1.2: `1e-6` is a number; `on`, `no`, `2018-04-01` and `1:30` are text. Duplicate keys, aliases
and tags are refused, because they are easily misread.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ipa.models import FileModel as FileModel
from ipa.models import refusal as refusal
from ipa.numbers import number_of, perhaps_with_unit
from ipa.profiles.errors import ProfileError, did_you_mean, text_of

Loc = tuple[str | int, ...]
"""Keys and indexes from the top of a document to a value in it, as pydantic writes them."""

M = TypeVar("M", bound=BaseModel)

MOST_PROBLEMS = 10
"""The most problems of a file that are listed; the rest are counted."""


@dataclass(frozen=True)
class Document:
    """A file's content as plain dicts, lists and scalars, and the line of every key and item."""

    path: str
    data: dict[str, Any]
    lines: Mapping[Loc, int]

    def line_of(self, loc: Loc) -> int:
        """The line (from 1) of a key or item or, if that is missing, of what should contain it."""
        while loc not in self.lines:
            loc = loc[:-1]
        return self.lines[loc]

    def error_at(self, loc: Loc, text: str) -> str:
        """`file:line: key: text`, where list items that have a `name` go by it."""
        key = key_path(self.data, loc)
        return f"{self.path}:{self.line_of(loc)}: " + (f"{key}: {text}" if key else text)


def read_yaml(
    path: str | Path | Traversable,
    *,
    kind: str | tuple[str, ...],
    schema_version: int = 1,
    error: type[ValueError] = ProfileError,
) -> Document:
    """The file as a document; `error` if it cannot be read or has another kind or version."""
    text = text_of(path, error)
    document = parse_yaml(text, str(path), error=error)
    _check_header(document, "kind", (kind,) if isinstance(kind, str) else kind, error)
    _check_header(document, "schema_version", (schema_version,), error)
    return document


def value_in_text(text: str, error: type[ValueError]) -> Any:
    """The value that a text stands for in a file; a mapping needs no outer braces: `min: cost, accuracy_at_least: 38`.

    `error` if it is not YAML.
    """
    is_bare = re.match(r"\s*[A-Za-z_]\w*:\s", text) is not None
    return parse_yaml(f"value: {{{text}}}" if is_bare else f"value: {text}", "", error=error).data["value"]


def parse_yaml(text: str, path: str, *, error: type[ValueError] = ProfileError) -> Document:
    """The text of a file as a document; `error` if it is not YAML or not a mapping at the top."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
        if node is None:
            raise error(f"{path}: the file is empty")
        reader = _Reader(path, error)
        data = reader.value(node, ())
    except yaml.MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise error(f"{path}{line}: not valid YAML: {_said(cause)}") from None
    except yaml.YAMLError as cause:
        raise error(f"{path}: not valid YAML: {' '.join(str(cause).split())}") from None
    except RecursionError:
        raise error(f"{path}: nested too deeply") from None
    if not isinstance(data, dict):
        raise error(f"{path}:1: should be a mapping of keys to values; given {_shown(data)}")
    return Document(path, data, reader.lines)


def _said(cause: yaml.MarkedYAMLError) -> str:
    """What PyYAML says is wrong; it says of a second document only that there is one."""
    if cause.problem == "but found another document":
        return "should be one document, but '---' begins another"
    return cause.problem or str(cause)


def _check_header(document: Document, key: str, allowed: tuple[str | int, ...], error: type[ValueError]) -> None:
    value_here = document.data.get(key)
    expected = " or ".join(map(repr, allowed))
    if key not in document.data:
        raise error(document.error_at((), f"the key {key!r} is missing; it should be {expected}"))
    if not any(type(value_here) is type(value) and value_here == value for value in allowed):
        raise error(document.error_at((key,), f"should be {expected}; given {_shown(value_here)}"))


class _Reader:
    """Turns PyYAML's nodes into plain data, noting the lines."""

    def __init__(self, path: str, error: type[ValueError]) -> None:
        self.lines: dict[Loc, int] = {}
        self._path = path
        self._error = error
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, loc: Loc) -> Any:
        self.lines.setdefault(loc, node.start_mark.line + 1)
        if id(node) in self._seen:
            raise self._refuse(node, "anchors with aliases (&name, *name) are not supported")
        self._seen.add(id(node))
        if node.tag not in _PLAIN_TAGS:
            tag = node.tag.replace(_YAML_TAG, "!!", 1)
            raise self._refuse(node, f"tags are not supported; given {tag}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*loc, index)) for index, item in enumerate(node.value)]
        quoted = isinstance(node, yaml.ScalarNode) and node.style
        return node.value if quoted else _scalar(node.value)

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._refuse(key_node, "a key should be plain text")
            key, here = key_node.value, (*loc, key_node.value)
            if key in result:
                twin = f"the key {key!r} is already given, at line {self.lines[here]}"
                raise self._refuse(key_node, twin)
            self.lines[here] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, here)
        return result

    def _refuse(self, node: yaml.Node, text: str) -> ValueError:
        return self._error(f"{self._path}:{node.start_mark.line + 1}: {text}")


# PyYAML's base loaders have no resolvers, so they leave plain scalars as text.
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_YAML_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = tuple(_YAML_TAG + kind for kind in ("map", "seq", "str"))

_INTEGERS_BELOW = 2**63
"""The range of a table's column of whole numbers; larger ones are read as floating-point numbers."""
_CONSTANTS = {
    spelling: value
    for word, value in (("null", None), ("true", True), ("false", False))
    for spelling in (word, word.capitalize(), word.upper())
} | {"": None, "~": None, ".inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}


def _scalar(text: str) -> Any:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    number = number_of(text)
    if isinstance(number, int) and abs(number) >= _INTEGERS_BELOW:
        return float(number)
    return text if number is None else number


_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 ./()-]*")


def scalar_text(text: str) -> str:
    """A text as a scalar that is read as this text: as it stands if that is plain text, in quotes otherwise."""
    is_plain = _PLAIN.fullmatch(text) and text.strip() == text and _scalar(text) == text
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def validate_document(model: type[M], document: Document, *, error: type[ValueError] = ProfileError) -> M:
    """The document as the model; `error` lists what is wrong in file order, one problem on each line.

    Validators find the folder of the file in their context, as `folder`.
    """
    try:
        return model.model_validate(document.data, context={"folder": Path(document.path).parent})
    except ValidationError as cause:
        raise error(in_words(cause, document)) from None


def in_words(cause: ValidationError, document: Document) -> str:
    """What is wrong with a document, in the order of the file, one problem on each line."""
    problems = [_problem(document, details) for details in cause.errors(include_url=False)]
    lines = [text for _, text in sorted(problems, key=lambda problem: problem[0])]
    if len(lines) > MOST_PROBLEMS:
        lines[MOST_PROBLEMS:] = [f"... and {len(lines) - MOST_PROBLEMS} more"]
    return "\n".join(lines)


def _problem(document: Document, details: ErrorDetails) -> tuple[int, str]:
    context = details.get("ctx", {})
    loc = _existing(document.data, (*details["loc"], *context.get("at", ())), details["type"] == "missing")
    return document.line_of(loc), document.error_at(loc, _wording(details))


def _wording(details: ErrorDetails) -> str:
    if details["type"] == "refused":
        return details["msg"]
    if details["type"] == "missing":
        return "this key is missing"
    value, context = details["input"], details.get("ctx", {})
    allowed = re.findall(r"'([^']*)'", context.get("expected", context.get("expected_tags", "")))
    text = re.sub(r"^\w+ should", "should", details["msg"]).replace(" after validation", "")
    if details["type"] in _PLAIN_WORDS:
        text = _PLAIN_WORDS[details["type"]].format_map({key: _as_whole(value) for key, value in context.items()})
    if details["type"] in ("float_type", "int_type"):
        text += perhaps_with_unit(value, str(details["loc"][-1]))
    if context.get("min_length") == 1:
        text = "should not be empty"
    if details["type"].startswith("int_") and isinstance(value, float) and value.is_integer():
        text += f" in digits alone, below {_INTEGERS_BELOW}"
    if details["type"] == "union_tag_not_found":
        return f"the key {context['discriminator']} is missing"
    if details["type"] == "union_tag_invalid":
        words = ", ".join(map(repr, allowed[:-1])) + f" or {allowed[-1]!r}"
        name = context["discriminator"].strip("'")
        value, text = context["tag"], f"{name} should be {words}"
    hint = did_you_mean(value, allowed) if isinstance(value, str) else ""
    return f"{text}; given {_shown(value)}{hint}"


_PLAIN_WORDS = {
    **dict.fromkeys(("model_type", "dict_type", "model_attributes_type"), "should be a mapping of keys to values"),
    **dict.fromkeys(("list_type", "tuple_type"), "should be a list"),
    **dict.fromkeys(("int_type", "int_from_float"), "should be a whole number"),
    "float_type": "should be a number",
    "string_type": "should be text",
    "bool_type": "should be true or false",
    "greater_than": "should be above {gt}",
    "greater_than_equal": "should be at least {ge}",
    "less_than": "should be below {lt}",
    "less_than_equal": "should be at most {le}",
}
"""By type of pydantic's error, whose own words are a programmer's."""


def _as_whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _existing(data: Any, loc: Sequence[str | int], is_missing: bool) -> Loc:
    """The loc without the parts that pydantic adds for unions; the last key stays where it is what is missing."""
    existing: list[str | int] = []
    loc = [part for part in loc if part != "[key]"]
    for position, part in enumerate(loc):
        inside = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if inside:
            data = data[part]
        if inside or (is_missing and position == len(loc) - 1 and isinstance(data, dict)):
            existing.append(part)
    return tuple(existing)


def key_path(data: Any, loc: Loc) -> str:
    """The key as errors name it: `stages[sort].figures[0].mean_s`."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            data = data[part]
            name = data.get("name") if isinstance(data, dict) else None
            path += f"[{name if isinstance(name, str) else part}]"
        else:
            data = data.get(part)
            path += f".{part}" if path else part
    return path


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping" if value else "{}"
    if isinstance(value, list):
        return "a list" if value else "[]"
    if isinstance(value, bool):
        return str(value).lower()
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
