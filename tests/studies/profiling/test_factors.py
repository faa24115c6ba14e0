"""ONNX detectors before two stages: the outputs that edges of a graph name are checked before anything is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command import ipa

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
VARIANT = """\
      - name: {name}
        accuracy: {{value: {accuracy}, from: guess}}
        figures:
          - {{cores: 1, batch: 1, mean_s: 0.1, p99_s: 0.1, throughput_rps: 10, from: guess}}
"""
FILE = """\
schema_version: 1
kind: pipeline
name: mine
description: A detector before two stages.
provenance:
  guess: {kind: assumed, why: for a test}
stages:
  - name: detect
    task: finds what is above a threshold
    accuracy_metric: share
    output_rows: {crops: found}
    variants:
SMALL_AND_LARGE
  - name: cars
    task: looks at each
    accuracy_metric: share
    inputs: {crops: crops}
    after:
      - stage: detect
        items: 2.5  # a guess
        spread: 0.5
        # rows are cars
        items_from: crops
    variants:
ONLY
  - name: again
    task: looks once more
    accuracy_metric: share
    inputs: {x: again}
    after: [{stage: detect, share: 0.5, when: score < 2.5}]
    variants:
ONLY
accuracy: {combine: product}
"""


def text() -> str:
    found = FILE.replace(
        "SMALL_AND_LARGE\n", VARIANT.format(name="small", accuracy=0.5) + VARIANT.format(name="large", accuracy=0.8)
    )
    return found.replace("ONLY\n", VARIANT.format(name="only", accuracy=0.9))


def detector(path: Path, threshold: float) -> None:
    """Of the numbers in each row of x: `crops`, those above the threshold; `found`, how many; `score`, the largest."""
    path.mkdir(parents=True)
    helper, kind = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Greater", ["x", "threshold"], ["above"]),
        helper.make_node("NonZero", ["above"], ["places"]),
        helper.make_node("Transpose", ["places"], ["at"]),
        helper.make_node("GatherND", ["x", "at"], ["crops"]),
        helper.make_node("Cast", ["above"], ["ones"], to=kind.INT64),
        helper.make_node("ReduceSum", ["ones", "axes"], ["found"], keepdims=0),
        helper.make_node("ReduceMax", ["x"], ["score"], axes=[1], keepdims=0),
        helper.make_node("Identity", ["x"], ["again"]),
    ]
    outputs = [("crops", kind.FLOAT, ["n"]), ("found", kind.INT64, ["rows"]), ("score", kind.FLOAT, ["rows"])]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("x", kind.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info(*each) for each in (*outputs, ("again", kind.FLOAT, ["rows", 4]))],
        [
            onnx.numpy_helper.from_array(np.array(threshold, np.float32), "threshold"),
            onnx.numpy_helper.from_array(np.array([1], np.int64), "axes"),
        ],
    )
    save(graph, path)


def same(path: Path, name: str, shape: list[Any]) -> None:
    """Gives what it takes."""
    path.mkdir(parents=True)
    helper, kind = onnx.helper, onnx.TensorProto
    ends = [helper.make_tensor_value_info(each, kind.FLOAT, shape) for each in (name, "y")]
    save(helper.make_graph([helper.make_node("Identity", [name], ["y"])], "same", ends[:1], ends[1:]), path)


def save(graph: Any, path: Path) -> None:
    opset = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path / "model.onnx")


@pytest.fixture(autouse=True)
def made(elsewhere: Path) -> None:
    """A file and its models; `small` finds what is above 0, `large` what is above 1."""
    detector(Path("models/mine/detect/small"), 0.0)
    detector(Path("models/mine/detect/large"), 1.0)
    same(Path("models/mine/cars/only"), "crops", ["n"])
    same(Path("models/mine/again/only"), "x", ["rows", 4])
    np.savez("models/mine/detect/samples.npz", x=np.zeros((4, 4), np.float32))
    Path("mine.yaml").write_text(text())


RUN = ("profile", "run", "mine.yaml", "--models", "models", "--batches", "1", "--longest", 0.1, "--quiet")
CHECK = ("pipeline", "check", "mine.yaml", "--models", "models")


@pytest.mark.parametrize(
    ("command", "old", "new", "answer"),
    [
        (RUN, "items_from: crops", "items_from: boxes", "no output 'boxes', whose rows are the items of 'cars' by"),
        (CHECK, "items_from: crops", "items_from: boxes", "no output 'boxes', whose rows are the items of 'cars' by"),
        (CHECK, "score < 2.5", "scores < 2.5", "no output 'scores', which `when: scores < 2.5` asks for; outputs:"),
        (CHECK, "score < 2.5", "again < 2.5", "output 'again' has 4 values; `when: again < 2.5` asks for one of each"),
        (CHECK, "score < 2.5", 'score == "car"', "output 'score' is FP32; `when: score == \"car\"` compares another"),
    ],
)
def test_an_output_that_an_edge_cannot_read_is_one_clear_error(
    command: tuple[object, ...], old: str, new: str, answer: str
) -> None:
    Path("mine.yaml").write_text(text().replace(old, new))
    result = ipa(*command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"mine.yaml: detect/small: {answer}" in result.stderr
    assert not list(Path().glob("*.jsonl"))
