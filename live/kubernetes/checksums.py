"""The SHA-256 of every file of a variant's folder, in a file of their own that `sha256sum --check` reads too."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import file_digest, sha256
from pathlib import Path

SUMS = "SHA256SUMS"


def sums_of(folder: Path) -> dict[str, str]:
    """File -> its checksum, for all files below a folder but `SUMS` itself, by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: sha256_of(path) for name, path in sorted(named.items()) if name != SUMS}


def sha256_of(path: Path) -> str:
    """A file's checksum."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def written(sums: Mapping[str, str]) -> str:
    """The text of `SUMS`."""
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items())


def parsed(text: str) -> dict[str, str]:
    """File -> checksum, as `written` writes them; other lines are left out."""
    pairs = (line.split("  ", 1) for line in text.splitlines() if "  " in line)
    return {name: digest for digest, name in pairs}


def read_sums(folder: Path) -> dict[str, str]:
    """What a folder's `SUMS` says; empty if there is none."""
    try:
        return parsed((folder / SUMS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def digest_of(sums: Mapping[str, str]) -> str:
    """One short checksum of them all: the same for the same files, wherever they are."""
    return sha256(written(sums).encode()).hexdigest()[:12] if sums else ""
