"""The models that a server runs: emulated as the simulator draws, ONNX, and a class of one's own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa import profiles
from ipa.live.server_settings import ServerSettings
from ipa.live.serving import tensors
from ipa.live.serving.emulated import Emulated, until
from ipa.live.serving.generation import TextModel
from ipa.live.serving.models import ModelError, ServedModel, folder_model, onnx_model, own_model
from ipa.live.serving.server import create
from ipa.live.serving.tensors import TensorError
from ipa.policies import Static
from ipa.profiles import ProfileError
from ipa.sim import (
    ControlSettings,
    IndexedNormals,
    RunInput,
    ServiceTime,
    World,
    simulate_policy,
    stage_models,
    standard_normals,
    stream,
    streams,
)
from tests.live.serving.models_world import affine_file, models_folder


def answer(
    model: ServedModel, inputs: dict[str, np.ndarray[Any, Any]], **parameters: Any
) -> dict[str, np.ndarray[Any, Any]]:
    """A model's outputs, as arrays."""
    given = [tensors.of_array(name, array) for name, array in inputs.items()]
    outputs = asyncio.run(model.infer(given, parameters))
    return {tensor.name: tensors.to_array(tensor) for tensor in outputs}


# ---- emulated ----


def test_draws_by_number_are_the_draws_in_order() -> None:
    in_order = list(islice(standard_normals(stream(5, "service", 1)), 3 * streams.BLOCK))
    numbers = [0, streams.BLOCK, 3 * streams.BLOCK - 1, 1, 2 * streams.BLOCK + 7, streams.BLOCK - 1, 0]
    drawn = IndexedNormals(stream(5, "service", 1))
    assert [drawn[n] for n in numbers] == [in_order[n] for n in numbers]


def test_a_far_draw_costs_no_draws_between() -> None:
    drawn = IndexedNormals(stream(5, "service", 1))
    assert drawn[10**15] == IndexedNormals(stream(5, "service", 1))[10**15]


def test_the_kth_batch_takes_as_long_as_in_simulation() -> None:
    """The video pipeline, some 150 batches a stage of all sizes: every service time of a run, by batch number."""
    pipeline = profiles.load("video")
    chosen = {stage.name: {"variant": stage.variants[0].name, "batch": 4} for stage in pipeline.stages}
    policy = Static(pipeline, configuration=chosen, planned_load_rps=20.0)
    arrivals_s = np.sort(stream(3, "arrivals").uniform(0.0, 20.0, 300))
    models, world = stage_models(pipeline, sampled=True), World(duration_s=20.0, bound_s=70.0)
    given = RunInput(models, world, arrivals_s, 3)
    records = simulate_policy(pipeline, policy, given, ControlSettings(), np.empty(0)).records
    for position, stage in enumerate(pipeline.stages):
        emulated = create(ServerSettings(stage=stage.name, variant=stage.variants[0].name, seed=3), pipeline)
        assert isinstance(emulated, Emulated)
        served = np.flatnonzero(np.isfinite(records.finish_s[position]))
        assert len(set(records.batch_size[position, served])) > 1
        for n in served:
            number, size = int(records.batch[position, n]), int(records.batch_size[position, n])
            took_s = records.finish_s[position, n] - records.start_s[position, n]
            assert emulated.service_s(number, size) == pytest.approx(took_s, rel=1e-9)


def test_without_a_sigma_a_batch_takes_the_mean_times_the_factor() -> None:
    emulated = Emulated(ServiceTime((0.0, 0.5, 0.75)), factor=0.1)
    assert [emulated.service_s(9, size) for size in (1, 2)] == pytest.approx([0.05, 0.075])


def test_an_emulated_replica_is_held_for_its_service_time_and_echoes() -> None:
    emulated = Emulated(ServiceTime((0.0, 0.02)))
    start_s = time.monotonic()
    assert answer(emulated, {"x": np.array([[3.0]])})["x"].tolist() == [[3.0]]
    assert time.monotonic() - start_s >= 0.02


