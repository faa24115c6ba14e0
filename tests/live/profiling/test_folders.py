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


def test_a_pipeline_s_folder_holds_stages_of_variants(root: Path) -> None:
    name, found = model_folders(root / "mine")
    assert name == "mine"
    assert [(each.stage, each.variant) for each in found] == [("find", "large"), ("find", "small"), ("read", "only")]
    samples = [each.samples and each.samples.relative_to(root / "mine") for each in found]
    assert samples == [Path("find/large/samples"), Path("find/samples.npz"), None]


@pytest.mark.parametrize(
    ("place", "name", "variants"), [("mine/find", "find", ["large", "small"]), ("mine/find/small", "find", ["small"])]
)
def test_a_stage_s_and_a_variant_s_folder_are_one_stage(root: Path, place: str, name: str, variants: list[str]) -> None:
    found_name, found = model_folders(root / place)
    assert (found_name, [each.variant for each in found]) == (name, variants)
    assert {each.stage for each in found} == {"find"}


def test_a_pipeline_s_models_are_found_as_on_a_cluster(root: Path) -> None:
    assert variant_folder(root, "mine", "read", "only").path == (root / "mine/read/only").absolute()
    assert variant_folder(root / "mine", "mine", "read", "only").path == (root / "mine/read/only").absolute()
    with pytest.raises(LiveError, match=r"mine/read/other: holds neither model\.onnx nor model\.py"):
        variant_folder(root, "mine", "read", "other")


def test_no_models_and_names_that_no_pipeline_takes_are_refused(root: Path) -> None:
    with pytest.raises(LiveError, match="no such folder"):
        model_folders(root / "nowhere")
    with pytest.raises(LiveError, match=r"holds no models; should hold STAGE/VARIANT/model\.onnx"):
        model_folders(root / "mine/notes")
    (root / "mine/find/small").rename(root / "mine/find/Small_1")
    with pytest.raises(LiveError, match="'Small_1' should be lower-case"):
        model_folders(root / "mine")
