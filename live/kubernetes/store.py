"""An S3-compatible object store and its error messages.

The store is used through fsspec's s3fs, which retries transient failures (no connection, 5xx, throttling, a body that
breaks off) after a pause with jitter. Credentials are the usual variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN and AWS_REGION; without the first, access is anonymous.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ipa.live.errors import LiveError

if TYPE_CHECKING:
    from s3fs import S3FileSystem


S3 = "s3://"
AWS = "https://s3.amazonaws.com"
KEYS_AT = "/keys"
"""Where a pod has its Secret: each of the variables above as a file."""
DEFAULT_REGION = "us-east-1"

ATTEMPTS = 6
"""How often a call is tried before it counts as failed: some 12 s if nothing listens."""
PART_ATTEMPTS = 3
"""How often a part whose body breaks off is asked for."""
CONNECTED_WITHIN_S, SILENT_FOR_S = 5.0, 20.0
PART_BYTES = 8 * 2**20


class StoreError(LiveError):
    """The store failed or refused a request; the text says why, in one line."""


@contextmanager
def explained(url: str, endpoint: str) -> Iterator[None]:
    """Turns errors of the store within a `with` block into StoreError; `url` is the address asked for."""
    # Otherwise the machine's metadata service is asked for a region and credentials, which pods may not do.
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    try:
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise StoreError("an object store needs its client: pip install '.[s3]' in the checkout") from None
    try:
        yield
    except (OSError, BotoCoreError) as error:
        raise StoreError(_explained(error, url, endpoint)) from None


def opened(endpoint: str, environment: Mapping[str, str], attempts: int = ATTEMPTS) -> S3FileSystem:
    """The store at an endpoint, with the credentials of the environment."""
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


def files_below(store: S3FileSystem, place: str) -> dict[str, dict[str, Any]]:
    """The store's metadata of the files below a place, by their paths from there. Raises StoreError for a path that
    leads out of it."""
    files = {}
    for name, details in store.find(place, detail=True).items():
        if details["type"] == "file" and not name.endswith("/") and name != place:
            path = PurePosixPath(name).relative_to(place)
            if ".." in path.parts:
                raise StoreError(f"{S3}{name}: a name with .. is refused")
            files[str(path)] = details
    return files


def _explained(error: Exception, url: str, endpoint: str) -> str:
    from botocore.exceptions import ConnectionError as Unconnected
    from botocore.exceptions import HTTPClientError

    text = str(error).partition("\n")[0]
    answer: Any = getattr(error.__cause__, "response", None)
    code = str(answer["Error"].get("Code", "")) if answer else ""  # the store's own for what is wrong
    match error:
        case Unconnected() | HTTPClientError():
            return f"{endpoint} cannot be reached: {error.kwargs.get('error') or text}"
        case _ if code == "NoSuchBucket":
            return f"{url}: there is no such bucket at {endpoint}"
        case FileNotFoundError() if error.filename is None:
            return f"{url}: there is nothing at {endpoint}"
        case PermissionError() if error.filename is None:
            return f"{url}: no access at {endpoint}: {code or text}"
        case OSError() if error.filename is not None:
            return f"{error.filename}: {error.strerror}"
    return f"{url}: {code} {text}"


def check_links(folder: Path) -> None:
    """Raise LiveError for a link that leads out of a folder: its target would be sent or packed unseen."""
    root = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise LiveError(f"{path}: is a link to {path.resolve()}, outside of {folder}; put the file itself there")
