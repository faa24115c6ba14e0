"""What stands where a request has no item comes from the pipeline file or the models, never from another request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.live.serving.serving_plane import Plane, Process, ask, call, entry, plane, put, until_ready, wanted
from tests.profiles.test_graph_file import HEAD, stage

FACES = """
import numpy as np


class Model:
    \"\"\"n faces of as many features as the client says.\"\"\"

    def predict(self, inputs):
        n, features = inputs["photo"][0]
        return {"face": np.ones((n, features), np.float32), "count": np.array([n]), "photo": inputs["photo"]}
"""
KNOWN = """
class Model:
    def predict(self, inputs):
        return {"known": inputs["face"]}
"""
DESCRIBED = """
    def metadata(self):
        return {"outputs": [{"name": "known", "datatype": "FP32", "shape": [-1, 2]}]}
"""
ALBUM = """
class Model:
    def predict(self, inputs):
        return {"sum": inputs["known"].sum(axis=1).sum(keepdims=True), "features": inputs["known"].shape[1:]}
"""
MODELS = {"faces": FACES, "known": KNOWN, "album": ALBUM}
DECLARED = "    outputs: {known: {datatype: FP32, shape: [-1, 2]}}\n"
TO_FACES = "    after: []\n    output_rows: {face: count}\n"
TO_KNOWN = "    after: [{stage: faces, items: 1, spread: 1, items_from: face}]\n    inputs: {face: face}\n"
TO_ALBUM = "    after: [known]\n    join: all\n    inputs: {known: known}\n    output_rows: {sum: 0, features: 0}\n"


def text(of_known: str = "", *, is_joined: bool = True) -> str:
    """Photo -> each face -> all of a photo together, or each of them in the answer."""
    stages = [stage("faces", TO_FACES), stage("known", TO_KNOWN + of_known)]
    stages += [stage("album", TO_ALBUM)] if is_joined else []
    return HEAD + "stages:\n" + "".join(stages) + "accuracy: {combine: product}\n"


@contextmanager
def listed(folder: Path, pipeline: str, models: Mapping[str, str]) -> Iterator[tuple[Plane, Process]]:
    """A gateway with a replica of each model, of which it has not been told yet."""
    (folder / "traffic.yaml").write_text(pipeline)
    with plane(folder) as up:
        gateway = up.gateway("--pipeline", str(folder / "traffic.yaml"), "--sla", "600")
        for name in (each for each in models if f"name: {each}\n" in pipeline):
            (folder / f"{name}.py").write_text(models[name])
            server = up.server("--backend", f"{folder / name}.py:Model", "--model", "only")
            until_ready(server.url)
            up.listed[name] = [entry(0, server.url, "only")]
        put(gateway.urls["control_url"] + "/control/configuration", {name: wanted("only") for name in up.listed})
        yield up, gateway


def faces(gateway: Process, count: int, features: int = 2) -> tuple[int, Any]:
    sent = ask("photo", shape=(1, 2), data=(count, features))
    return call("POST", gateway.url + "/v2/models/traffic/infer", sent)


@pytest.mark.parametrize(
    ("says", "is_joined"), [("file", True), ("model", False)], ids=["file, in a join", "model, in the answer"]
)
def test_a_stranger_s_faces_are_nobody_else_s(tmp_path: Path, says: str, is_joined: bool) -> None:
    """Without a face, an answer is the same on a new gateway and after a face of six features: before, the first was a
    502, and so was each after the stranger's."""
    of_file, of_model = (DECLARED, "") if says == "file" else ("", DESCRIBED)
    models = MODELS | {"known": KNOWN + of_model}
    with listed(tmp_path, text(of_file, is_joined=is_joined), models) as (up, gateway):
        put(gateway.urls["control_url"] + "/control/replicas", up.listed)
        answers = [faces(gateway, 0)]
        assert [faces(gateway, 1, features)[0] for features in (2, 6, 3)] == [200] * 3
        answers.append(faces(gateway, 0))
    assert answers[0][0] == 200, answers[0][1]
    assert answers[0] == answers[1]
    (output, other) = answers[0][1]["outputs"]
    if is_joined:
        assert (output["data"], other["data"]) == ([0.0], [2])
    else:
        assert (output["name"], output["shape"], other["name"], other["data"]) == ("known", [0, 2], "known.counts", [])


def test_a_stage_of_which_neither_file_nor_model_says_what_it_answers_is_refused_with_the_key(tmp_path: Path) -> None:
    without_axis = DESCRIBED.replace("[-1, 2]", "[-1, -1]")
    with listed(tmp_path, text(), MODELS | {"known": KNOWN + without_axis}) as (up, gateway):
        control = gateway.urls["control_url"] + "/control/replicas"
        status, answer = call("PUT", control, up.listed)
        assert status == 400
        assert answer["error"] == (
            "stage 'known': requests may have no item there, and the metadata of its model do not give datatype and "
            "shape of its output 'known'; give them in the pipeline file, as outputs of the stage: "
            "{y: {datatype: FP32, shape: [-1, 4]}}"
        )
        assert call("GET", gateway.url + "/v2/health/ready") == (503, {"ready": False, "error": answer["error"]})
        (tmp_path / "other.py").write_text(KNOWN + DESCRIBED)
        server = up.server("--backend", f"{tmp_path / 'other'}.py:Model", "--model", "only")
        until_ready(server.url)
        put(control, up.listed | {"known": [entry(1, server.url, "only")]})
        assert faces(gateway, 0)[0] == 200
        put(control, up.listed)  # what is known of a stage stays known


EMULATED = (
    HEAD
    + "stages:\n"
    + stage("cars", "    after: []\n")
    + "".join(
        stage(name, f"    after: [{{stage: cars, items: {mean}, spread: 1}}]\n")
        for name, mean in (("plates", 1), ("faces", 1))
    )
    + "accuracy: {combine: product}\n"
)


def test_an_answer_of_emulated_models_has_the_names_of_its_own_request(tmp_path: Path) -> None:
    """Before, 90 requests with names of their own grew the answer of another from 356 bytes to 1.8 MB."""
    (tmp_path / "traffic.yaml").write_text(EMULATED)
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", str(tmp_path / "traffic.yaml"), "--sla", "600")
        for name in ("cars", "plates", "faces"):
            server = up.emulated(str(tmp_path / "traffic.yaml"), name, "only", "--factor", "0")
            up.listed[name] = [entry(0, server.url, "only")]
        put(gateway.urls["control_url"] + "/control/replicas", up.listed)
        for number in range(10):
            evil = [ask(f"evil-{number}-{each}-<script>")["inputs"][0] for each in range(50)]
            assert call("POST", gateway.url + "/v2/models/traffic/infer", {"inputs": evil})[0] == 200
        for _ in range(10):
            status, answer = call("POST", gateway.url + "/v2/models/traffic/infer", ask("own"))
            assert status == 200
            own = {f"{name}.own{suffix}" for name in ("plates", "faces") for suffix in ("", ".counts")}
            assert {output["name"] for output in answer["outputs"]} <= own
            assert len(json.dumps(answer)) < 1000
