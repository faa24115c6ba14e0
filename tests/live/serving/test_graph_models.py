"""Real models in a graph: what they answer decides how many items go on and where, and one answer has all of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa import profiles
from ipa.live.serving.admission import REQUEST_BYTES, Admission
from ipa.live.serving.graph_tensors import ITEM_BYTES, GraphTensors, ItemJob, WholeJob
from ipa.live.serving.request import Batch, Item, RoutedReplica, WholeRequest
from ipa.live.serving.tensors import of_array
from ipa.profiles import load
from tests.live.serving.models_world import classifier_file, detector_file
from tests.live.serving.serving_plane import Plane, Process, call, entry, plane, put, until_ready, wanted
from tests.live.serving.test_ragged import CANDIDATES, image
from tests.profiles.test_graph_file import HEAD, stage

LEAST = 60.0
"""The sum of a crop's corners from which on it is classified."""

DETECT = stage("detect", "    after: []\n    output_rows: {crops: counts}\n")
MEASURE = stage(
    "measure", "    after: [{stage: detect, items: 2, spread: 1, items_from: crops}]\n    inputs: {x: crops}\n"
)
CLASSIFY = stage(
    "classify", f"    after: [{{stage: measure, share: 0.5, when: sum >= {LEAST:g}}}]\n    inputs: {{x: same}}\n"
)
GRAPH = HEAD + "stages:\n" + DETECT + MEASURE + CLASSIFY + "accuracy: {combine: product}\n"


