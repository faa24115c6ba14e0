"""What puts a variant from an object store into a pod: `python -m ipa.live.kubernetes.fetch s3://BUCKET/FOLDER TARGET`.

An init container runs it before the model server starts. The target is either complete or absent. The store is read
through fsspec's s3fs, which retries, after a pause with jitter, what fails for a moment (no connection, 5xx,
throttling, a body that breaks off). Credentials are the usual variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN and AWS_REGION; without the first, access is anonymous.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from ipa.live.errors import LiveError

if TYPE_CHECKING:
    from s3fs import S3FileSystem

S3 = "s3://"
AWS = "https://s3.amazonaws.com"
DEFAULT_REGION = "us-east-1"

ATTEMPTS = 6
"""How often a call is tried before it counts as failed: some 12 s if nobody listens."""
PART_ATTEMPTS = 3
"""How often a part whose body breaks off is asked for."""
CONNECTED_WITHIN_S, SILENT_FOR_S = 5.0, 20.0
PART_BYTES = 8 * 2**20


class FetchError(LiveError):
    """A variant could not be fetched; the text says why, in one line."""


def fetch(url: str, target: Path, endpoint: str, environment: Mapping[str, str], attempts: int = ATTEMPTS) -> int:
    """Fetch all files below `url` to the folder `target`; returns how many there are. Raises FetchError.

    A target that exists was fetched completely by an earlier start of the container, and stays.
    """
    if target.exists():
        return sum(path.is_file() for path in target.rglob("*"))
    # Otherwise the machine's metadata service is asked for a region and credentials, which pods may not do.
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    try:
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise FetchError("an object store needs its client: pip install 'ipa-pipelines[s3]'") from None

    incoming = target.with_name(f".{target.name}.incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        store = _store(endpoint, environment, attempts)
        folder = url.removeprefix(S3).strip("/")
        found = store.find(folder, detail=True)
        files = [name for name, about in found.items() if about["type"] == "file" and not name.endswith("/")]
        if not files:
            raise FileNotFoundError(folder)
        for name in files:
            _copy(store, name, incoming / _place(name, folder))
        incoming.rename(target)
    except (OSError, BotoCoreError) as error:
        raise FetchError(_explained(error, url, endpoint)) from None
    return len(files)


def _store(endpoint: str, environment: Mapping[str, str], attempts: int) -> S3FileSystem:
    from s3fs import S3FileSystem

    key = environment.get("AWS_ACCESS_KEY_ID")
    store = S3FileSystem(
        key=key,
        secret=environment.get("AWS_SECRET_ACCESS_KEY") if key else None,
        token=environment.get("AWS_SESSION_TOKEN") if key else None,
        anon=not key,
        endpoint_url=None if endpoint == AWS else endpoint,
        client_kwargs={"region_name": environment.get("AWS_REGION") or DEFAULT_REGION},
        config_kwargs={
            "connect_timeout": CONNECTED_WITHIN_S,
            "read_timeout": SILENT_FOR_S,
            "retries": {"mode": "standard", "total_max_attempts": attempts},
        },
        default_block_size=PART_BYTES,
        skip_instance_cache=True,
    )
    store.retries = PART_ATTEMPTS
    return store


def _place(path: str, folder: str) -> PurePosixPath:
    """Where an object goes below the target."""
    place = PurePosixPath(path).relative_to(folder)
    if ".." in place.parts:
        raise FetchError(f"{S3}{path}: a name with .. is refused")
    return place


def _copy(store: S3FileSystem, source: str, target: Path) -> None:
    """One complete object; every request makes sure that its part is of the same version."""
    from s3fs.utils import FileExpired

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with store.open(source, "rb", cache_type="none") as reading, target.open("wb") as writing:
            shutil.copyfileobj(reading, writing, PART_BYTES)
    except FileExpired:
        raise FetchError(f"{S3}{source} changed while it was being fetched") from None


def _explained(error: Exception, url: str, endpoint: str) -> str:
    from botocore.exceptions import ConnectionError as Unconnected
    from botocore.exceptions import HTTPClientError

    said = str(error).partition("\n")[0]
    code = _code(error)
    match error:
        case Unconnected() | HTTPClientError():
            return f"{endpoint} cannot be reached: {error.kwargs.get('error') or said}"
        case _ if code == "NoSuchBucket":
            return f"{url}: there is no such bucket at {endpoint}"
        case FileNotFoundError() if error.filename is None:
            return f"{url}: there is nothing at {endpoint}"
        case PermissionError() if error.filename is None:
            return f"{url}: no access at {endpoint}: {code or said}"
        case OSError() if error.filename is not None:
            return f"{error.filename}: {error.strerror}"
    return f"{url}: {code} {said}"


def _code(error: Exception) -> str:
    """The store's own code for what is wrong; empty if it gave none."""
    answer: Any = getattr(error.__cause__, "response", None)
    return str(answer["Error"].get("Code", "")) if answer else ""


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
