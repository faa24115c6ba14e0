"""Shows a live run on stderr: as a screen on a terminal, else as a line every few seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.studies.commands import printing
from ipa.studies.commands.live_line import line, step_line

if TYPE_CHECKING:
    from ipa.live import Interrupts, View
    from ipa.policies import Entry

LINE_EVERY_S = 5.0
SHOW_CURSOR = b"\x1b[?25h"

Show = Callable[["View"], object]


def interrupts() -> Interrupts:
    """Handles Ctrl-C and SIGTERM during a live run; restores the cursor, which a screen hides."""
    from ipa.live import Interrupts

    return Interrupts(lambda: os.write(2, SHOW_CURSOR) if os.isatty(2) else None)


@contextmanager
def showing(title: str) -> Iterator[Show]:
    """Yields a function to call with every view of the run; the screen disappears when the block ends."""
    if printing.is_quiet():
        yield lambda _: None
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.live import Live
    from rich.text import Text

    from ipa.studies.commands.live_screen import Screen

    screen = Screen(title)
    start = Text(f"{title}: starting the gateway and the replicas ...")
    with Live(start, console=printing.console(stderr=True), auto_refresh=False, transient=True) as live:
        yield lambda view: live.update(screen.drawn(view), refresh=True)


@contextmanager
def showing_several(names: Sequence[str]) -> Iterator[Callable[[str, View], object]]:
    """Yields a function to call with the name of a pipeline and every view of its run; as `showing`."""
    if printing.is_quiet():
        yield lambda *_: None
        return
    if not sys.stderr.isatty():
        lines = {name: _Lines(name) for name in names}
        yield lambda name, view: lines[name](view)
        return
    from rich.console import Group
    from rich.live import Live

    from ipa.studies.commands.live_screen import Screen

    screens = {name: Screen(name) for name in names}
    drawn: dict[str, Group] = {}
    with Live(console=printing.console(stderr=True), auto_refresh=False, transient=True) as live:

        def show(name: str, view: View) -> None:
            drawn[name] = screens[name].drawn(view)
            live.update(Group(*(drawn[name] for name in names if name in drawn)), refresh=True)

        yield show


class _Lines:
    """A line every few seconds, which begins with the name."""

    def __init__(self, name: str = "") -> None:
        self._name = name and f"{name}: "
        self._next_s = 0.0

    def __call__(self, view: View) -> None:
        if view.time_s >= self._next_s:
            self._next_s = view.time_s + LINE_EVERY_S - 0.5
            click.echo(f"{self._name}{line(view)}", err=True)


def show_step(entry: Entry) -> None:
    """Print a control step on stderr, unless the command is quiet."""
    printing.note(step_line(entry))


# ---- warnings ----


def warn(live: Mapping[str, Any], name: str = "") -> None:
    """Warn on stderr if the figures of a live run may mislead; `name`: of a pipeline of several."""
    from ipa.live import UNKNOWN

    unknown = [key for key, value in live.items() if value == UNKNOWN]
    live = {**live, **dict.fromkeys(unknown, 0)}
    warnings = [studies.live_runs.late_warning(live, live["requests_sent"])]
    if live["decisions_held"]:
        warnings.append(
            f"Warning: {live['decisions_held']} decisions kept the configuration in force because the policy failed or "
            "exceeded its time limit; see the notes in the journal"
        )
    if live["records_lost"]:
        warnings.append(f"Warning: the gateway had no record of {live['records_lost']} requests that it answered")
    if live["cut_off"]:
        warnings.append(
            f"Warning: {live['cut_off']} requests were cut off by the early end of the run; they are in no table, and "
            "count neither as served nor as violations"
        )
    if live["foreign_requests"]:
        warnings.append(f"Warning: {live['foreign_requests']} requests came from other clients; they are in no table")
    if live["refused"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in live["refused"].items())
        warnings.append(f"Warning: the gateway refused {sum(live['refused'].values())} requests: {reasons}")
    if unknown:
        warnings.append(f"Unknown, since who could say was killed: {', '.join(unknown)}")
    warnings += [f"Warning: {law}" for law in live["broken_laws"]]
    for text in filter(None, warnings):
        click.echo(f"{name}: {text}" if name else text, err=True)
