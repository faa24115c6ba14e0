"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from ipa.studies.commands import printing

LINE_EVERY_S = 10.0
"""How often a line is printed where there is no bar: often enough to follow, rarely enough for a log."""


@contextmanager
def counted(what: str, total: int, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Progress over `total` runs; call what it yields whenever one is finished."""
    if quiet or total < 2:
        yield lambda: None
        return
    if not sys.stderr.isatty():
        yield Lines(what, total)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=printing.console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


class Lines:
    """Progress as plain lines for a log: how many runs are finished, printed when one is, at most every 10 s."""

    def __init__(self, what: str, total: int, clock: Callable[[], float] = monotonic) -> None:
        self._what, self._total, self._clock = what, total, clock
        self._done = 0
        self._began_s = self._printed_s = clock()

    def __call__(self) -> None:
        self._done += 1
        now_s = self._clock()
        if now_s >= self._printed_s + LINE_EVERY_S and self._done < self._total:
            self._printed_s = now_s
            took_s, left = now_s - self._began_s, self._total - self._done
            printing.log(f"{self._what}: {self._done} of {self._total} after {took_s:.0f} s, {left} left")


@contextmanager
def shared(what: str, quiet: bool = False) -> Iterator[Callable[[float], object]]:
    """Progress of one run; call what it yields with the share that is done, from 0 to 1. A bar, or nothing."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=printing.console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        shown = 0.0

        def show(share: float) -> None:
            nonlocal shown
            if share >= shown + 0.002:
                shown = share
                bar.update(task, completed=share)

        yield show
