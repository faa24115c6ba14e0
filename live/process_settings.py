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
        for each in _fields(type(self)):
            value = getattr(self, each.name)
            if value is True:
                words.append(_flag(each))
            elif value != each.default:
                for item in value if isinstance(value, tuple) else (value,):
                    words += [_flag(each), _text(item)]
        return words


def options_of(settings: type[ProcessSettings]) -> Callable[[F], F]:
    """A decorator that gives a click command the options of these settings."""

    def decorated(command: F) -> F:
        for each in reversed(_fields(settings)):
            option: _Option = each.metadata["option"]
            command = click.option(
                _flag(each),
                each.name,
                type=option.type,
                default=None if option.is_required else each.default,
                required=option.is_required,
                show_default=each.default not in (None, "", (), False),
                multiple=each.default == (),
                is_flag=each.default is False,
                metavar=option.metavar,
                help=option.help,
            )(command)
        return command

    return decorated


def _fields(settings: type[ProcessSettings]) -> tuple[Field[Any], ...]:
    return fields(settings)  # type: ignore[arg-type]  # a dataclass


def _flag(each: Field[Any]) -> str:
    option: _Option = each.metadata["option"]
    name = each.name.removesuffix("_s").removesuffix("_bytes")
    if each.default == ():
        name = name.removesuffix("s")
    return option.flag or "--" + name.replace("_", "-")


def _text(value: Any) -> str:
    if isinstance(value, tuple):  # of a name and its value
        return f"{value[0]}={_text(value[1])}"
    return repr(value) if isinstance(value, float) else str(value)
