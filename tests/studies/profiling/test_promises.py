"""Two ONNX classifiers and a second stage: what a profile takes for granted of them is asked before it measures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa.live.profiling.promises import differences
from ipa.live.serving import of_array
from tests.command import ipa

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("elsewhere")

QUICK = ("--stages", "classify,rank", "--batches", "1,2,4", "--longest", 0.1, "--quiet")

Nodes = list[tuple[str, list[str], dict[str, Any]]]
SOUND: Nodes = [("MatMul", ["x", "weights"], {})]
CENTRED: Nodes = [  # each row minus the mean of all rows of the batch: alone 0
    ("MatMul", ["x", "weights"], {}),
    ("ReduceMean", ["0"], {"axes": [0], "keepdims": 1}),
    ("Sub", ["0", "1"], {}),
]
ONE_ROW: Nodes = [("MatMul", ["x", "weights"], {}), ("ReduceMean", ["0"], {"axes": [0], "keepdims": 1})]
LABELS: Nodes = [*CENTRED, ("ArgMax", ["2"], {"axis": 1, "keepdims": 1})]


def model(
    path: Path, nodes: Nodes, *, takes: int = 3, gives: int = 7, rows: object = "rows", of: str = "FLOAT"
) -> None:
    """An ONNX file of a chain of nodes on x: rows x takes, with random weights to rows x gives; its output is y."""
    path.mkdir(parents=True, exist_ok=True)
    helper, kind = onnx.helper, onnx.TensorProto
    made = [
        helper.make_node(operator, inputs, ["y" if n == len(nodes) - 1 else str(n)], **given)
        for n, (operator, inputs, given) in enumerate(nodes)
    ]
    weights = np.random.default_rng(1).normal(size=(takes, gives)).astype(np.float32)
    graph = helper.make_graph(
        made,
        "classifier",
        [helper.make_tensor_value_info("x", kind.FLOAT, [rows, takes])],
        [helper.make_tensor_value_info("y", getattr(kind, of), [rows, None])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path / "model.onnx")


@pytest.fixture
def models() -> Path:
    """Classifiers of seven classes, and a second stage that takes seven; its input is called x as well."""
    for name in ("small", "large"):
        model(Path("models/mine/classify", name), SOUND)
    model(Path("models/mine/rank/only"), SOUND, takes=7, gives=1)
    return Path("models/mine")


def refused(models: Path, *options: object) -> str:
    """What `ipa profile run` says; nothing has been measured."""
    result = ipa("profile", "run", models, *QUICK, *options)
    assert (result.exit_code, result.stdout) == (2, ""), result.stderr
    assert not list(Path().glob("*.yaml"))
    assert not list(Path().glob("*.jsonl"))
    return result.stderr.partition("Error: ")[2]


@pytest.mark.long
def test_sound_models_are_profiled_and_their_file_is_checked_with_them(models: Path) -> None:
    result = ipa("profile", "run", models, *QUICK, "--batches", "1,2", "--json")
    assert result.exit_code == 0, result.stderr
    said = "rank/only takes 'x', and classify/small gives 'y': its stage needs inputs: {x: y} in the pipeline file"
    assert f"Warning: {said}" in result.stderr.splitlines()
    assert [each["variant"] for each in json.loads(result.stdout)["variants"]] == ["large", "small", "only"]
    file = Path("mine.yaml")
    undeclared = ipa("pipeline", "check", file, "--models", "models")
    assert undeclared.exit_code == 2
    assert "rank/only does not take what classify/large gives: inputs y; the model takes x" in undeclared.stderr
    file.write_text(file.read_text().replace("    task: rank\n", "    task: rank\n    inputs: {x: y}\n"))
    assert ipa("pipeline", "check", file, "--models", "models").exit_code == 0
    model(models / "classify/small", CENTRED)
    result = ipa("pipeline", "check", file, "--models", models)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "classify/small: in a batch of 2" in result.stderr
    (models / "classify/large/model.onnx").unlink()
    absent = ipa("pipeline", "check", file, "--models", models)
    assert "mine/classify/large: should hold model.onnx, model.py or model.gguf" in absent.stderr


@pytest.mark.long
def test_a_model_with_a_fixed_batch_is_refused_with_what_it_takes(models: Path) -> None:
    model(models / "classify/small", SOUND, rows=1)
    said = refused(models)
    assert said.startswith("classify/small: serves a request, but not 2 in a batch: ")
    assert (
        "input 'x': shape [2, 3]; the model takes [1, 3]; export it with an open first axis, or give --batches 1"
        in said
    )


@pytest.mark.long
def test_an_output_that_the_next_stage_does_not_take_is_refused(models: Path) -> None:
    model(models / "rank/only", SOUND, takes=10, gives=1)
    assert refused(models).strip() == (
        "rank/only does not take what classify/large gives: input 'x': shape [1, 7]; the model takes [-1, 10]"
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        (ONE_ROW, "in a batch of 2, the output 'y' is of shape [1, 7], alone [1, 7]"),
        (CENTRED, "in a batch of 2, the output 'y' has "),
    ],
)
def test_a_model_whose_rows_influence_each_other_is_refused(models: Path, nodes: Nodes, text: str) -> None:
    model(models / "classify/small", nodes)
    alone = ("--stages", "classify", "--variant", "small")
    said = refused(models, *alone)
    assert said.startswith(f"classify/small: {text}")
    assert "requests that share a batch would get wrong answers; give --batches 1" in said
    assert ipa("profile", "run", models, *QUICK, *alone, "--batches", "1").exit_code == 0


@pytest.mark.long
def test_labels_that_change_in_a_batch_are_warned_of(models: Path) -> None:
    """Alone all scores are 0 and the first class wins. Rounding may change a label too, so it is not certain."""
    model(models / "classify/small", LABELS, of="INT64")
    result = ipa("profile", "run", models, *QUICK[2:], "--stages", "classify", "--variant", "small")
    assert result.exit_code == 0
    said = "Warning: classify/small: in a batch of 2, the output 'y' is another than for requests alone"
    assert said in result.stderr.splitlines()


def test_what_rounding_makes_of_a_batch_is_no_difference_and_a_coarse_model_s_is_said() -> None:
    """Rows of 1 and 2: 0.05 % off is rounding, 1 % is told, 10 % is wrong."""
    alone = [[of_array("y", np.array([[value]], dtype=np.float32))] for value in (1.0, 2.0)]

    def found(second: float) -> list[bool]:
        together = [of_array("y", np.array([[1.0], [second]], dtype=np.float32))]
        return [is_wrong for is_wrong, _ in differences(together, alone)]

    assert [found(second) for second in (2.001, 2.02, 2.2, float("nan"))] == [[], [False], [True], [True]]
