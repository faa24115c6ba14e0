"""What puts a variant from an object store into a pod: `python -m ipa.live.kubernetes.fetch s3://BUCKET/FOLDER TARGET`.

An init container runs it before the model server starts. The target is either complete or absent.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from ipa.live.kubernetes.checksums import SUMS, read_sums, sha256_of
from ipa.live.kubernetes.store import ATTEMPTS, AWS, PART_BYTES, S3, StoreError, explained, opened

if TYPE_CHECKING:
    from s3fs import S3FileSystem


def fetch(url: str, target: Path, endpoint: str, environment: Mapping[str, str], attempts: int = ATTEMPTS) -> int:
    """Fetch all files below `url` to the folder `target`; returns how many there are. Raises StoreError.

    A target that exists was fetched completely by an earlier start of the container, and stays.
    """
    if target.exists():
        return sum(path.is_file() for path in target.rglob("*"))
    incoming = target.with_name(f".{target.name}.incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    with explained(url, endpoint):
        store = opened(endpoint, environment, attempts)
        folder = url.removeprefix(S3).strip("/")
        found = store.find(folder, detail=True)
        files = [name for name, about in found.items() if about["type"] == "file" and not name.endswith("/")]
        if not files:
            raise FileNotFoundError(folder)
        for name in files:
            _copy(store, name, incoming / _place(name, folder))
        _verify(incoming, url)
        incoming.rename(target)
    return len(files)


def _place(path: str, folder: str) -> PurePosixPath:
    """Where an object goes below the target."""
    place = PurePosixPath(path).relative_to(folder)
    if ".." in place.parts:
        raise StoreError(f"{S3}{path}: a name with .. is refused")
    return place


def _verify(folder: Path, url: str) -> None:
    """Raise StoreError for a file that is not what its checksum says, where `ipa models push` has left checksums."""
    for name, expected in read_sums(folder).items():
        if not (folder / name).is_file():
            raise StoreError(f"{url}/{name}: is missing, which {SUMS} has")
        if sha256_of(folder / name) != expected:
            raise StoreError(f"{url}/{name}: is not what {SUMS} says")


def _copy(store: S3FileSystem, source: str, target: Path) -> None:
    """One complete object; every request makes sure that its part is of the same version."""
    from s3fs.utils import FileExpired

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with store.open(source, "rb", cache_type="none") as reading, target.open("wb") as writing:
            shutil.copyfileobj(reading, writing, PART_BYTES)
    except FileExpired:
        raise StoreError(f"{S3}{source} changed while it was being fetched") from None


@click.command()
@click.argument("url")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--endpoint", default=AWS, show_default=True, help="of the store")
def main(url: str, target: Path, endpoint: str) -> None:
    """Fetch a variant from an object store."""
    try:
        count = fetch(url, target, endpoint, os.environ)
    except StoreError as error:
        sys.exit(f"Error: {error}")
    click.echo(f"{url}: {count} files", err=True)


if __name__ == "__main__":
    main()
