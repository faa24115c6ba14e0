"""The SHA-256 of every file of a variant's folder, in a file of their own that `sha256sum --check` reads too."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import file_digest, sha256
from pathlib import Path

from ipa.live.errors import LiveError

SUMS = "SHA256SUMS"
TAG = "# etag "


def sums_of(folder: Path) -> dict[str, str]:
    """File -> its checksum, for all files below a folder but `SUMS` itself, by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: sha256_of(path) for name, path in sorted(named.items()) if name != SUMS}


def check_links(folder: Path) -> None:
    """Raise LiveError for what is below a folder and really elsewhere: it would be sent or packed unseen."""
    root = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise LiveError(f"{path}: is a link to {path.resolve()}, outside of {folder}; put the file itself there")


def sha256_of(path: Path) -> str:
    """A file's checksum."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def written(sums: Mapping[str, str], tags: Mapping[str, str] | None = None) -> str:
    """The text of `SUMS`; `tags` are what a store calls the content that files have, as comments."""
    lines = [f"{digest}  {name}\n" for name, digest in sums.items()]
    return "".join(lines + [f"{TAG}{tag}  {name}\n" for name, tag in (tags or {}).items()])


def parsed(text: str, *, tags: bool = False) -> dict[str, str]:
    """File -> checksum, or its tag, as `written` writes them; other lines are left out."""
    lines = (line for line in text.splitlines() if line.startswith(TAG) == tags and "  " in line)
    return {name: found for found, name in (line.removeprefix(TAG).split("  ", 1) for line in lines)}


def digest_of(sums: Mapping[str, str]) -> str:
    """One short checksum of them all: the same for the same files, wherever they are."""
    return sha256(written(sums).encode()).hexdigest()[:12] if sums else ""
