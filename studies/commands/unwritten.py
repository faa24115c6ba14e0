"""What a disk has no room for: a command prints what it has found before it ends with what could not be written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from ipa.errors import InputError

_PROBLEMS = f"{__name__}.problems"
"""The key of these errors in a command's context."""


@contextmanager
def told_last() -> Iterator[None]:
    """An InputError in the block, of a file that cannot be written, is told when the command has printed the rest."""
    try:
        yield
    except InputError as problem:
        click.get_current_context().meta.setdefault(_PROBLEMS, []).append(problem)


def problems_of(context: click.Context) -> list[InputError]:
    """The errors that are to be told last."""
    return list(context.meta.get(_PROBLEMS, ()))


def write_or_elsewhere(write: Callable[[Path], object], path: Path) -> None:
    """Write what cannot be made again to `path` or, where that cannot be written, to a new temporary folder.

    Raises InputError in both cases of trouble; its text says where the results are instead, if anywhere.
    """
    try:
        write(path)
    except InputError as problem:
        if (place := _written_elsewhere(write, path.name)) is None:
            raise
        raise ElsewhereError(f"{problem}; it is in {place} instead: move it where there is room") from None


def _written_elsewhere(write: Callable[[Path], object], name: str) -> Path | None:
    """Where it is, in a new temporary folder; None if it could not be written there either."""
    from tempfile import mkdtemp

    with suppress(OSError):
        folder = Path(mkdtemp(prefix="ipa-results-"))
        try:
            write(folder / name)
        except InputError:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            return folder / name
    return None


class ElsewhereError(InputError):
    """What could not be written where it should be is somewhere else."""
