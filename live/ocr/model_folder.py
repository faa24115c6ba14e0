"""The model folder of the pipeline `ocr`: `ocr/STAGE/VARIANT/`, each with a `model.py` and the files that it needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ipa.live.errors import LiveError
from ipa.live.ocr.wheels import RELEASES, Release, file_of

PIPELINE = "ocr"
SIDES, WIDTHS = (320, 480, 640), (96, 160, 320)
"""What detection scales a picture's longer side to, and how much of a line recognition sees [pixels]."""
NETWORK, CHARACTERS = "network.onnx", "characters.txt"

STAGES: Mapping[str, tuple[str, ...]] = {
    "detection": tuple(f"{version}-{side}" for version in RELEASES for side in SIDES),
    "recognition": tuple(f"{version}-{width}" for version in RELEASES for width in WIDTHS),
}
"""Stage -> its variants: the version of PP-OCR, and the size of what the network sees."""

CODE = '''"""{title}."""

from pathlib import Path

from ipa.live.ocr import {kind}

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


def make_model_folder(folder: Path, *, linked: bool = False) -> list[Path]:
    """Make the new folder; returns those of the variants. `linked`: the wheels' files are linked and not copied.

    Raises WheelError if a wheel is not installed, LiveError if there is something already.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise LiveError(f"{folder}: already exists; give a new folder")
    variants = list(_variants())
    for variant in variants:
        place = folder / variant.place
        place.mkdir(parents=True)
        for name, source in variant.files.items():
            if linked:
                (place / name).symlink_to(source.absolute())
            else:
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
