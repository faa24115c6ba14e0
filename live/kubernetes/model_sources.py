"""Where real models come from, and how a replica's pod gets the one of its variant.

    s3://BUCKET[/FOLDER]   an S3-compatible object store: an init container fetches the variant alone
    pvc:CLAIM[/FOLDER]     a volume of the namespace, mounted read-only
    image:/FOLDER          the image itself

Each holds folders PIPELINE/STAGE/VARIANT/ (a store also STAGE/VARIANT/) with what a model server loads from a folder:
`model.onnx` or `model.py`. An init container compares what it finds with the digest that the run has fixed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ipa.live.errors import LiveError
from ipa.live.kubernetes import manifest_parts
from ipa.live.kubernetes.fixed_models import key_of
from ipa.live.kubernetes.manifest_parts import Manifest
from ipa.live.kubernetes.pod_model import FIXED_AT
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.store import KEYS_AT, S3
from ipa.live.settings import EMULATED, LiveSettings

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


@dataclass(frozen=True)
class Placed:
    """Where a model server finds its model, and what its pod needs for that."""

    folder: str
    volumes: tuple[Manifest, ...]
    init_container: Manifest
    mount: Manifest | None = None


def check(settings: LiveSettings) -> None:
    """Raise LiveError if a cluster cannot have models where the settings say."""
    models, kind = settings.models, _kind(settings)
    if kind is None and models.source != EMULATED:
        allowed = f"{EMULATED}, s3://BUCKET[/FOLDER], pvc:CLAIM[/FOLDER] or image:/FOLDER"
        raise LiveError(f"models.source: on a cluster it should be {allowed}; given {models.source!r}")
    for key in ("s3_endpoint", "s3_secret"):
        if getattr(models, key) and kind != S3:
            raise LiveError(f"models.{key}: {getattr(models, key)}: needs models.source s3://BUCKET[/FOLDER]")


def placed(deployed: Deployed, stage: str, variant: str, cores: int) -> Placed | None:
    """How a variant's model gets into the pod of a replica with `cores` cores; None for an emulated model."""
    kind = _kind(deployed.settings)
    if kind is None:
        return None
    root, below = deployed.settings.models.source.rstrip("/"), f"{deployed.pipeline}/{stage}/{variant}"
    # Optional: of an earlier version's deployment. Until a digest is fixed, there is no file.
    volumes: list[Manifest] = [{"name": "fixed", "configMap": {"name": deployed.models_name, "optional": True}}]
    key = key_of(deployed, stage, variant)
    if kind == IMAGE:
        folder = f"{root.removeprefix(IMAGE)}/{below}"
        return Placed(folder, (*volumes,), _preparing(deployed, cores, folder, key))
    if kind == CLAIM:
        claim, _, within = root.removeprefix(CLAIM).partition("/")
        folder = "/".join(filter(None, (MOUNTED_AT, within, below)))
        volumes += [{"name": "models", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}]
        return Placed(folder, (*volumes,), _preparing(deployed, cores, folder, key, [READ_ONLY]), READ_ONLY)
    folder = f"{MOUNTED_AT}/{variant}"
    volumes += [{"name": "models", "emptyDir": {"sizeLimit": MOST_MODEL}}]
    if deployed.settings.models.s3_secret:
        # Optional: a pod without its Secret would wait in silence, while the preparing container says what is missing.
        volumes += [{"name": "keys", "secret": {"secretName": deployed.settings.models.s3_secret, "optional": True}}]
    return Placed(folder, (*volumes,), _fetching(deployed, cores, folder, key, f"{root}/{below}"), READ_ONLY)


def is_fetched(settings: LiveSettings) -> bool:
    """Whether an init container fetches models from an object store."""
    return _kind(settings) == S3


def _kind(settings: LiveSettings) -> str | None:
    return next((kind for kind, pattern in _SOURCES.items() if pattern.fullmatch(settings.models.source)), None)


def _preparing(
    deployed: Deployed,
    cores: int,
    folder: str,
    key: str,
    mounts: Sequence[Manifest] = (),
    options: Sequence[str] = (),
    most_disk: str = manifest_parts.MOST_DISK,
) -> Manifest:
    """The init container. It requests no more than the replica after it, so that it needs no additional room."""
    container = manifest_parts.container(
        deployed,
        manifest_parts.PREPARE_CONTAINER,
        "ipa.live.kubernetes.pod_model",
        [folder, "--key", key, *options],
        deployed.replica_resources(cores),
        most_disk=most_disk,
    )
    container["terminationMessagePolicy"] = manifest_parts.SAYS_ITS_LAST_LINES
    container["volumeMounts"] += [{"name": "fixed", "mountPath": FIXED_AT, "readOnly": True}, *mounts]
    return container


def _fetching(deployed: Deployed, cores: int, folder: str, key: str, url: str) -> Manifest:
    """The init container that fetches the model from an object store."""
    settings = deployed.settings
    mounts: list[Manifest] = [{"name": "models", "mountPath": MOUNTED_AT}]
    options = ["--from", url, *(("--endpoint", settings.models.s3_endpoint) if settings.models.s3_endpoint else ())]
    if settings.models.s3_secret:
        options += ["--secret", settings.models.s3_secret]
        mounts += [{"name": "keys", "mountPath": KEYS_AT, "readOnly": True}]
    return _preparing(deployed, cores, folder, key, mounts, options, MOST_FETCHED)
