"""Model folders: which stages and variants they hold, in the form PIPELINE/STAGE/VARIANT/ as on a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ipa import profiles
from ipa.live.errors import LiveError
from ipa.live.serving import ONNX_FILE, OWN_FILE

SAMPLES = "samples"
"""The file or folder with sample requests, of a variant or of all of its stage."""


@dataclass(frozen=True)
class ModelFolder:
    """The folder of a variant, with `model.onnx` or `model.py`; `samples` are those of the variant or its stage."""

    stage: str
    variant: str
    path: Path
    samples: Path | None


def model_folders(root: Path) -> tuple[str, list[ModelFolder]]:
    """The pipeline's name and its variants, in the order of their names, from the folder of a pipeline, stage or
    variant. LiveError for a folder without models and for names that a pipeline file does not take."""
    given, root = root, root.absolute()
    if not root.is_dir():
        raise LiveError(f"{given}: no such folder")
    if has_model(root):
        found, name = [(root.parent.name, root)], root.parent.name
    elif variants := _below(root):
        found, name = [(root.name, path) for path in variants], root.name
    else:
        stages = [path for path in sorted(root.iterdir()) if path.is_dir()]
        found, name = [(stage.name, path) for stage in stages for path in _below(stage)], root.name
    if not found:
        raise LiveError(
            f"{given}: holds no models; should hold STAGE/VARIANT/{ONNX_FILE} or STAGE/VARIANT/{OWN_FILE}, "
            "or be a STAGE or VARIANT folder of these"
        )
    for said in dict.fromkeys((name, *(text for stage, path in found for text in (stage, path.name)))):
        if profiles.slug(said) != said:
            raise LiveError(
                f"{given}: {said!r} should be lower-case letters, digits and single hyphens, of at most 63 characters"
            )
    return name, [ModelFolder(stage, path.name, path, _samples(path)) for stage, path in found]


def variant_folder(root: Path, pipeline: str, stage: str, variant: str) -> ModelFolder:
    """The folder of a pipeline's variant below `root`, which holds PIPELINE/STAGE/VARIANT, or STAGE/VARIANT.

    LiveError if it has no model.
    """
    places = (root / pipeline / stage / variant, root / stage / variant)
    path = next((place for place in places if has_model(place)), None)
    if path is None:
        raise LiveError(f"{places[0]}: holds neither {ONNX_FILE} nor {OWN_FILE}")
    return ModelFolder(stage, variant, path.absolute(), _samples(path.absolute()))


def has_model(folder: Path) -> bool:
    """Whether a model server can load the folder."""
    return any((folder / name).is_file() for name in (ONNX_FILE, OWN_FILE))


def _below(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if has_model(path)]


def _samples(variant: Path) -> Path | None:
    places = [folder / name for folder in (variant, variant.parent) for name in (f"{SAMPLES}.npz", SAMPLES)]
    return next((place for place in places if place.exists()), None)
