"""Where real models come from, and how a replica's pod gets the one of its variant.

    s3://BUCKET[/FOLDER]   an S3-compatible object store: an init container fetches the variant alone
    pvc:CLAIM[/FOLDER]     a volume of the namespace, mounted read-only
    image:/FOLDER          the image itself

Each holds folders PIPELINE/STAGE/VARIANT/ (a store also STAGE/VARIANT/) with what a model server loads from a folder:
`model.onnx` or `model.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ipa.live.errors import LiveError
from ipa.live.kubernetes import manifest_parts
from ipa.live.kubernetes.manifest_parts import Manifest
from ipa.live.kubernetes.settings import EMULATED, Deployed, Layout
from ipa.live.kubernetes.store import KEYS_AT, S3

CLAIM, IMAGE = "pvc:", "image:"
MOUNTED_AT = "/models"
READ_ONLY: Manifest = {"name": "models", "mountPath": MOUNTED_AT, "readOnly": True}
MOST_MODEL, MOST_FETCHED = "64Gi", "66Gi"
"""The most disk of its node that a fetched variant may take, and the pod that fetches it."""

_NAME = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
_FOLDER = r"(/[^/\s]+)*"
_SOURCES = {
    S3: re.compile(rf"{re.escape(S3)}{_NAME}{_FOLDER}/?"),
    CLAIM: re.compile(rf"{CLAIM}{_NAME}{_FOLDER}/?"),
    IMAGE: re.compile(rf"{IMAGE}(/[^/\s]+)+/?"),
}
_ENDPOINT = re.compile(r"https?://[^/\s]+")


@dataclass(frozen=True)
class Placed:
    """Where a model server finds its model, and what its pod needs for that."""

    folder: str
    mount: Manifest | None = None
    volumes: tuple[Manifest, ...] = ()
    init_containers: tuple[Manifest, ...] = ()


def check(layout: Layout) -> None:
    """Raise LiveError if models cannot be where the layout says."""
    kind = _kind(layout)
    if kind is None and layout.models != EMULATED:
        raise LiveError(
            f"--models {layout.models}: should be {EMULATED}, s3://BUCKET[/FOLDER], pvc:CLAIM[/FOLDER] or image:/FOLDER"
        )
    for option, value in (("--s3-endpoint", layout.s3_endpoint), ("--s3-secret", layout.s3_secret)):
        if value and kind != S3:
            raise LiveError(f"{option} {value}: needs --models s3://BUCKET[/FOLDER]")
    if layout.s3_endpoint and not _ENDPOINT.fullmatch(layout.s3_endpoint):
        raise LiveError(
            f"--s3-endpoint {layout.s3_endpoint}: should be a URL without a path, such as http://store:9000"
        )


def placed(deployed: Deployed, stage: str, variant: str, cores: int) -> Placed | None:
    """How a variant's model gets into the pod of a replica with `cores` cores; None for an emulated model."""
    kind = _kind(deployed.layout)
    if kind is None:
        return None
    root, below = deployed.layout.models.rstrip("/"), f"{deployed.pipeline}/{stage}/{variant}"
    if kind == IMAGE:
        return Placed(f"{root.removeprefix(IMAGE)}/{below}")
    if kind == CLAIM:
        claim, _, folder = root.removeprefix(CLAIM).partition("/")
        volume = {"name": "models", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        return Placed("/".join(filter(None, (MOUNTED_AT, folder, below))), READ_ONLY, (volume,))
    folder = f"{MOUNTED_AT}/{variant}"
    fetching = _fetching(deployed, f"{root}/{below}", folder, cores)
    volumes: tuple[Manifest, ...] = ({"name": "models", "emptyDir": {"sizeLimit": MOST_MODEL}},)
    if deployed.layout.s3_secret:
        # Optional: a pod without its Secret would wait in silence, while the fetching container says what is missing.
        volumes += ({"name": "keys", "secret": {"secretName": deployed.layout.s3_secret, "optional": True}},)
    return Placed(folder, READ_ONLY, volumes, (fetching,))


def is_fetched(layout: Layout) -> bool:
    """Whether an init container fetches models from an object store."""
    return _kind(layout) == S3


def _kind(layout: Layout) -> str | None:
    return next((kind for kind, pattern in _SOURCES.items() if pattern.fullmatch(layout.models)), None)


def _fetching(deployed: Deployed, url: str, folder: str, cores: int) -> Manifest:
    """The init container. It requests no more than the replica after it, so that it needs no additional room."""
    layout = deployed.layout
    made = manifest_parts.container(
        deployed,
        manifest_parts.FETCH_CONTAINER,
        "ipa.live.kubernetes.fetch",
        [
            *(url, folder),
            *(("--endpoint", layout.s3_endpoint) if layout.s3_endpoint else ()),
            *(("--secret", layout.s3_secret) if layout.s3_secret else ()),
        ],
        deployed.replica_resources(cores),
        most_disk=MOST_FETCHED,
    )
    made["terminationMessagePolicy"] = manifest_parts.SAYS_ITS_LAST_LINES
    made["volumeMounts"] += [{"name": "models", "mountPath": MOUNTED_AT}]
    if layout.s3_secret:
        made["volumeMounts"] += [{"name": "keys", "mountPath": KEYS_AT, "readOnly": True}]
    return made
