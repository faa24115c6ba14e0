"""Options declared once: fields of a frozen dataclass, with the help and bounds for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Option:
    """The properties of a field besides its name, type and default; `flag`: if it is not the name with dashes.

    `words`: a `Literal` or the allowed words; `least` and `most`: inclusive bounds; `above` and `below`: exclusive
    bounds; `exists`: the path must exist. An option whose default is a tuple may be repeated; one without a default is
    required.
    """

    help: str
    flag: str = ""
    metavar: str | None = None
    words: Any = None
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    exists: bool = False


def option(default: Any, help: str, **properties: Any) -> Any:  # noqa: A002
    """A dataclass field that is an option of a command; `properties`: as in `Option`."""
    return field(default=default, metadata={"option": Option(help, **properties)})


def options_of(kind: type) -> Iterator[tuple[Field[Any], Option, str]]:
    """The fields of a dataclass that are options, each with its `Option` and its flag, such as `--decision-timeout`.

    A flag has no unit: the field's name and the help have it.
    """
    for option_field in fields(kind):
        if properties := option_field.metadata.get("option"):
            flag = properties.flag or f"--{option_field.name.removesuffix('_s').replace('_', '-')}"
            yield option_field, properties, flag
