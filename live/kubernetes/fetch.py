"""Fetches a variant from an object store into a folder, which is either complete or absent."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ipa.live.kubernetes.store import (
    ATTEMPTS,
    KEYS_AT,
    PART_BYTES,
    S3,
    StoreError,
    explained,
    files_below,
    opened,
)
from ipa.live.serving import SUMS, parse_sums, sha256_of

if TYPE_CHECKING:
    from s3fs import S3FileSystem


def fetch(url: str, target: Path, endpoint: str, environment: Mapping[str, str], attempts: int = ATTEMPTS) -> int:
    """Fetch all files below `url`, or below the same without its PIPELINE, to `target`; returns their number.

    A target that exists was fetched completely by an earlier start of the container, and stays. After an interrupted
    fetch, files stay that match the checksums of `ipa models push`. Raises StoreError.
    """
    if target.exists():
        return sum(path.is_file() for path in target.rglob("*"))
    incoming = target.with_name(f".{target.name}.incoming")
    with explained(url, endpoint):
        store = opened(endpoint, environment, attempts)
        files = _files(store, url, endpoint)
        sums = parse_sums(store.cat_file(files[SUMS]).decode()) if SUMS in files else {}
        for name in sorted(sums.keys() ^ files.keys() - {SUMS}) if SUMS in files else ():
            raise StoreError(f"{url}/{name}: is {f'missing, which {SUMS} has' if name in sums else f'not in {SUMS}'}")
        for path in [path for path in incoming.rglob("*") if path.is_file()]:
            if sums.get(path.relative_to(incoming).as_posix()) != sha256_of(path):
                path.unlink()
        for name in files:
            if not (incoming / name).exists():
                _copy(store, files[name], incoming / name)
                if name in sums and sha256_of(incoming / name) != sums[name]:
                    raise StoreError(f"{url}/{name}: is not what {SUMS} says")
        incoming.rename(target)
    return len(files)


def keys_of(secret: str, folder: Path = Path(KEYS_AT)) -> dict[str, str]:
    """The credentials in a Secret's folder. Raises StoreError if it is not there, or lacks one that is needed."""
    keys = {path.name: path.read_text(encoding="utf-8").strip() for path in folder.glob("AWS_*")}
    if not keys:
        raise StoreError(f'secret "{secret}" not found, or without the keys AWS_...')
    for name in {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} - keys.keys():
        raise StoreError(f'secret "{secret}": lacks the key {name}')
    return keys


def _files(store: S3FileSystem, url: str, endpoint: str) -> dict[str, str]:
    """The files of a variant: place below the target -> name in the store."""
    folder = url.removeprefix(S3).strip("/")
    parts = folder.split("/")
    without = "/".join((*parts[:-3], *parts[-2:])) if len(parts) > 3 else folder
    for place in (folder, without):
        if files := files_below(store, place):
            return {path: details["name"] for path, details in files.items()}
    also = f", and nothing at {S3}{without}" if without != folder else ""
    raise StoreError(f"{url}: there is nothing at {endpoint}{also}")


def _copy(store: S3FileSystem, source: str, target: Path) -> None:
    """Copy one whole object; every request checks that its part is of the same version."""
    from s3fs.utils import FileExpired

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with store.open(source, "rb", cache_type="none") as reading, target.open("wb") as writing:
            shutil.copyfileobj(reading, writing, PART_BYTES)
    except FileExpired:
        raise StoreError(f"{S3}{source} changed while it was being fetched") from None
