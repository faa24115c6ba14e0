"""Digests of source files: what was made by other source, be it results or machine code, is told by them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path


def file_digest(folder: Path, files: Iterable[Path]) -> str:
    """sha256 of files below a folder, of their names and their text: the same on every machine that has the same."""
    sha = sha256()
    for name, file in sorted((file.relative_to(folder).as_posix(), file) for file in files):
        text = file.read_bytes().replace(b"\r\n", b"\n")  # as a checkout on Windows has it
        sha.update(f"{name} {len(text)}\n".encode() + text)
    return sha.hexdigest()
