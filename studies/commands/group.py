"""Groups of commands: `Group` suggests the nearest name for a wrong one; `LazyGroup` imports a command when called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from ipa import profiles


class Group(click.Group):
    """A group whose commands are in its own module, listed with the first paragraph of each one's help."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but the error for an unknown command says what takes its place, or names the nearest and all."""
        name, commands = args[0], self.list_commands(ctx)
        if not name.startswith("-") and name not in commands and not ctx.resilient_parsing:
            from ipa.studies.commands import replaced

            words = " ".join([*ctx.command_path.split()[1:], name])
            ctx.fail(replaced.in_place_of(words) or _unknown(name, commands))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """As click's, but the error for an option of earlier versions says what takes its place."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            from ipa.studies.commands import replaced

            words = "" if error.ctx is None else " ".join([*error.ctx.command_path.split()[1:2], error.option_name])
            if instead := replaced.in_place_of(words) or replaced.in_place_of(error.option_name):
                raise click.UsageError(instead, error.ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.summary_of(name)) for name in self.list_commands(ctx)])

    def summary_of(self, name: str) -> str:
        """The first paragraph of a command's help."""
        return " ".join((self.commands[name].help or "").partition("\n\n")[0].split())


def _unknown(name: str, commands: Sequence[str]) -> str:
    hint = profiles.did_you_mean(name, commands)
    return f"no command is called {name!r}{hint}; allowed: {', '.join(commands)}"


class LazyGroup(Group):
    """A group that has its commands' names and summaries, so that its help imports none of them.

    `package` holds a module for each command, which defines the command under the module's name.
    """

    def __init__(self, *args: Any, package: str, groups: Mapping[str, Mapping[str, str]], **kwargs: Any) -> None:
        """`groups`: heading -> command -> summary."""
        super().__init__(*args, **kwargs)
        self.package = package
        self.groups = groups
        self.summaries = {name: summary for commands in groups.values() for name, summary in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.summaries:
            return None
        command = getattr(import_module(f"{self.package}.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in self.groups.items():
            with formatter.section(heading.capitalize()):
                formatter.write_dl(list(commands.items()))
