"""Atomic writes: a file or a folder gets its name only once it has been written completely.

Until then it has a temporary name beside it that begins with a dot. On any error (a full disk, an interrupt) it is
removed, so that nothing incomplete remains. Leftovers of a killed program are removed by the next one that writes the
same file or folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from platform import node
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it replaces `path` if the block succeeds and is removed otherwise.

    Raises ScenarioError if the file cannot be written.
    """
    part = _part(path)
    try:
        _remove_leftovers(path)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`; it takes that name if the block succeeds and is removed otherwise.

    An empty `folder` may exist already. Raises ScenarioError if the folder cannot be written.
    """
    folder = folder.absolute()
    fresh = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        _part(folder).mkdir()
        fresh = _part(folder)
        yield fresh
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
        os.replace(fresh, folder)
    except OSError as error:
        raise _unwritten(folder, error) from error
    finally:
        if fresh is not None:
            shutil.rmtree(fresh, ignore_errors=True)


def write_text(text: str, path: Path) -> None:
    """Write a text to a file; its folder is created if need be. Raises as `whole_file`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(path, error) from error
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_files(files: Mapping[str, bytes], folder: Path) -> list[Path]:
    """Write files, by name, into a folder, created if need be; returns their paths. Raises as `whole_file`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(folder, error) from error
    for name, content in files.items():
        with whole_file(folder / name) as part:
            part.write_bytes(content)
    return [folder / name for name in files]


def write_json(value: object, path: Path) -> None:
    """Write a value to a file as JSON. Raises as `whole_file`."""
    with whole_file(path) as part:
        part.write_text(as_json(value), encoding="utf-8")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table to a parquet file. Raises as `whole_file`."""
    with whole_file(path) as part:
        put_table(table, part)


def as_json(value: object) -> str:
    """A value as the text of a JSON file."""
    return json.dumps(value, indent=2) + "\n"


def put_table(table: pd.DataFrame, path: Path) -> None:
    """Write a parquet file to a temporary path, of `whole_file` or inside `whole_folder`."""
    table.to_parquet(path, compression="zstd", index=False)


def table_bytes(table: pd.DataFrame) -> bytes:
    """The content of a parquet file."""
    return bytes(table.to_parquet(None, compression="zstd", index=False))


def check_writable(folder: Path, what: str) -> None:
    """Raise ScenarioError, beginning with `what`, if a folder, existing or not, could not be written to."""
    place = next(parent for parent in (folder, *folder.parents, Path()) if parent.exists())
    if not place.is_dir():
        raise ScenarioError(f"{what}: cannot be written: {place} is not a folder")
    try:
        os.rmdir(mkdtemp(prefix=".ipa-", dir=place))
    except OSError as error:
        raise ScenarioError(f"{what}: cannot be written: {place.absolute()}: {error.strerror}") from None


def check_place(path: Path, what: str) -> None:
    """Raise ScenarioError, beginning with `what`, if a file could not be written; its folder must exist."""
    folder = path.parent
    if not folder.exists():
        raise ScenarioError(f"{what}: cannot be written: the folder {folder} does not exist")
    check_writable(folder, what)


def _part(path: Path) -> Path:
    """The temporary name of a file or folder while this process writes it."""
    return path.with_name(f".{path.name}.{node()}-{os.getpid()}.part")


def _remove_leftovers(path: Path) -> None:
    """Remove what ended processes of this machine have left of a file or folder."""
    beginning = f".{path.name}.{node()}-"
    for part in path.parent.glob(f"{escape(beginning)}*.part"):
        process = part.name.removeprefix(beginning).removesuffix(".part")
        if process.isdigit() and not _is_running(int(process)):
            with suppress(OSError):
                shutil.rmtree(part) if part.is_dir() else part.unlink()


def _is_running(process: int) -> bool:
    if os.name != "posix":
        return True  # signal 0 would end the process there
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it belongs to another user
    return True


def _unwritten(path: Path, error: OSError) -> ScenarioError:
    why = f"{error.filename} is not a folder" if isinstance(error, FileExistsError) else error.strerror or error
    return ScenarioError(f"{path}: cannot be written: {why}")
