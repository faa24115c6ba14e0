"""A group of commands, each imported when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from ipa import profiles


class LazyGroup(click.Group):
    """A group that knows its commands by name and short help; the module of one is imported when it is called.

    `package` holds a module for each command, of the same name with `_` for `-`, which defines the command under that
    name, or with a `_` behind it where Python itself has the name (`list_`).
    """

    def __init__(self, *args: Any, package: str, short_helps: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.package = package
        self.short_helps = short_helps

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.short_helps)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.short_helps:
            return None
        name = cmd_name.replace("-", "_")
        module = import_module(f"{self.package}.{name}")
        command = getattr(module, name, None) or getattr(module, f"{name}_")
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a command that is not there is answered with the nearest and with all."""
        name, commands = args[0], self.list_commands(ctx)
        if not name.startswith("-") and name not in commands and not ctx.resilient_parsing:
            hint = profiles.did_you_mean(name, commands)
            ctx.fail(f"no command is called {name!r}{hint}; allowed: {', '.join(commands)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in the group's help, which imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.short_helps[name]) for name in self.list_commands(ctx)])