def test_the_size_of_a_batch_is_what_the_gateway_says_else_its_rows() -> None:
    emulated = Emulated(ServiceTime((0.0, 0.0, 0.0)))
    x = {"x": np.zeros((3, 2))}
    assert answer(emulated, x, batch_size=2)["x"].shape == (3, 2)
    with pytest.raises(ModelError, match="batch_size 3; allowed: 1 to 2, as profiled"):
        answer(emulated, x)
    with pytest.raises(ModelError, match="the parameter batch_number is -1; allowed: a whole number"):
        answer(emulated, x, batch_size=1, batch_number=-1)


def test_an_emulated_stage_gives_the_outputs_that_the_next_one_takes() -> None:
    emulated = Emulated(ServiceTime((0.0, 0.0)), outputs=("crop", "y"))
    given = {"x": np.array([1.0]), "y": np.array([2.0])}
    assert {name: array.tolist() for name, array in answer(emulated, given).items()} == {"crop": [1.0], "y": [2.0]}


def test_an_emulated_stage_gives_the_rows_that_are_declared() -> None:
    emulated = Emulated(ServiceTime((0.0, 0.0)), output_rows={"x": 2, "words": "counts"}, outputs=("x", "words"))
    given = {"x": np.array([[1.0], [2.0]]), "words": np.array([b"a", b"bc"], dtype=object)}
    found = answer(emulated, given, batch_size=1)
    assert found["x"].tolist() == [[1.0], [1.0], [2.0], [2.0]]
    assert found["words"].tolist() == [b"a", b"bc"]
    assert found["counts"].tolist() == [1, 1]


def test_a_wait_ends_never_before_its_moment() -> None:
    async def waits() -> list[float]:
        late_s = []
        for wait_s in (0.0, 0.0003, 0.004, 0.011):
            finish_s = time.monotonic() + wait_s
            await until(finish_s)
            late_s.append(time.monotonic() - finish_s)
        return late_s

    assert min(asyncio.run(waits())) >= 0.0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"stage": "detection"}, "video has no stage 'detection'"),
        ({"stage": "object-detection", "variant": "yolo"}, "object-detection has no variant 'yolo'"),
        ({"stage": "object-detection", "variant": "yolov5n", "cores": 3}, "yolov5n is not profiled with 3 cores"),
    ],
)
def test_only_what_is_profiled_can_be_emulated(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ProfileError, match=why):
        create(ServerSettings(**options), profiles.load("video"))


# ---- ONNX ----


@pytest.fixture(scope="module")
def affine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("onnx") / "affine.onnx"
    affine_file(onnx, path)
    return path


@pytest.fixture
def affine_model(affine: Path) -> Iterator[ServedModel]:
    model = onnx_model(affine, threads=1)
    yield model
    model.close()


def test_an_onnx_file_is_served_with_its_metadata(affine_model: ServedModel) -> None:
    assert affine_model.metadata() == {
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }
    x = np.array([[0, 1, 2], [3, 4, 5]], dtype=np.float32)
    assert answer(affine_model, {"x": x})["y"].tolist() == (2 * x + 1).tolist()


@pytest.mark.parametrize(
    ("name", "array", "why"),
    [
        ("z", np.zeros((1, 3), np.float32), "inputs z; the model takes x"),
        ("x", np.zeros((1, 3)), "input 'x': datatype FP64; the model takes FP32"),
        ("x", np.zeros((1, 4), np.float32), r"input 'x': shape \[1, 4\]; the model takes \[-1, 3\]"),
        ("x", np.zeros(3, np.float32), r"input 'x': shape \[3\]; the model takes \[-1, 3\]"),
    ],
)
def test_what_an_onnx_file_cannot_take_is_refused(affine_model: ServedModel, name: str, array: Any, why: str) -> None:
    with pytest.raises(TensorError, match=why):
        answer(affine_model, {name: array})


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    path.write_text("no")
    with pytest.raises(ModelError, match=r"model\.onnx: onnxruntime cannot load it"):
        onnx_model(path, 1)


