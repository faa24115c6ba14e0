"""Parallel runs: how many at a time, their progress, and the message when a command is interrupted."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Protocol

import click

from ipa import sim
from ipa.studies import many
from ipa.studies.commands import printing
from ipa.studies.many import workers
from ipa.studies.scenario import WorkerError

if TYPE_CHECKING:
    from ipa.studies.many import Running


def at_once(jobs: int | None) -> int:
    """How many runs to run at a time for the option `jobs`: by default one per core, at most two per core."""
    most = workers.PER_CORE * workers.cores()
    if jobs is not None and jobs > most:
        printing.note(f"--jobs {jobs}: running {most} at a time, {workers.PER_CORE} per core; more gain nothing")
    return min(jobs or workers.cores(), most)


def running(out: Path | None, jobs: int | None, on: str) -> Running:
    """How runs are made (--jobs, --on) and kept: in `out`, or in memory if it is None; with progress."""
    return many.Running(out, at_once(jobs), on, of_runs, printing.note)


@contextmanager
def ended_cleanly(out: Path | None) -> Iterator[None]:
    """Turn an interrupt, SIGTERM or a killed worker into one line that says where finished runs are kept."""
    try:
        with workers.terminable():
            yield
    except KeyboardInterrupt:
        raise interrupted(out) from None
    except WorkerError as error:
        raise click.ClickException(f"{error}{_kept(out)}") from None


def interrupted(out: Path | None) -> click.ClickException:
    """The error of an interrupted command whose finished runs are kept in `out`."""
    return click.ClickException(f"interrupted{_kept(out)}")


def _kept(out: Path | None) -> str:
    return f"; finished runs are kept in {out}: repeat the command to resume" if out else "; no run is kept"


LINE_EVERY_S = 10.0
"""The interval of progress lines where there is no bar [s]."""

SETTLED_S = 1.0
"""Work done within this time [s] does not count for the rate: it was mostly there already, as in a resumed study."""


class Advance(Protocol):
    """A function to call when a run has ended; `failed`: whether it has failed."""

    def __call__(self, failed: bool = False) -> object: ...


@contextmanager
def counted(label: str, total: int) -> Iterator[Advance]:
    """Shows the progress over `total` runs; yields a function to call when one has ended."""
    if total < 2:
        yield lambda failed=False: None
        return
    with _shown(label, total, "") as show:
        done = failures = 0

        def advance(failed: bool = False) -> None:
            nonlocal done, failures
            done += 1
            failures += failed
            show(done, f"{failures} failed" if failures else "")

        yield advance


def of_runs(total: int) -> AbstractContextManager[Advance]:
    """`counted` for runs."""
    return counted("runs", total)


@contextmanager
def shared(label: str) -> Iterator[Callable[[float], object]]:
    """Shows the progress of one run; yields a function to call with the share done, from 0 to 1."""
    with _shown(label, 100, " %") as show:
        yield lambda share: show(100.0 * share, "")


@contextmanager
def _shown(label: str, total: int, unit: str) -> Iterator[Callable[[float, str], object]]:
    """Yields a function to call with the part of `total` that is done and further text; prints nothing if the command
    is quiet."""
    if printing.is_quiet():
        yield lambda _, __: None
    elif not sys.stderr.isatty():
        yield ProgressLines(label, total, unit)
    else:
        with _bar(label, total, unit) as show:
            yield show


RECENT_S, RECENT = 60.0, 10
"""A rate covers the last minute, or the last ten updates if these took longer."""


class ProgressRate:
    """The recent rate of progress, and the remaining time at that rate."""

    def __init__(self, total: float, unit: str, clock: Callable[[], float]) -> None:
        self._total, self._unit, self._clock = total, unit, clock
        self.began_s = clock()
        self._recent = deque([(self.began_s, 0.0)])  # time, and how much was done by then

    def __call__(self, done: float) -> str:
        """The rate and the remaining time in words, such as `15 per min, 2 min left`; empty while there is no rate."""
        now_s = self._clock()
        if now_s < self.began_s + SETTLED_S:
            self._recent = deque([(now_s, done)])
        while len(self._recent) > RECENT and self._recent[1][0] < now_s - RECENT_S:
            self._recent.popleft()
        since_s, since_done = self._recent[0]
        if now_s >= self._recent[-1][0] + RECENT_S / 100:
            self._recent.append((now_s, done))
        if done <= since_done or now_s <= since_s:
            return ""
        per_s = (done - since_done) / (now_s - since_s)
        return f"{_rate(per_s, self._unit)}, {span((self._total - done) / per_s)} left"


class ProgressLines:
    """Progress as lines for a log, at most one every 10 s, and none once all is done."""

    def __init__(self, label: str, total: int, unit: str = "", clock: Callable[[], float] = monotonic) -> None:
        self._label, self._total, self._unit, self._clock = label, total, unit, clock
        self._pace = ProgressRate(total, unit, clock)
        self._printed_s = self._pace.began_s

    def __call__(self, done: float, besides: str = "") -> None:
        now_s = self._clock()
        pace = self._pace(done)
        if now_s >= self._printed_s + LINE_EVERY_S and done < self._total:
            self._printed_s = now_s
            share = f"{done:.0f}{self._unit}" if self._unit else f"{done:.0f} of {self._total}"
            took = f"after {span(now_s - self._pace.began_s)}"
            printing.log(f"{self._label}: {', '.join(filter(None, (f'{share} {took}', pace, besides)))}")


@contextmanager
def _bar(label: str, total: int, unit: str) -> Iterator[Callable[[float, str], object]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    share = TaskProgressColumn() if unit else MofNCompleteColumn()
    columns = (TextColumn(label), BarColumn(), share, TimeElapsedColumn(), TextColumn("{task.fields[pace]}"))
    with Progress(*columns, console=printing.console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, pace="")
        pace, shown = ProgressRate(total, unit, monotonic), 0.0

        def show(done: float, besides: str) -> None:
            nonlocal shown
            text = ", ".join(filter(None, (pace(done), besides)))
            if done >= shown + total / 500 or done >= total:  # drawing takes longer than a step of a run
                shown = done
                bar.update(task, completed=done, pace=text)

        yield show


def _rate(per_s: float, unit: str) -> str:
    seconds, name = next((width for width in ((1, "s"), (60, "min")) if per_s * width[0] >= 1), (3600, "h"))
    rate = per_s * seconds
    return f"{rate:.2g}{unit} per {name}" if rate < 100 else f"{rate:.0f}{unit} per {name}"


def span(time_s: float) -> str:
    """A time in words: `40 s`, `12 min`."""
    if time_s < 120:
        return f"{time_s:.0f} s"
    return f"{time_s / 60:.0f} min" if time_s < 7200 else f"{time_s / 3600:.1f} h"


def compile_engine(*names: str) -> None:
    """Compile the engines of these names with a note, unless cached on this machine, before workers need them.

    Raises EngineError if one cannot run here.
    """
    engines = set(names)
    if not printing.is_quiet() and any(map(sim.must_compile, engines)):
        printing.log("Compiling the engine, once on this machine: 3 s, or more if it is busy")
    for engine in engines:
        sim.choose_engine(engine)
