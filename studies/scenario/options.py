"""Options declared once: fields of a frozen dataclass, with the help and bounds for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Option:
    """The properties of a field besides its name, type and default; `flag`: if it is not the name with dashes.

    `words`: a `Literal` or the allowed words; `least` and `most`: inclusive bounds; `above` and `below`: exclusive
    bounds; `exists`: the path must exist; `completes`: what the shell completes, such as `keys`. An option whose
    default is a tuple may be repeated; one without a default is required.
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
    completes: str = ""


def option(default: Any, help: str, **about: Any) -> Any:  # noqa: A002
    """A dataclass field that is an option of a command; `about`: as in `Option`."""
    return field(default=default, metadata={"option": Option(help, **about)})


def options_of(of: type) -> Iterator[tuple[Field[Any], Option, str]]:
    """The fields of a dataclass that are options, each with its `Option` and its flag, such as `--decision-timeout`.

    A flag has no unit: the field's name and the help have it.
    """
    for each in fields(of):
        if about := each.metadata.get("option"):
            yield each, about, about.flag or f"--{each.name.removesuffix('_s').replace('_', '-')}"
