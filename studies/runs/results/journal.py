"""The journal of a stored run: a file of lines, compressed beside a sample of records."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

from ipa.policies import Entry, to_line
from ipa.studies.scenario import ScenarioError

JOURNAL = "journal.jsonl"
COMPRESSED = "journal.jsonl.gz"


def journal_name(records: str) -> str:
    """The name of the journal's file in a run with this value of `records`."""
    return COMPRESSED if records == "sample" else JOURNAL


def write_journal(entries: Iterable[Entry], path: Path) -> None:
    """Write a journal to a path that no one sees yet, compressed if its name ends with `.gz`."""
    lines = (to_line(entry).encode() + b"\n" for entry in entries)
    with path.open("wb") as file:
        if path.suffix != ".gz":
            file.writelines(lines)
            return
        # Without a name and a time, so that the same journal gives the same bytes.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as compressed:
            compressed.writelines(lines)


def read_lines(path: Path) -> list[str]:
    """The lines of a journal, compressed or not. Raises ScenarioError where it cannot be read."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except UnicodeDecodeError:
        raise ScenarioError(f"{path}: not a text file (UTF-8)") from None
    except (OSError, EOFError, ValueError) as error:
        raise ScenarioError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return text.splitlines()
