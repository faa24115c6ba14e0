"""Digests of source files, which identify results and machine code made from other source."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path


def file_digest(folder: Path, files: Iterable[Path]) -> str:
    """sha256 of the names and the text of files below a folder; equal files give the same digest on every machine."""
    sha = sha256()
    for name, file in sorted((file.relative_to(folder).as_posix(), file) for file in files):
        text = file.read_bytes().replace(b"\r\n", b"\n")  # a checkout on Windows may have CRLF
        sha.update(f"{name} {len(text)}\n".encode() + text)
    return sha.hexdigest()
