"""The settings of a process: frozen dataclasses whose fields are the options of its command, declared once.

Whoever starts the process writes its settings, and `arguments` turns them into its command line. `options_of` gives the
command that reads them its options. They are not in a file, as on a cluster they are then part of a pod's template: a
change of them rolls out, and an older pod that restarts keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

PORT, COUNT, SEED = click.IntRange(0, 65535), click.IntRange(min=1), click.IntRange(min=0)
SECONDS, DURATION_S = click.FloatRange(min=0, min_open=True), click.FloatRange(min=0)
LOG_LEVEL = click.Choice(["debug", "info", "warning", "error"])


@dataclass(frozen=True)
class _Option:
    help: str
    is_required: bool
    type: click.ParamType[Any] | None
    flag: str
    metavar: str | None


def setting(
    text: str = "",
    kind: click.ParamType[Any] | None = None,
    *,
    default: Any = None,
    is_required: bool = False,
    flag: str = "",
    metavar: str | None = None,
) -> Any:
    """A field of settings. A tuple is an option that may be repeated, False one without a value.

    `flag`: the option's name, where it is not the field's without its unit, or its plural.
    """
    return field(default=default, metadata={"option": _Option(text, is_required, kind, flag, metavar)})


class ProcessSettings:
    """The base of settings: frozen dataclasses of fields that `setting` makes."""

    def arguments(self) -> list[str]:
        """The command line with these settings; those that are at their defaults are left out."""
        words: list[str] = []
        for declared in _fields(type(self)):
            value = getattr(self, declared.name)
            if value is True:
                words.append(_flag(declared))
            elif value != declared.default:
                for item in value if isinstance(value, tuple) else (value,):
                    words += [_flag(declared), _text(item)]
        return words


def options_of(settings: type[ProcessSettings]) -> Callable[[F], F]:
    """A decorator that gives a click command the options of these settings."""

    def decorated(command: F) -> F:
        for declared in reversed(_fields(settings)):
            option: _Option = declared.metadata["option"]
            command = click.option(
                _flag(declared),
                declared.name,
                type=option.type,
                **({"required": True} if option.is_required else {"default": declared.default}),
                show_default=declared.default not in (None, "", (), False),
                multiple=declared.default == (),
                is_flag=declared.default is False,
                metavar=option.metavar,
                help=option.help,
            )(command)
        return command

    return decorated


def _fields(settings: type[ProcessSettings]) -> tuple[Field[Any], ...]:
    return fields(settings)  # type: ignore[arg-type]  # a dataclass


def _flag(declared: Field[Any]) -> str:
    option: _Option = declared.metadata["option"]
    name = declared.name.removesuffix("_s").removesuffix("_bytes")
    if declared.default == ():
        name = name.removesuffix("s")
    return option.flag or "--" + name.replace("_", "-")


def _text(value: Any) -> str:
    if isinstance(value, tuple):  # of a name and its value
        return f"{value[0]}={_text(value[1])}"
    return repr(value) if isinstance(value, float) else str(value)
