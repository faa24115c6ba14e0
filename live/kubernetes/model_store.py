"""Model folders in an object store: listing, pushing and fetching them (`fetch` is for one variant).

A folder holds [PIPELINE/]STAGE/VARIANT/; sample requests beside a stage's variants are not pushed. The checksums of a
variant are pushed before its files: until all of these are there, they do not match, and `fetch` refuses the variant.
At the end the checksums get the store's tag (ETag) of each file, so that a file which has been replaced since is
noticed without reading all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.live.errors import LiveError
from ipa.live.kubernetes.fetch import fetch
from ipa.live.kubernetes.store import (
    PART_BYTES,
    S3,
    check_links,
    explained,
    files_below,
    opened,
)
from ipa.live.serving import SUMS, digest_of, parse_sums, sums_of, sums_text, wrong_files

if TYPE_CHECKING:
    from s3fs import S3FileSystem

    from ipa.live.profiling import ModelFolder


OnVariant = Callable[["Shelved", bool], object]
"""Called with each variant once it is there, and whether it had to be sent or fetched."""


@dataclass(frozen=True)
class Shelved:
    """A variant in a folder or a store: `name` is [PIPELINE/]STAGE/VARIANT, `digest` that of its checksums.

    The digest is empty if it has no checksums (`push` has not put it there, or not completely) or if files are `wrong`:
    missing, not among the checksums, or different from these.
    """

    name: str
    files: int
    size_bytes: int
    digest: str
    wrong: tuple[str, ...] = ()


def in_folder(folder: Path) -> list[Shelved]:
    """The variants in a folder, compared with their checksums if it has these, as `fetch_all` leaves it.

    Raises LiveError if there are none, or one has no model.
    """
    shelved = []
    for variant in _variants(folder):
        sums = sums_of(variant.path)
        here, wrong = _here(variant, sums), wrong_files(variant.path, sums)
        shelved.append(replace(here, digest="", wrong=wrong) if wrong else here)
    return shelved


def in_store(url: str, endpoint: str, environment: Mapping[str, str]) -> list[Shelved]:
    """The variants below an `s3://` URL. Raises StoreError."""
    root = _root(url)
    with explained(url, endpoint):
        shelved = _in_store(opened(endpoint, environment), root)
    if not shelved:
        from ipa.live.profiling import LAYOUT

        raise LiveError(f"{url}: there are no {LAYOUT} at {endpoint}")
    return shelved


def push(
    folder: Path, url: str, endpoint: str, environment: Mapping[str, str], on_variant: OnVariant = lambda *_: None
) -> list[Shelved]:
    """Push all variants of a folder below an `s3://` URL; returns them.

    A variant that is there with the same checksums, and files that match them, is not sent again. One that differs is
    replaced. Raises StoreError, or LiveError, also for a link that leaves the folder.
    """
    root = _root(url)
    check_links(folder)
    variants = [(each, sums_of(each.path)) for each in _variants(folder)]
    shelved = [_here(*each) for each in variants]
    with explained(url, endpoint):
        store = opened(endpoint, environment)
        digests_there = {each.name: each.digest for each in _in_store(store, root)}
        for (variant, sums), here in zip(variants, shelved, strict=True):
            is_new = digests_there.get(here.name) != here.digest
            if is_new:
                _send(store, variant, sums, f"{root}/{here.name}")
            on_variant(here, is_new)
    return shelved


def _send(store: S3FileSystem, variant: ModelFolder, sums: Mapping[str, str], target: str) -> None:
    """Put a variant at `target`; files there that it does not have are removed."""
    store.pipe_file(f"{target}/{SUMS}", sums_text(sums).encode())
    for file in files_below(store, target).keys() - {SUMS, *sums}:
        store.rm_file(f"{target}/{file}")
    for file in sums:
        store.put_file(str(variant.path / file), f"{target}/{file}", chunksize=PART_BYTES)
    tags = {file: details["ETag"] for file, details in files_below(store, target).items() if details.get("ETag")}
    store.pipe_file(f"{target}/{SUMS}", sums_text(sums, tags).encode())


def fetch_all(
    url: str, folder: Path, endpoint: str, environment: Mapping[str, str], on_variant: OnVariant = lambda *_: None
) -> list[Shelved]:
    """Fetch all variants below an `s3://` URL to a folder; returns them.

    Variants that are there already stay, and so do the files of an interrupted fetch. Raises LiveError for another
    variant in the place of one.
    """
    shelved = in_store(url, endpoint, environment)
    for variant in shelved:
        target = folder / variant.name
        is_there = target.exists()
        if is_there and (not variant.digest or digest_of(sums_of(target)) != variant.digest):
            raise LiveError(f"{target}: is there already and is not {url}/{variant.name}; remove it first")
        fetch(f"{S3}{_root(url)}/{variant.name}", target, endpoint, environment)
        on_variant(variant, not is_there)
    return shelved


def _variants(folder: Path) -> list[ModelFolder]:
    from ipa.live.profiling import LAYOUT, model_folders

    folders = model_folders(folder)
    if folder.absolute() in (folders[0].path, folders[0].path.parent):
        raise LiveError(f"{folder}: should hold {LAYOUT}")
    return folders


def _here(variant: ModelFolder, sums: Mapping[str, str]) -> Shelved:
    size_bytes = sum((variant.path / file).stat().st_size for file in sums)
    return Shelved(variant.name, len(sums), size_bytes, digest_of(sums))


def _in_store(store: S3FileSystem, root: str) -> list[Shelved]:
    from ipa.live.profiling import variants_among

    files = files_below(store, root)
    return [_there(store, root, name, files) for name in variants_among(files) if "/" in name]


def _there(store: S3FileSystem, root: str, name: str, everything: Mapping[str, Mapping[str, Any]]) -> Shelved:
    """The variant of that name below `root`, where `everything` is."""
    place, below = f"{root}/{name}", f"{name}/"
    files = {path.removeprefix(below): details for path, details in everything.items() if path.startswith(below)}
    text = store.cat_file(f"{place}/{SUMS}").decode() if files.pop(SUMS, None) else ""
    sums, tags = parse_sums(text), parse_sums(text, tags=True)

    def is_right(file: str) -> bool:
        if file not in files or file not in sums:
            return False
        if file in tags and tags[file] == files[file].get("ETag"):
            return True
        with store.open(f"{place}/{file}", "rb") as content:
            return file_digest(content, "sha256").hexdigest() == sums[file]

    wrong = tuple(file for file in sorted({*files, *sums}) if text and not is_right(file))
    size_bytes = sum(details["size"] for details in files.values())
    return Shelved(name, len(files), size_bytes, "" if wrong else digest_of(sums), wrong)


def _root(url: str) -> str:
    root = url.removeprefix(S3).strip("/")
    if not url.startswith(S3) or not root:
        raise LiveError(f"{url}: should be {S3}BUCKET[/FOLDER]")
    return root