def measure_file(onnx: Any, path: Path) -> None:
    """x: rows x 4 -> x, and sum: of each row."""
    helper, floating = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["x", "axis"], ["sum"], keepdims=0),
            helper.make_node("Identity", ["x"], ["same"]),
        ],
        "measure",
        [helper.make_tensor_value_info("x", floating, ["rows", 4])],
        [
            helper.make_tensor_value_info("same", floating, ["rows", 4]),
            helper.make_tensor_value_info("sum", floating, ["rows"]),
        ],
        [helper.make_tensor("axis", onnx.TensorProto.INT64, [1], [1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


@contextmanager
def running(folder: Path, text: str = GRAPH, *options: str) -> Iterator[tuple[Plane, Process]]:
    """A replica of each model behind a gateway with batches of up to 4."""
    onnx = pytest.importorskip("onnx")
    detector_file(onnx, folder / "detect.onnx")
    measure_file(onnx, folder / "measure.onnx")
    classifier_file(onnx, folder / "classify.onnx")
    (folder / "traffic.yaml").write_text(text)
    with plane(folder) as up:
        # Nothing expires, however slow the machine is.
        gateway = up.gateway("--pipeline", str(folder / "traffic.yaml"), "--sla", "600", *options)
        names = [name for name in ("detect", "measure", "classify") if f"name: {name}\n" in text]
        for name in names:
            server = up.server("--backend", "onnx", "--file", str(folder / f"{name}.onnx"), "--model", "only")
            until_ready(server.url)
            up.listed[name] = [entry(0, server.url, "only")]
        control = gateway.urls["control_url"] + "/control/"
        put(control + "configuration", {name: wanted("only", 1) for name in names})
        put(control + "replicas", up.listed)
        yield up, gateway


def infer(gateway: Process, rows: Any) -> tuple[int, Any]:
    data = np.array(rows, dtype=np.float32)
    asked = {"name": "image", "datatype": "FP32", "shape": list(data.shape), "data": data.ravel().tolist()}
    return call("POST", gateway.url + "/v2/models/traffic/infer", {"inputs": [asked]})


def outputs(answer: Any) -> dict[str, Any]:
    return {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in answer["outputs"]}


def test_models_decide_how_many_items_go_on_and_which(tmp_path: Path) -> None:
    """Each image's crops are measured one by one, and those that are large are classified."""
    import onnxruntime

    draws = random.Random(3)
    images = [image(draws, draws.randint(0, CANDIDATES)) for _ in range(24)]
    with running(tmp_path) as (_, gateway):
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda rows: infer(gateway, [rows]), [each[0] for each in images]))
        seen = call("GET", gateway.urls["control_url"] + "/control/observation")[1]
    sessions = {name: onnxruntime.InferenceSession(tmp_path / f"{name}.onnx") for name in ("detect", "classify")}
    found = 0
    for (status, answer), rows in zip(answers, images, strict=True):
        assert status == 200, answer
        crops, _ = sessions["detect"].run(None, {"image": np.array(rows, dtype=np.float32)})
        large = crops[crops.sum(axis=1) >= LEAST]
        small = crops[crops.sum(axis=1) < LEAST]
        found += len(crops)
        said = outputs(answer)
        if len(small):
            np.testing.assert_allclose(said["measure.same"], small, rtol=1e-5)
            assert said["measure.sum.counts"].tolist() == [1] * len(small)
        if len(large):
            np.testing.assert_allclose(said["classify.y"], sessions["classify"].run(None, {"x": large})[0], rtol=1e-5)
            assert said["classify.y.counts"].tolist() == [1] * len(large)
    stages = seen["stages"]
    assert stages["measure"]["arrivals"] == found
    assert 0 < stages["classify"]["arrivals"] < found
    assert [(edge["parent"], edge["child"], edge["items"]) for edge in seen["edges"]] == [
        ("detect", "measure", found),
        ("measure", "classify", stages["classify"]["arrivals"]),
    ]


def test_more_items_than_allowed_are_a_clear_413(tmp_path: Path) -> None:
    text = HEAD + "stages:\n" + DETECT + MEASURE + "accuracy: {combine: product}\n"
    draws = random.Random(1)
    with running(tmp_path, text, "--limits", '{"most_items": 4}') as (_, gateway):
        assert infer(gateway, image(draws, 3))[0] == 200
        status, answer = infer(gateway, image(draws, 4))
    assert (status, answer) == (
        413,
        {"error": "failed at stage 'detect': its 4 items for 'measure' make more than 4"},
    )


def test_of_far_too_many_rows_no_more_are_cut_than_tell_so(tmp_path: Path) -> None:
    path = tmp_path / "traffic.yaml"
    path.write_text(GRAPH)
    tensors = GraphTensors(load(path), 4)

    async def story() -> None:
        whole = WholeRequest("0", 0.0, data=WholeJob([], {}, asyncio.get_running_loop().create_future()))
        item = Item("0", 0.0, whole=whole, data=ItemJob([], {}, whole.data.done))
        batch = Batch(0, 0, RoutedReplica(0, "only", 1), [item], 0.0)
        crops = of_array("crops", np.zeros((1_000_000, 4), dtype=np.float32))
        tensors.served(batch, [[crops, of_array("counts", np.array([1_000_000]))]], False)
        assert len(item.data.onward[0]) == 5
        assert tensors.carried(item, 0, lambda: 0) is None
        assert whole.data.status == 413

    asyncio.run(story())


def test_outputs_that_do_not_say_where_an_item_goes_fail_it_in_words(tmp_path: Path) -> None:
    text = GRAPH.replace(f"when: sum >= {LEAST:g}", "when: score < 1")
    with running(tmp_path, text) as (_, gateway):
        status, answer = infer(gateway, image(random.Random(1), 2))
    assert status == 502
    assert "no output 'score', which `when: score < 1` asks for; outputs: same, sum" in answer["error"]


SPLIT = """
import numpy as np


class Model:
    def predict(self, inputs):
        counts = inputs["n"].astype(np.int64)
        return {"part": np.concatenate([np.arange(each) for each in counts]), "counts": counts, "all": inputs["n"]}
"""
DOUBLE = """
class Model:
    def predict(self, inputs):
        if 13 in inputs["x"]:
            raise ValueError("thirteen")
        return {"doubled": 2 * inputs["x"]}
"""
NEGATE = """
class Model:
    def predict(self, inputs):
        return {"negated": -inputs["x"]}
"""
MERGE = """
class Model:
    def predict(self, inputs):
        return {"sum": inputs["parts"].sum(keepdims=True) + inputs["whole"], "first": inputs["parts"][:1]}
"""
DIAMOND = (
    HEAD
    + "stages:\n"
    + stage("split", "    after: []\n    output_rows: {part: counts}\n")
    + stage(
        "double",
        "    after: [{stage: split, items: 2, spread: 1, items_from: part, partial: ok}]\n    inputs: {x: part}\n"
        "    outputs: {doubled: {datatype: INT64, shape: [-1]}}\n",
    )
    + stage("negate", "    after: [split]\n    inputs: {x: all}\n")
    + stage("merge", "    after: [double, negate]\n    join: all\n    inputs: {parts: doubled, whole: negated}\n")
    + "accuracy: {combine: product}\n"
)


def test_a_join_gets_what_has_come_in_order_and_the_answer_names_what_is_missing(tmp_path: Path) -> None:
    """0, 1, ... n - 1 are doubled one by one, but 13, on which the model fails; n is negated beside; both are added."""
    (tmp_path / "traffic.yaml").write_text(DIAMOND)
    models = {"split": SPLIT, "double": DOUBLE, "negate": NEGATE, "merge": MERGE}
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", str(tmp_path / "traffic.yaml"), "--sla", "600")
        for name, text in models.items():
            (tmp_path / f"{name}.py").write_text(text)
            server = up.server("--backend", f"{tmp_path / name}.py:Model", "--model", "only")
            until_ready(server.url)
            up.listed[name] = [entry(0, server.url, "only")]
        control = gateway.urls["control_url"] + "/control/"
        put(control + "configuration", {name: wanted("only") for name in models})
        put(control + "replicas", up.listed)

        def asked(n: int) -> tuple[int, Any]:
            tensor = {"name": "n", "datatype": "INT64", "shape": [1], "data": [n]}
            return call("POST", gateway.url + "/v2/models/traffic/infer", {"inputs": [tensor]})

        status, answer = asked(5)
        assert (status, outputs(answer)["sum"].tolist(), outputs(answer)["first"].tolist()) == (200, [20 - 5], [0])
        assert "parameters" not in answer
        status, answer = asked(15)
        assert (status, outputs(answer)["sum"].tolist()) == (200, [210 - 2 * 13 - 15])
        assert answer["parameters"]["missing"].startswith("double 14 failed: replica 0 (only) ")
        assert "thirteen" in answer["parameters"]["missing"]
        status, answer = asked(0)
        assert (status, outputs(answer)["sum"].tolist()) == (200, [0])
        (records, *_) = [call("GET", control + "records")[1]["records"]]
    assert [len(record["stages"]) for record in records] == [1 + 5 + 1 + 1, 1 + 15 + 1 + 1, 1 + 1 + 1]


def test_items_for_which_there_is_no_room_are_a_clear_503(tmp_path: Path) -> None:
    """A request may hold 4 KiB beside twice its own 80 bytes: two crops find room, which count 1 KiB each as items."""
    (tmp_path / "traffic.yaml").write_text(GRAPH)
    graph = GraphTensors(profiles.load(tmp_path / "traffic.yaml"))
    with Admission(REQUEST_BYTES + 160 + 4 * ITEM_BYTES).share() as share:
        job = WholeJob([of_array("image", np.zeros((1, 20), np.float32))], {}, None, share=share)  # type: ignore[arg-type]
        whole = WholeRequest("one", 0.0, data=job)
        item = Item("one", 0.0, whole=whole)
        assert graph.prepare(item, ()) == ""
        for count, answered in ((2, None), (70, 503)):
            crops = of_array("crops", np.zeros((count, 4), np.float32))
            item.data.onward = graph.onward(0, [crops, of_array("counts", np.array([count]))])
            sent = graph.carried(item, 0, lambda: 0)
            assert (None if sent is None else len(sent), job.status) == (None if answered else count, answered)
    assert whole.problem.startswith("no room for its 70 items for 'measure': the requests inside hold ")