# ---- a class of one's own ----


def own(tmp_path: Path, text: str) -> str:
    (tmp_path / "my.py").write_text(text)
    return f"{tmp_path / 'my.py'}:MyModel"


DOUBLING = """
import numpy as np

class MyModel:
    def predict(self, inputs):
        return {"y": 2 * inputs["x"], "n": np.full((len(inputs["x"]), 1), "a")}

    def metadata(self):
        return {"inputs": [{"name": "x", "datatype": "INT64", "shape": [-1]}]}
"""


def test_a_class_of_ones_own_is_served(tmp_path: Path) -> None:
    model = own_model(own(tmp_path, DOUBLING))
    found = answer(model, {"x": np.array([1, 2])})
    assert {name: array.tolist() for name, array in found.items()} == {"y": [2, 4], "n": [[b"a"], [b"a"]]}
    assert model.metadata()["platform"] == "python"
    with pytest.raises(TensorError, match="input 'x': datatype FP64; the model takes INT64"):
        answer(model, {"x": np.array([1.0])})
    model.close()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("class Mine: ...", r"my\.py: no class 'MyModel'; classes there: Mine"),
        ("class MyModel: ...", r"my\.py:1: MyModel has no method 'predict'"),
        ("class MyModel(:", r"my\.py:1: syntax error"),
        ("class MyModel:\n def __init__(self): 1 / 0\n def predict(self, inputs): ...", "ZeroDivisionError"),
        ("class MyModel:\n def predict(self, i): ...\n def metadata(self): return 3", "metadata.. returned int"),
        (
            "class MyModel:\n def predict(self, i): ...\n def metadata(self): return {'inputs': [{'name': 'x'}]}",
            "lacks name, datatype or shape",
        ),
    ],
)
def test_a_class_that_cannot_be_served_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        own_model(own(tmp_path, text))


def test_a_prediction_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    model = own_model(own(tmp_path, "class MyModel:\n def predict(self, inputs): return 3"))
    with pytest.raises(TypeError, match="predict returned int, not a mapping of names to arrays"):
        answer(model, {"x": np.array([1])})
    model.close()


# ---- a folder ----


def test_a_folder_is_served_as_what_it_holds(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    models_folder(tmp_path)
    x = {"x": np.array([[1, 2, 3]], dtype=np.float32)}
    for variant, y in (("small", [[3, 6, 9]]), ("large", [[3, 5, 7]])):
        model = create(ServerSettings(backend="folder", file=tmp_path / "tiny" / "sort" / variant))
        assert not isinstance(model, TextModel)
        assert answer(model, x)["y"].tolist() == y
        model.close()


@pytest.mark.parametrize(
    ("files", "held"),
    [([], "nothing"), (["weights.bin"], "weights.bin"), (["model.py", "model.onnx"], "model.onnx, model.py")],
)
def test_a_folder_holds_one_model(tmp_path: Path, files: list[str], held: str) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=f"should hold either model.onnx or model.py; it holds {held}"):
        folder_model(tmp_path, 1)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="none: no such folder"):
        folder_model(tmp_path / "none", 1)


def test_a_model_of_a_folder_is_a_class_called_model(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(DOUBLING)
    with pytest.raises(ModelError, match=r"model\.py: no class 'Model'"):
        folder_model(tmp_path, 1)


def test_without_onnxruntime_an_onnx_file_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").touch()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"needs the extra onnx: pip install '.\[onnx\]' in the checkout"):
        folder_model(tmp_path, 1)


def test_a_class_of_ones_own_that_takes_cores_gets_those_of_its_replica(tmp_path: Path) -> None:
    text = """
class MyModel:
    def __init__(self, cores=7):
        self.cores = cores

    def predict(self, inputs):
        return {"cores": inputs["x"] * 0 + self.cores}
"""
    model = own_model(own(tmp_path, text), 2)
    assert answer(model, {"x": np.zeros((1, 1))})["cores"].tolist() == [[2.0]]
