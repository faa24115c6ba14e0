"""Options declared once: a field of a frozen dataclass, with the help and the bounds that a command line shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Option:
    """What is known of a field beside its name, type and default; `flag` where it is not the name with dashes.

    `words`: a `Literal` or the words it may be; `least` and `most`: its bounds, `above` and `below`: bounds that it may
    not reach; `exists`: a path has to be there. `completes`: what the shell offers for it, such as `keys`. One whose
    default is a tuple may be repeated; one without a default has to be given.
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
    """A field of a dataclass that is an option of a command; `about`: as in `Option`."""
    return field(default=default, metadata={"option": Option(help, **about)})


def options_of(of: type) -> Iterator[tuple[Field[Any], Option, str]]:
    """The fields of a dataclass that are options, each with what is known of it and its flag, `--decision-timeout`.

    A flag has no unit: that is in the name of the field, and in the help.
    """
    for each in fields(of):
        if about := each.metadata.get("option"):
            yield each, about, about.flag or f"--{each.name.removesuffix('_s').replace('_', '-')}"
