"""A real detector in the pipeline `video`: each client gets the crops of its own image, however many there are."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa import profiles
from ipa.live.serving.host import Gateway
from ipa.live.serving.protocol import InferRequest, InferResponse, Wanted
from ipa.live.serving.request import Batch, RoutedReplica
from ipa.live.serving.rows import RowsError, shared
from ipa.live.serving.tensors import Tensor, of_array, to_array
from ipa.policies import StageConfiguration
from tests.live.serving.models_world import classifier_file, detector_file
from tests.live.serving.serving_plane import Plane, Process, call, entry, plane, put, until_ready, wanted

DETECTION, CLASSIFICATION = "object-detection", "image-classification"
TASKS = {
    DETECTION: "detects the objects in a frame; one crop of each frame goes on",
    CLASSIFICATION: "classifies a crop",
}
CANDIDATES = 6

NO_EMPTY_BATCH = """
class Model:
    def predict(self, inputs):
        return {"y": inputs["x"] - inputs["x"].max()}
"""


def video(folder: Path, declared: str = "output_rows: {crops: counts}") -> str:
    """The shipped pipeline with a detector that gives as many crops as it finds."""
    text = profiles.text("video")
    for stage, added in ((DETECTION, declared), (CLASSIFICATION, "inputs: {x: crops}")):
        head = re.search(rf"  - name: {stage}\n", text)
        assert head is not None
        text = text[: head.end()] + (f"    {added}\n" if added else "") + text[head.end() :]
    path = folder / "video.yaml"
    path.write_text(text)
    return str(path)


def image(draws: random.Random, found: int) -> list[list[list[float]]]:
    """One row of candidates that do not overlap, `found` of them with a score above a half."""
    scores = [0.9] * found + [0.1] * (CANDIDATES - found)
    draws.shuffle(scores)
    corners = [(10.0 * n + draws.random(), draws.random()) for n in range(CANDIDATES)]
    return [[[y, x, y + 5.0, x + 5.0, score] for (y, x), score in zip(corners, scores, strict=True)]]


def infer(gateway: Process, rows: list[list[list[float]]]) -> tuple[int, Any]:
    """One client's request: its images, one a row."""
    data = np.array(rows, dtype=np.float32)
    asked = {"name": "image", "datatype": "FP32", "shape": list(data.shape), "data": data.ravel().tolist()}
    return call("POST", gateway.url + "/v2/models/video/infer", {"inputs": [asked]})


@contextmanager
def running(folder: Path, pipeline: str, classifier: tuple[str, ...] = ()) -> Iterator[tuple[Plane, Process]]:
    """Two detectors and a classifier behind a gateway with batches of up to 4."""
    onnx = pytest.importorskip("onnx")
    detector_file(onnx, folder / "detector.onnx")
    classifier_file(onnx, folder / "classifier.onnx")
    with plane(folder) as up:
        gateway = up.gateway("--pipeline", pipeline, "--sla", "600")  # nothing expires, however slow the machine is
        detectors = [
            up.server("--backend", "onnx", "--file", str(folder / "detector.onnx"), "--model", "yolov5n")
            for _ in range(2)
        ]
        options = classifier or ("--backend", "onnx", "--file", str(folder / "classifier.onnx"))
        last = up.server(*options, "--model", "resnet18")
        for server in (*detectors, last):
            until_ready(server.url)
        control = gateway.urls["control_url"] + "/control/"
        up.listed = {
            DETECTION: [entry(number, server.url, "yolov5n") for number, server in enumerate(detectors)],
            CLASSIFICATION: [entry(0, last.url, "resnet18")],
        }
        configuration = {DETECTION: wanted("yolov5n", 4, 0.05), CLASSIFICATION: wanted("resnet18", 4, 0.05)}
        put(control + "configuration", configuration)
        put(control + "replicas", up.listed)
        yield up, gateway


def some_images(requests: int) -> list[Any]:
    """Requests of one image, or now and then two, with 0 to 6 crops each."""
    draws = random.Random(7)
    return [
        [row for _ in range(draws.choice([1, 1, 1, 2])) for row in image(draws, draws.randint(0, CANDIDATES))]
        for _ in range(requests)
    ]


def answers_alone(folder: Path, images: list[Any]) -> list[Any]:
    """What the same models give each request alone."""
    import onnxruntime

    detector, classifier = (
        onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("detector", "classifier")
    )
    found = []
    for rows in images:
        crops, counts = detector.run(None, {"image": np.array(rows, dtype=np.float32)})
        assert counts.sum() == len(crops)
        found.append(classifier.run(None, {"x": crops})[0])
    return found


def test_each_client_gets_the_rows_that_the_models_give_it_alone(tmp_path: Path) -> None:
    """40 requests of one or two images with 0 to 6 crops, 8 at a time."""
    images = some_images(40)
    with running(tmp_path, video(tmp_path)) as (_, gateway):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda rows: infer(gateway, rows), images))
        records = call("GET", gateway.urls["control_url"] + "/control/records")[1]["records"]
    expected = answers_alone(tmp_path, images)
    for (status, answer), right in zip(answers, expected, strict=True):
        assert status == 200, answer
        (output,) = answer["outputs"]
        assert output["shape"] == list(right.shape)
        np.testing.assert_allclose(np.array(output["data"]).reshape(right.shape), right, rtol=1e-5)
    assert {len(right) for right in expected} >= {0, 1, 2, 3, 4, 5, 6}
    sizes = [record["stages"][0]["batch_size"] for record in records]
    assert max(sizes) > 1


