"""Many runs at once: how many, and how a command ends when it is interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ipa.studies.commands import printing
from ipa.studies.many import workers
from ipa.studies.scenario import WorkerError


def at_once(jobs: int | None) -> int:
    """How many runs to run at a time where `jobs` are asked for: by default one per core, at most two per core."""
    most = workers.PER_CORE * workers.cores()
    if jobs is not None and jobs > most:
        printing.note(f"--jobs {jobs}: running {most} at a time, {workers.PER_CORE} per core; more gain nothing")
    return min(jobs or workers.cores(), most)


@contextmanager
def ended_cleanly(out: Path | None) -> Iterator[None]:
    """Answer an interrupt, SIGTERM or a killed worker with one line that says where finished runs are kept."""
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
