"""Which models a folder holds: that of a pipeline, a stage or a variant."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa.live import LiveError
from ipa.live.profiling import model_folders, variant_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two stages, three models; samples of one stage, and of one variant of its own."""
    for place in ("mine/find/small", "mine/find/large", "mine/read/only"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "model.py").touch()
    (tmp_path / "mine/find/samples.npz").touch()
    (tmp_path / "mine/find/large/samples").mkdir()
    (tmp_path / "mine/notes").mkdir()
    return tmp_path


def listed(folder: Path) -> list[str]:
    return [each.name for each in model_folders(folder)]


def test_a_pipeline_s_folder_holds_stages_of_variants(root: Path) -> None:
    found = model_folders(root / "mine")
    assert [each.name for each in found] == ["find/large", "find/small", "read/only"]
    samples = [each.samples and each.samples.relative_to(root / "mine") for each in found]
    assert samples == [Path("find/large/samples"), Path("find/samples.npz"), None]


def test_the_pipeline_s_folder_above_is_optional(root: Path) -> None:
    assert listed(root) == ["mine/find/large", "mine/find/small", "mine/read/only"]
    assert [each.pipeline for each in model_folders(root)] == ["mine"] * 3


@pytest.mark.parametrize(("place", "variants"), [("mine/find", ["large", "small"]), ("mine/find/small", ["small"])])
def test_a_stage_s_and_a_variant_s_folder_are_one_stage(root: Path, place: str, variants: list[str]) -> None:
    assert listed(root / place) == [f"find/{each}" for each in variants]


def test_samples_beside_variants_and_what_is_hidden_are_no_variants(root: Path) -> None:
    for name in ("samples", ".small.incoming", "__pycache__"):
        (root / "mine/find" / name).mkdir()
        (root / "mine/find" / name / "model.py").touch()
    (root / "mine/find/small/older").mkdir()
    (root / "mine/find/small/older/model.py").touch()  # within a variant
    assert listed(root / "mine") == ["find/large", "find/small", "read/only"]


def test_a_pipeline_s_models_are_found_as_on_a_cluster(root: Path) -> None:
    assert variant_folder(root, "mine", "read", "only").path == (root / "mine/read/only").absolute()
    assert variant_folder(root / "mine", "mine", "read", "only").path == (root / "mine/read/only").absolute()
    said = rf"{root}/mine/read/other: should hold model\.onnx, model\.py or model\.gguf, or {root}/read/other"
    with pytest.raises(LiveError, match=said):
        variant_folder(root, "mine", "read", "other")


def test_no_models_and_names_that_no_pipeline_takes_are_refused(root: Path) -> None:
    with pytest.raises(LiveError, match="no such folder"):
        model_folders(root / "nowhere")
    with pytest.raises(
        LiveError, match=r"holds no models; should hold \[PIPELINE/\]STAGE/VARIANT/ with model\.onnx, model\.py or"
    ):
        model_folders(root / "mine/notes")
    (root / "mine/find/small").rename(root / "mine/find/Small_1")
    with pytest.raises(LiveError, match="'Small_1' should be lower-case"):
        model_folders(root / "mine")


@pytest.mark.parametrize("below", [".", "mine"])
def test_a_folder_beside_variants_that_has_no_model_is_not_left_out_in_silence(root: Path, below: str) -> None:
    (root / "mine/find/small/model.py").unlink()
    with pytest.raises(LiveError, match=r"mine/find/small: should hold model\.onnx, model\.py or model\.gguf"):
        model_folders(root / below)
