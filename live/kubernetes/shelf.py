"""Model folders in an object store: what is there, and how they get there (`fetch` is the way back).

A folder holds PIPELINE/STAGE/VARIANT/; a stage's sample requests, beside its variants, are not put there. Each variant
is put there file by file, its checksums last: where these are, the variant is whole, and `fetch` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ipa.live.errors import LiveError
from ipa.live.kubernetes.checksums import SUMS, digest_of, parsed, sums_of, written
from ipa.live.kubernetes.store import PART_BYTES, S3, explained, opened

LEVELS = 3
"""How deep variants lie: PIPELINE/STAGE/VARIANT."""
MODELS = ("model.onnx", "model.py")


@dataclass(frozen=True)
class Shelved:
    """A variant in a folder or a store: `name` is PIPELINE/STAGE/VARIANT, `digest` that of its checksums.

    An empty digest: it has no checksums, so it was not put there by `push`, or not wholly.
    """

    name: str
    files: int
    size_bytes: int
    digest: str


def in_folder(folder: Path) -> list[Shelved]:
    """The variants in a folder. Raises LiveError if there are none, or one has no model."""
    return [
        Shelved(name, len(sums), sum((place / file).stat().st_size for file in sums), digest_of(sums))
        for name, place, sums in _variants(folder)
    ]


def in_store(url: str, endpoint: str, environment: Mapping[str, str]) -> list[Shelved]:
    """The variants below an `s3://` URL. Raises StoreError."""
    root = _root(url)
    with explained(url, endpoint):
        store = opened(endpoint, environment)
        found = store.find(root, detail=True)
        sizes: dict[str, dict[str, int]] = {}
        for path, about in found.items():
            parts = PurePosixPath(path).relative_to(root).parts
            if about["type"] == "file" and len(parts) > LEVELS:
                name = "/".join(parts[:LEVELS])
                sizes.setdefault(name, {})["/".join(parts[LEVELS:])] = about["size"]
        shelved = []
        for name, files in sorted(sizes.items()):
            sums = parsed(store.cat_file(f"{root}/{name}/{SUMS}").decode()) if SUMS in files else {}
            models = {file: size for file, size in files.items() if file != SUMS}
            whole = sums.keys() == models.keys()
            shelved.append(Shelved(name, len(models), sum(models.values()), digest_of(sums) if whole else ""))
    if not shelved:
        raise LiveError(f"{url}: there are no PIPELINE/STAGE/VARIANT/ at {endpoint}")
    return shelved


def push(
    folder: Path,
    url: str,
    endpoint: str,
    environment: Mapping[str, str],
    on_variant: Callable[[Shelved, bool], object] = lambda *_: None,
) -> list[Shelved]:
    """Put all variants of a folder below an `s3://` URL; returns them.

    `on_variant` is told of each once it is there, and whether it was sent: one that is there with the same checksums is
    not sent again. A variant that is sent over another one loses its checksums first. Raises StoreError or LiveError.
    """
    root = _root(url)
    variants, shelved = list(_variants(folder)), in_folder(folder)
    with explained(url, endpoint):
        store = opened(endpoint, environment)
        if not store.exists(root.partition("/")[0]):
            raise LiveError(f"{url}: there is no such bucket at {endpoint}")
        for (name, place, sums), variant in zip(variants, shelved, strict=True):
            target = f"{root}/{name}"
            there = f"{target}/{SUMS}"
            is_new = not store.exists(there) or parsed(store.cat_file(there).decode()) != sums
            if is_new:
                if store.exists(target):
                    store.rm(target, recursive=True)
                for file in sums:
                    store.put_file(str(place / file), f"{target}/{file}", chunksize=PART_BYTES)
                store.pipe_file(there, written(sums).encode())
            on_variant(variant, is_new)
    return shelved


def _variants(folder: Path) -> Iterator[tuple[str, Path, dict[str, str]]]:
    """Name, folder and checksums of each variant, by name."""
    from ipa.live.profiling import SAMPLES

    below = folder.glob("/".join("*" * LEVELS))
    places = sorted(place for place in below if place.is_dir() and place.name != SAMPLES)
    if not folder.is_dir():
        raise LiveError(f"{folder}: no such folder")
    if not places:
        raise LiveError(f"{folder}: should hold PIPELINE/STAGE/VARIANT/")
    for place in places:
        name = place.relative_to(folder).as_posix()
        if not any((place / model).is_file() for model in MODELS):
            raise LiveError(f"{place}: should hold {' or '.join(MODELS)}")
        yield name, place, sums_of(place)


def _root(url: str) -> str:
    root = url.removeprefix(S3).strip("/")
    if not url.startswith(S3) or not root:
        raise LiveError(f"{url}: should be {S3}BUCKET[/FOLDER]")
    return root
