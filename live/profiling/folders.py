"""Model folders: the variants that they hold, [PIPELINE/]STAGE/VARIANT/ here and in an object store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ipa import profiles
from ipa.live.errors import LiveError
from ipa.live.serving import GGUF_FILE, ONNX_FILE, OWN_FILE

SAMPLES = "samples"
"""The file or folder with sample requests, of a variant or of all of its stage."""
MODEL_FILES = (ONNX_FILE, OWN_FILE, GGUF_FILE)
ANY_MODEL = f"{ONNX_FILE}, {OWN_FILE} or {GGUF_FILE}"
LAYOUT = f"[PIPELINE/]STAGE/VARIANT/ with {ANY_MODEL}"
LEVELS = 3


@dataclass(frozen=True)
class ModelFolder:
    """The folder of a variant, with one of `MODEL_FILES`; `samples` are those of the variant or its stage.

    `pipeline` is empty where the folder that was looked in holds stages.
    """

    pipeline: str
    stage: str
    variant: str
    path: Path
    samples: Path | None

    @property
    def name(self) -> str:
        """[PIPELINE/]STAGE/VARIANT."""
        return "/".join(filter(None, (self.pipeline, self.stage, self.variant)))


def variants_among(files: Iterable[str]) -> list[str]:
    """The names of the variants' folders among the paths of all files: those with a model, and inside no other such."""
    paths = map(PurePosixPath, files)
    holding = {path.parent for path in paths if path.name in MODEL_FILES and len(path.parts) <= LEVELS + 1}
    shown = set(filter(_is_shown, holding))
    return sorted(str(folder) for folder in shown if not shown.intersection(folder.parents))


def _is_shown(folder: PurePosixPath) -> bool:
    return not any(part.startswith((".", "__")) or part == SAMPLES for part in folder.parts)


def model_folders(root: Path) -> list[ModelFolder]:
    """The variants in a folder of pipelines, of one pipeline, of a stage or of a variant, in the order of their names.

    Raises LiveError for a folder without models, for one beside variants that has none, and for names that no pipeline
    takes.
    """
    if not root.is_dir():
        raise LiveError(f"{root}: no such folder")
    below = (path for level in range(LEVELS) for path in sorted(root.glob("*/" * level + "*")))
    folders = [PurePosixPath(path.relative_to(root)) for path in (root, *below) if path.is_dir()]
    files = (folder / name for folder in folders for name in MODEL_FILES if (root / folder / name).is_file())
    variants = list(map(PurePosixPath, variants_among(map(str, files))))
    if not variants:
        raise LiveError(f"{root}: holds no models; should hold {LAYOUT}, or be a STAGE or VARIANT folder of these")
    levels = {len(folder.parts) for folder in variants}
    expected = {*variants, *(parent for folder in variants for parent in folder.parents)}
    for folder in folders:
        is_within = not set(variants).isdisjoint(folder.parents)
        if len(folder.parts) in levels and folder not in expected and not is_within and _is_shown(folder):
            raise LiveError(f"{root / folder}: should hold {ANY_MODEL}")
    return [_model_folder(root, folder) for folder in variants]


def variant_folder(root: Path, pipeline: str, stage: str, variant: str) -> ModelFolder:
    """The folder of a pipeline's variant below `root`. Raises LiveError if it has no model."""
    places = (root / pipeline / stage / variant, root / stage / variant)
    for path in places:
        if any((path / name).is_file() for name in MODEL_FILES):
            return ModelFolder(pipeline, stage, variant, path.absolute(), _samples(path.absolute()))
    raise LiveError(f"{places[0]}: should hold {ANY_MODEL}, or {places[1]}")


def _model_folder(root: Path, place: PurePosixPath) -> ModelFolder:
    path = (root / place).absolute()
    pipeline = place.parts[0] if len(place.parts) == LEVELS else ""
    for name in filter(None, (pipeline, path.parent.name, path.name)):
        if profiles.slug(name) != name:
            raise LiveError(
                f"{root / place}: {name!r} should be lower-case letters, digits and single hyphens, of at most 63 "
                "characters"
            )
    return ModelFolder(pipeline, path.parent.name, path.name, path, _samples(path))


def _samples(variant: Path) -> Path | None:
    places = [folder / name for folder in (variant, variant.parent) for name in (f"{SAMPLES}.npz", SAMPLES)]
    return next((place for place in places if place.exists()), None)
