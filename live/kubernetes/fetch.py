"""What puts a variant from an object store into a pod: `python -m live.kubernetes.fetch s3://BUCKET/FOLDER TARGET`.

An init container runs it before the model server starts. The target is whole or not there at all. The store is read
with pyarrow's S3 file system, which the image has in any case, and which repeats what fails for a moment (no
connection, 5xx, throttling), each time after a longer pause with jitter. Credentials are the usual variables
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION; without the first it asks anonymously.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

S3 = "s3://"
AWS = "https://s3.amazonaws.com"
DEFAULT_REGION = "us-east-1"

ATTEMPTS = 6
"""How often a call is made before it has failed; where nobody listens, that takes some 11 s."""
CONNECTED_WITHIN_S, SILENT_FOR_S = 5.0, 20.0
PART_BYTES = 8 * 2**20

_NO_ACCESS = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "HTTP status 401",
    "HTTP status 403",
)


class FetchError(Exception):
    """What kept a variant from being fetched, in one line."""


def fetch(url: str, target: Path, endpoint: str, environment: Mapping[str, str], attempts: int = ATTEMPTS) -> int:
    """Fetch all files below `url` to the folder `target`; how many there are. Raises FetchError.

    A target that is there has been fetched whole by an earlier start of the container, and stays.
    """
    if target.exists():
        return sum(path.is_file() for path in target.rglob("*"))
    incoming = target.with_name(f".{target.name}.incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        store = _store(endpoint, environment, attempts)
        folder = url.removeprefix(S3).strip("/")
        files = _files(store, folder)
        if not files:
            raise FileNotFoundError(folder)
        for each in files:
            _copy(store, each, incoming / _place(each.path, folder))
        incoming.rename(target)
    except OSError as error:
        raise FetchError(_explained(error, url, endpoint)) from None
    return len(files)


def _store(endpoint: str, environment: Mapping[str, str], attempts: int) -> FileSystem:
    import certifi

    # Else the library asks the machine's metadata service for a region and credentials, which pods may not.
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    scheme, _, host = endpoint.partition("://")
    key = environment.get("AWS_ACCESS_KEY_ID")
    return S3FileSystem(
        access_key=key,
        secret_key=environment.get("AWS_SECRET_ACCESS_KEY") if key else None,
        session_token=environment.get("AWS_SESSION_TOKEN") if key else None,
        anonymous=not key,
        region=environment.get("AWS_REGION") or DEFAULT_REGION,
        scheme=scheme,
        endpoint_override=None if endpoint == AWS else host,
        connect_timeout=CONNECTED_WITHIN_S,
        request_timeout=SILENT_FOR_S,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=attempts),
        tls_ca_file_path=certifi.where(),
    )


def _files(store: FileSystem, folder: str) -> list[FileInfo]:
    from pyarrow.fs import FileSelector, FileType

    found = store.get_file_info(FileSelector(folder, recursive=True))
    return [each for each in found if each.type is FileType.File]


def _place(path: str, folder: str) -> PurePosixPath:
    """Where an object goes below the target."""
    place = PurePosixPath(path).relative_to(folder)
    if ".." in place.parts:
        raise FetchError(f"{S3}{path}: a name with .. is not taken")
    return place


def _copy(store: FileSystem, source: FileInfo, target: Path) -> None:
    """One object, whole, and of one version from its first byte to its last."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with store.open_input_file(source.path) as reading, target.open("wb") as writing:
        version = reading.metadata().get("ETag")
        while part := reading.read(PART_BYTES):
            written += writing.write(part)
    with store.open_input_file(source.path) as again:
        if written != source.size or version != again.metadata().get("ETag"):
            raise FetchError(f"{S3}{source.path} has changed while it was fetched ({written} of {source.size} bytes)")


def _explained(error: OSError, url: str, endpoint: str) -> str:
    said = str(error).partition("\n")[0]
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, FileNotFoundError):
        return f"{url}: there is nothing at {endpoint}"
    if "NO_SUCH_BUCKET" in said:
        return f"{url}: there is no such bucket at {endpoint}"
    if any(each in said for each in _NO_ACCESS):
        return f"{url}: no access at {endpoint}: {said}"
    if "NETWORK_CONNECTION" in said:
        return f"{endpoint} cannot be reached: {said.partition('Details: ')[2] or said}"
    return f"{url}: {said}"


@click.command()
@click.argument("url")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--endpoint", default=AWS, show_default=True, help="of the store")
def main(url: str, target: Path, endpoint: str) -> None:
    """Fetch a variant from an object store."""
    try:
        count = fetch(url, target, endpoint, os.environ)
    except FetchError as error:
        sys.exit(f"Error: {error}")
    click.echo(f"{url}: {count} files", err=True)


if __name__ == "__main__":
    main()
