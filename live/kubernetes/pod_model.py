"""Prepares the model of a replica's pod: `python -m ipa.live.kubernetes.pod_model FOLDER --key KEY --from s3://...`.

An init container runs it before the model server starts. It fetches the variant from an object store, or finds it in a
volume or the image, and compares its digest with the one that the run has fixed. It leaves the digest to the model
server, which compares again at each of its starts, and says it, after the key, in its termination message, where the
controller reads it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ipa.live.kubernetes.fetch import fetch, keys_of
from ipa.live.kubernetes.store import AWS, KEYS_AT, StoreError
from ipa.live.serving import digest_of, sums_of, why_not

FIXED_AT = "/etc/ipa-models"
"""Where the digests that the run has fixed are mounted, a file for each."""
DIGEST_FILE = "/tmp/model-digest"
"""The digest of the pod's model, in the volume that its containers share."""
MESSAGE_FILE = "/dev/termination-log"


def compared(folder: Path, fixed_file: Path) -> str:
    """The digest of the model in a folder. Raises StoreError where the run has fixed another, or it cannot be read."""
    try:
        fixed = fixed_file.read_text(encoding="utf-8").strip() if fixed_file.is_file() else ""
        if problem := why_not(folder, fixed) if fixed else "":
            raise StoreError(problem)
        digest = fixed or digest_of(sums_of(folder))
    except OSError as error:
        raise StoreError(f"{error.filename or folder}: cannot be read: {error.strerror}") from None
    if not digest:
        raise StoreError(f"{folder}: {'holds no files' if folder.is_dir() else 'no such folder'}")
    return digest


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--key", required=True, help=f"the file in {FIXED_AT} with the digest that the run has fixed, if any")
@click.option("--from", "url", default="", help="fetch the model from this place in an object store")
@click.option("--endpoint", default=AWS, show_default=True, help="of the store")
@click.option("--secret", help=f"whose keys are files in {KEYS_AT}; without, keys are variables")
@click.option("--fixed-at", type=click.Path(path_type=Path), default=FIXED_AT, show_default=True)
@click.option("--digest-file", type=click.Path(path_type=Path), default=DIGEST_FILE, show_default=True)
@click.option("--message-file", type=click.Path(path_type=Path), default=MESSAGE_FILE, show_default=True)
def main(
    folder: Path,
    key: str,
    url: str,
    endpoint: str,
    secret: str | None,
    fixed_at: Path,
    digest_file: Path,
    message_file: Path,
) -> None:
    """Prepare the model in FOLDER."""
    try:
        if url:
            count = fetch(url, folder, endpoint, {**os.environ, **(keys_of(secret) if secret else {})})
            click.echo(f"{url}: {count} files", err=True)
        digest = compared(folder, fixed_at / key)
        digest_file.write_text(digest, encoding="utf-8")
        message_file.write_text(f"{key} {digest}", encoding="utf-8")
    except StoreError as error:
        sys.exit(f"Error: {error}")
    except OSError as error:
        sys.exit(f"Error: {error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
