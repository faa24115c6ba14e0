"""Measures accuracy: of each stage alone, and of every pair of variants from the page to its text.

Detection alone: F1 of the boxes. Recognition alone: share of characters right, on lines cut out at their true places. A
pair: share of characters right on whole pages, with the lines cut out where its detection found them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ipa.errors import InputError
from ipa.live.profiling import model_folders, variant_folder
from ipa.live.serving import folder_model
from ipa.studies.examples.ocr.lines import Box, Line, cut
from ipa.studies.examples.ocr.model_folder import PIPELINE, RELEASES, check_new
from ipa.studies.examples.ocr.networks import opened
from ipa.studies.examples.ocr.pages import SIZE, ScannedPage, pages
from ipa.studies.runs.live_runs import character_accuracy

OVERLAP = 0.5
"""The least intersection over union at which a box counts as found."""
DIGITS = 4
"""Decimal places that are kept: one character in 10,000."""


@dataclass(frozen=True)
class Measured:
    """The accuracies measured on the first `pages` of a `seed`, with the versions of the packages used.

    `stages`: stage -> variant -> accuracy; `pairs`: variant of the first stage -> of the second -> accuracy.
    """

    pages: int
    seed: int
    lines: int
    characters: int
    versions: Mapping[str, str]
    stages: Mapping[str, Mapping[str, float]]
    pairs: Mapping[str, Mapping[str, float]]


def measure(folder: Path, count: int, seed: int, say: Callable[[str], object] = lambda _: None) -> Measured:
    """Measure the models in `folder` (`[ocr/]STAGE/VARIANT/`), one thread each; `say` is called with progress texts.

    Raises WheelError if a font is not installed, ModelError if the folder cannot be loaded.
    """
    scanned = list(pages(count, seed))
    pictures = [opened(page.picture) for page in scanned]
    grey = [picture.convert("L") for picture in pictures]
    true = [[cut(picture, line.box) for line in page.lines] for picture, page in zip(grey, scanned, strict=True)]
    lines_by_detection: dict[str, list[list[Line]]] = {}
    detection, recognition, pairs = {}, {}, {}
    for variant in variants(folder, "detection"):
        say(f"detection {variant}")
        model = _model(folder, "detection", variant)
        boxes = [model.boxes([picture])[0] for picture in pictures]
        detection[variant] = _f1(boxes, scanned)
        lines_by_detection[variant] = [
            [cut(p, box) for box in page_boxes] for p, page_boxes in zip(grey, boxes, strict=True)
        ]
    for variant in variants(folder, "recognition"):
        say(f"recognition {variant}, alone and after each detection")
        model = _model(folder, "recognition", variant)
        recognition[variant] = _accuracy(
            [text for lines in true for text in model.texts(lines)],
            [line.text for page in scanned for line in page.lines],
        )
        for first, lines_of in lines_by_detection.items():
            answers = ["\n".join(model.texts(lines)) for lines in lines_of]
            pairs[first, variant] = _accuracy(answers, [page.text for page in scanned])
    return Measured(
        pages=count,
        seed=seed,
        lines=sum(len(page.lines) for page in scanned),
        characters=sum(len(page.text) for page in scanned),
        versions=_versions(),
        stages={"detection": detection, "recognition": recognition},
        pairs={first: {second: pairs[first, second] for second in recognition} for first in detection},
    )


def variants(folder: Path, stage: str) -> list[str]:
    """The variants of a stage that the folder holds, by version and then size. Raises InputError if there are none."""
    models = (model for model in model_folders(folder) if model.pipeline in ("", PIPELINE) and model.stage == stage)
    names = sorted((model.variant for model in models), key=_by_number)
    if not names:
        raise InputError(f"{folder}: no models of {PIPELINE}/{stage}; `make FOLDER` makes a folder of them")
    return names


def _by_number(name: str) -> tuple[str, int]:
    version, _, size = name.rpartition("-")
    return version, int(size) if size.isdigit() else 0


def _model(folder: Path, stage: str, variant: str) -> Any:
    return folder_model(variant_folder(folder, PIPELINE, stage, variant).path, 1).predictor


def _f1(boxes: Sequence[Sequence[Any]], scanned: Sequence[ScannedPage]) -> float:
    true = [[line.box for line in page.lines] for page in scanned]
    matched = sum(matches(detected, on_page, SIZE) for detected, on_page in zip(boxes, true, strict=True))
    return round(f1(matched, sum(map(len, boxes)), sum(map(len, true))), DIGITS)


def matches(detected: Sequence[Box], true: Sequence[Box], size: tuple[int, int]) -> int:
    """How many boxes of a picture of this size are found, matched one to one, best overlaps first."""
    masks = [[_mask(box, size) for box in boxes] for boxes in (detected, true)]
    overlaps = [
        (float((a & b).sum()) / max(int((a | b).sum()), 1), i, j)
        for i, a in enumerate(masks[0])
        for j, b in enumerate(masks[1])
    ]
    matched: tuple[set[int], set[int]] = (set(), set())
    for overlap, i, j in sorted(overlaps, reverse=True):
        if overlap >= OVERLAP and i not in matched[0] and j not in matched[1]:
            matched[0].add(i)
            matched[1].add(j)
    return len(matched[0])


def f1(matched: int, detected: int, true: int) -> float:
    """The harmonic mean of precision (share of boxes that are right) and recall (share of lines that are found)."""
    return 2 * matched / max(detected + true, 1)


def _mask(box: Box, size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    from PIL import Image, ImageDraw

    picture = Image.new("1", size)
    ImageDraw.Draw(picture).polygon(box.corners, fill=1)
    return np.asarray(picture)


def _accuracy(answers: Sequence[str], truths: Sequence[str]) -> float:
    return round(character_accuracy(answers, truths), DIGITS)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ["Pillow", "numpy", "onnxruntime", *(release.distribution for release in RELEASES.values())]
    return {name: version(name) for name in names}


def write_lines(folder: Path, count: int, seed: int, to: Path) -> None:
    """Write the lines that the last detection variant in `folder` cuts out of pages to a new folder, as `NUMBER.lines`.

    A file is recognition's input for a page, so that it can be profiled alone. Raises InputError if the new folder is
    not empty, or the models' folder has no detection.
    """
    model = _model(folder, "detection", variants(folder, "detection")[-1])
    check_new(to)
    to.mkdir(parents=True, exist_ok=True)
    for index, page in enumerate(pages(count, seed)):
        inputs = {"image": np.array([[page.picture]], dtype=object)}
        (to / f"{index:04d}.lines").write_bytes(model.predict(inputs)["lines"][0, 0])