def test_in_whatever_batches_each_request_gets_its_own_rows(tmp_path: Path) -> None:
    """200 requests at once in one process, with batches of up to 8 and four replicas a stage: the models are real."""
    import onnxruntime

    onnx = pytest.importorskip("onnx")
    detector_file(onnx, tmp_path / "detector.onnx")
    classifier_file(onnx, tmp_path / "classifier.onnx")
    names = {"yolov5n": "detector", "resnet18": "classifier"}
    sessions = {variant: onnxruntime.InferenceSession(tmp_path / f"{name}.onnx") for variant, name in names.items()}
    sizes: list[int] = []

    async def served(batch: Batch, inputs: list[Tensor], *_: Any) -> InferResponse:
        session = sessions[batch.replica.variant]
        sizes.append(batch.size)
        outputs = session.run(None, {tensor.name: to_array(tensor) for tensor in inputs})
        await asyncio.sleep(0)
        named = zip(session.get_outputs(), outputs, strict=True)
        return InferResponse([of_array(entry.name, array) for entry, array in named])

    async def story(images: list[Any]) -> list[Any]:
        gateway = Gateway(profiles.load(video(tmp_path)).with_limits(600.0, {}))
        gateway.clients.infer = served  # type: ignore[assignment, method-assign]
        wanted_stages = {DETECTION: "yolov5n", CLASSIFICATION: "resnet18"}
        gateway.router.configure(
            {stage: StageConfiguration(variant, 8, 4, 0.01, 1) for stage, variant in wanted_stages.items()}, 0.0
        )
        for position, variant in enumerate(wanted_stages.values()):
            gateway.router.stages[position].list_replicas([RoutedReplica(number, variant, 8) for number in range(4)])
        tensors = [of_array("image", np.array(rows, dtype=np.float32)) for rows in images]
        asked = [InferRequest(None, {}, [tensor], Wanted(None, True)) for tensor in tensors]
        requests = [gateway._admitted(each, gateway.clock.now_s())[0] for each in asked]
        jobs = [request.data for request in requests]
        await asyncio.gather(*(job.done for job in jobs))
        await gateway.close()
        assert [request.problem for request in requests] == [""] * len(images)
        return [to_array(job.tensors[0]) for job in jobs]

    images = some_images(200)
    for found, right in zip(asyncio.run(story(images)), answers_alone(tmp_path, images), strict=True):
        assert found.shape == right.shape
        np.testing.assert_allclose(found, right, rtol=1e-5)
    assert max(sizes) == 8
    assert sum(size > 1 for size in sizes) > 20


def test_a_ragged_output_that_is_not_declared_fails_and_not_the_replica(tmp_path: Path) -> None:
    """With 3 + 1 crops in a batch of two, nobody gets two, one of them the other's; alone, the one with 1 is right."""
    draws = random.Random(7)
    with running(tmp_path, video(tmp_path, declared="")) as (up, gateway):
        control = gateway.urls["control_url"]
        put(control + "/control/configuration", {
            DETECTION: wanted("yolov5n", 2, 30.0), CLASSIFICATION: wanted("resnet18", 1),
        })  # fmt: skip
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda found: infer(gateway, image(draws, found)), [3, 1]))
        why = "output 'crops' has 3 rows; a request of 1 row should give 1 (if that is as it should be,"
        assert [status for status, _ in answers] == [502, 200]
        assert why in answers[0][1]["error"]
        assert answers[1][1]["outputs"][0]["shape"] == [1, 3]
        metrics = call("GET", control + "/metrics")[1]
        assert 'ipa_wrong_rows_total{pipeline="video",stage="object-detection",variant="yolov5n"} 2.0' in metrics
        states = put(control + "/control/replicas", up.listed)[DETECTION]
        assert [state["suspended"] for state in states] == [False, False]
        assert sum(state["batches"] for state in states) == 3  # both, and each alone


def test_a_model_that_cannot_take_an_image_without_crops_fails_that_request_alone(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text(NO_EMPTY_BATCH)
    draws = random.Random(7)
    with running(tmp_path, video(tmp_path), ("--backend", f"{tmp_path / 'my.py'}:Model")) as (up, gateway):
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda found: infer(gateway, image(draws, found)), [0, 2]))
        assert [status for status, _ in answers] == [502, 200]
        assert answers[1][1]["outputs"][0]["shape"] == [2, 4]
        (state,) = put(gateway.urls["control_url"] + "/control/replicas", up.listed)[CLASSIFICATION]
        assert (state["failures"], state["suspended"]) == (1, False)


def test_any_number_of_rows_belongs_to_a_request_that_is_alone() -> None:
    whole = of_array("y", np.zeros((1, 2), dtype=np.float32))
    assert shared([whole], 1, {3}, {"y": 0}) == [[whole]]
    with pytest.raises(RowsError, match="'y' may have any number of rows, so a batch has no more than one request"):
        shared([whole], 2, {3}, {"y": 0})
