"""The models of the wheels: their folder, what they read, whatever they are batched with, and what they refuse."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("PIL")

from ipa.errors import InputError
from ipa.live.serving import ModelError, folder_model
from ipa.studies.examples.ocr.model_folder import STAGES, WheelError, file_of, make_model_folder
from ipa.studies.examples.ocr.networks import Detection, Recognition
from ipa.studies.examples.ocr.pages import ScannedPage, pages
from ipa.studies.runs.live_runs import character_accuracy
from tests.studies.examples.ocr_wheels import needs_wheels

pytestmark = needs_wheels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    make_model_folder(made)
    return made


@pytest.fixture(scope="module")
def some_pages() -> list[ScannedPage]:
    return list(pages(4, 5))


def rows(*contents: bytes) -> Any:
    return np.array([[each] for each in contents], dtype=object)


def read(folder: Path, detection: str, recognition: str, *pictures: bytes, threads: int = 1) -> list[str]:
    """The text of pictures that go through both stages as one batch."""
    first = folder_model(folder / "ocr" / "detection" / detection, threads).predictor
    second = folder_model(folder / "ocr" / "recognition" / recognition, threads).predictor
    lines = first.predict({"image": rows(*pictures)})["lines"]
    return [text.decode() for text in second.predict({"lines": lines})["text"].ravel().tolist()]


def test_the_folder_has_every_variant_and_is_made_once(folder: Path, tmp_path: Path) -> None:
    found = {stage: sorted(each.name for each in (folder / "ocr" / stage).iterdir()) for stage in STAGES}
    assert found == {stage: sorted(variants) for stage, variants in STAGES.items()}
    with pytest.raises(InputError, match="already exists; give a new folder"):
        make_model_folder(folder)


@pytest.mark.parametrize("version", [*(pytest.param(each, marks=pytest.mark.long) for each in ("v4", "v5")), "v6"])
def test_each_version_reads_most_of_what_stands_there(
    folder: Path, some_pages: list[ScannedPage], version: str
) -> None:
    texts = read(folder, f"{version}-640", f"{version}-320", *(page.picture for page in some_pages))
    assert character_accuracy(texts, [page.text for page in some_pages]) > 0.7


@pytest.mark.long
def test_a_page_is_read_the_same_alone_and_in_a_batch(folder: Path, some_pages: list[ScannedPage]) -> None:
    pictures = [page.picture for page in some_pages]
    alone = [read(folder, "v5-480", "v5-160", picture)[0] for picture in pictures]
    assert read(folder, "v5-480", "v5-160", *pictures) == alone
    assert read(folder, "v5-480", "v5-160", *pictures, threads=2) == alone


def test_an_empty_page_has_no_text(folder: Path) -> None:
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.new("L", (320, 240), 255).save(file, "PNG")
    assert read(folder, "v4-320", "v4-96", file.getvalue()) == [""]


def test_what_is_no_picture_or_no_line_is_refused(folder: Path) -> None:
    detection = folder_model(folder / "ocr" / "detection" / "v4-320", 1).predictor
    recognition = folder_model(folder / "ocr" / "recognition" / "v4-96", 1).predictor
    with pytest.raises(ModelError, match="image: no picture in a form that is known"):
        detection.predict({"image": rows(b"no picture")})
    with pytest.raises(ModelError, match="bytes are left for a line"):
        recognition.predict({"lines": rows(b"\x10\x00123")})


def test_a_wheel_that_is_not_there_is_named() -> None:
    with pytest.raises(WheelError, match="no-such-wheel is not installed: pip install -r studies/examples/ocr"):
        file_of("no-such-wheel", "model.onnx")
    with pytest.raises(WheelError, match=r"rapidocr .* has no rapidocr/none\.onnx"):
        file_of("rapidocr", "rapidocr/none.onnx")


@pytest.mark.parametrize(
    "make", [lambda: Detection(Path("none"), side=320), lambda: Recognition(Path("none"), width=96)]
)
def test_a_server_without_pillow_does_not_start(make: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would say that it is ready, and fail each request."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError):
        make()
