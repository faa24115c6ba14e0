"""The limits of a gateway that whoever runs it may set, for its own command, `ipa live run` and `ipa live up` alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class GatewayLimits:
    """What requests may take of a gateway; None: its own default.

    A request may become `most_items` items in a graph. The requests of one client address may hold a `peer_share` of
    the bytes that all inside may. JSON may be `most_json_bytes` long, and the records of ended requests may take
    `most_recorded_bytes`.
    """

    most_items: int | None = None
    peer_share: float | None = None
    most_json_bytes: int | None = None
    most_recorded_bytes: int | None = None

    def given(self) -> dict[str, float]:
        """Those that are set, by their options' names."""
        values = {each.name: getattr(self, each.name) for each in fields(GatewayLimits)}
        return {f"--{_flag(name)}": value for name, value in values.items() if value is not None}

    def arguments(self) -> list[str]:
        """The arguments of a gateway's process."""
        return [word for flag, value in self.given().items() for word in (flag, str(value))]


def _flag(field: str) -> str:
    return field.removesuffix("_bytes").replace("_", "-")


def limit_options(command: F) -> F:
    """The options of the limits, for a command."""
    import click

    count = click.IntRange(min=1)
    for name, kind, text in (
        (
            "most_recorded_bytes",
            count,
            "Most bytes of the records of ended requests, 512 each row. Default: an eighth of memory, at most 64 MiB.",
        ),
        (
            "most_json_bytes",
            count,
            "Most bytes of JSON in a request or an answer; binary data may be larger. Default: 4194304.",
        ),
        (
            "peer_share",
            click.FloatRange(0, 1, min_open=True),
            "Share of the bytes of all requests inside that those of one client address may hold. Default: 0.9.",
        ),
        (
            "most_items",
            count,
            "Items that a request may become in a graph; beyond, it is answered with 413. Default: 1000.",
        ),
    ):
        command = click.option(f"--{_flag(name)}", name, type=kind, help=text)(command)
    return command
