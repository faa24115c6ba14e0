"""Checksums of a model's files: they say whether two folders hold the same model.

`SHA256SUMS` in a model's folder has them as `sha256sum --check` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import file_digest, sha256
from pathlib import Path

SUMS = "SHA256SUMS"
TAG = "# etag "
BYTECODE = "__pycache__"
"""The folder that Python writes beside a module; no part of the model."""


def sums_of(folder: Path) -> dict[str, str]:
    """File -> its checksum, for all files below a folder but `SUMS` itself, by name. Raises OSError."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != BYTECODE)
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: sha256_of(path) for name, path in sorted(named.items()) if name != SUMS}


def sha256_of(path: Path) -> str:
    """The checksum of a file. Raises OSError."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def digest_of(sums: Mapping[str, str]) -> str:
    """One short checksum of them all: the same for the same files, wherever they are; empty without any."""
    return sha256(sums_text(sums).encode()).hexdigest()[:12] if sums else ""


def sums_text(sums: Mapping[str, str], tags: Mapping[str, str] | None = None) -> str:
    """The text of `SUMS`; `tags`: an object store's ETags of the files, added as comments."""
    lines = [f"{digest}  {name}\n" for name, digest in sums.items()]
    return "".join(lines + [f"{TAG}{tag}  {name}\n" for name, tag in (tags or {}).items()])


def parse_sums(text: str, *, tags: bool = False) -> dict[str, str]:
    """File -> checksum, or its tag, as `sums_text` writes them; other lines are left out."""
    lines = (line for line in text.splitlines() if line.startswith(TAG) == tags and "  " in line)
    return {name: found for found, name in (line.removeprefix(TAG).split("  ", 1) for line in lines)}


def why_not(folder: Path, digest: str) -> str:
    """Why a folder does not hold the model with this digest; empty if it does."""
    try:
        here = digest_of(sums_of(folder))
    except OSError as error:
        return f"{folder}: cannot be read: {error.strerror}"
    if here == digest:
        return ""
    return (
        f"{folder}: holds another model, {here or 'none'}, than when the run began, {digest}; serve it as a variant of "
        "its own, or from another folder of models"
    )


def wrong_files(folder: Path, sums: Mapping[str, str]) -> tuple[str, ...]:
    """The files of a folder with these checksums that are not what its `SUMS` says: missing, added or changed.

    None without that file. Raises OSError.
    """
    file = folder / SUMS
    said = parse_sums(file.read_text(encoding="utf-8")) if file.is_file() else sums
    return tuple(name for name in sorted({*said, *sums}) if said.get(name) != sums.get(name))
