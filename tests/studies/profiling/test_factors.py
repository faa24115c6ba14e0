"""Two ONNX detectors before two stages: what they put on the edges of a graph is counted on samples and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa import profiles
from ipa.live.profiling import persist_s_of
from ipa.profiles import Edge, Graph
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
    rows = [[0, 0, 0, 0], [1, 2, 3, 4], [0, 0, 1, 2], [0, 2, 2, 2]]
    np.savez("models/mine/detect/samples.npz", x=np.array(rows, np.float32))
    Path("mine.yaml").write_text(text())


RUN = ("profile", "run", "mine.yaml", "--models", "models", "--batches", "1", "--longest", 0.1, "--quiet")
CHECK = ("pipeline", "check", "mine.yaml", "--models", "models")


def graph_of(path: str) -> Graph:
    graph = profiles.load(path).graph
    assert graph is not None
    return graph


@pytest.mark.long
def test_numbers_of_items_and_shares_are_counted_on_samples_and_written() -> None:
    """Above 0 are 0, 4, 2 and 3 of the rows' numbers, above 1 are 0, 3, 1 and 3; in three the largest is below 2.5."""
    result = ipa(*RUN, "--stages", "detect", "--json")
    assert result.exit_code == 0, result.stderr
    cars, again = graph_of("mine.profiled.yaml").edges
    assert cars.counts == {"small": (0, 4, 2, 3), "large": (0, 3, 1, 3)}
    assert (cars.items_from, cars.source, cars.persist_s) == ("crops", "counted", 0.0)
    assert (again.share, again.source, str(again.when)) == (0.75, "counted", "score < 2.5")
    provenance = profiles.load("mine.profiled.yaml").provenance["counted"]
    assert provenance.kind == "measured"
    assert "detect/samples.npz; mine.profiled.measurements.jsonl" in provenance.text
    assert "        # rows are cars\n" in Path("mine.profiled.yaml").read_text()
    said = json.loads(result.stdout)["edges"][0]
    assert (said["to"], said["items"], said["persist_s"]) == ("cars", {"small": 2.25, "large": 1.75}, None)
    assert said["spread"]["small"] == pytest.approx(np.var([0, 4, 2, 3]) / 2.25)
    assert "how long numbers of items persist is not measured: --every says" in result.stderr
    assert ipa("simulate", "mine.profiled.yaml", "--trace", "constant:2:20").exit_code == 0


@pytest.mark.long
def test_where_one_variant_is_profiled_the_others_keep_their_items_and_its_own_are_not_counted_again() -> None:
    """The second time nothing is added to the measurements, and the file gets the same figures again."""
    in_place = (*RUN, "--stages", "detect", "--variant", "small", "--in-place")
    assert ipa(*in_place).exit_code == 0
    lines = Path("mine.measurements.jsonl").read_text()
    assert lines.count('"record": "numbers"') == 2
    again = ipa(*in_place)
    assert again.exit_code == 0, again.stderr
    assert Path("mine.measurements.jsonl").read_text() == lines
    edge = graph_of("mine.yaml").edges[0]
    assert edge.items == {"small": 2.25, "large": 2.5}
    assert edge.spread == pytest.approx(np.var([0, 4, 2, 3]) / 2.25, rel=1e-5)
    assert edge.source == "counted-2"


@pytest.mark.long
def test_persistence_is_written_where_samples_are_said_to_be_in_order_and_a_share_of_none_stays_as_it_was() -> None:
    """Sixty samples half a second apart: ten with one number above 0, ten with none, and so on; none is above 9."""
    Path("mine.yaml").write_text(text().replace("score < 2.5", "score > 9"))
    rows = np.zeros((60, 4), np.float32)
    rows[:, 0] = np.arange(60) // 10 % 2
    np.savez("models/mine/detect/samples.npz", x=rows)
    result = ipa(*RUN, "--stages", "detect", "--variant", "small", "--every", 0.5)
    assert result.exit_code == 0, result.stderr
    assert "--every" not in result.stderr
    assert "again after detect: no sample takes it: its share stays 0.5" in result.stderr
    cars, again = graph_of("mine.profiled.yaml").edges
    assert cars.items == {"small": 0.5, "large": 2.5}
    assert cars.persist_s == pytest.approx(persist_s_of(rows[:, 0].astype(int).tolist(), 0.5), rel=1e-5)
    assert cars.persist_s > 0.5
    assert again.share == 0.5


@pytest.mark.long
def test_without_samples_nothing_is_counted_and_that_is_said() -> None:
    Path("models/mine/detect/samples.npz").unlink()
    result = ipa(*RUN, "--stages", "detect", "--variant", "small")
    assert result.exit_code == 0, result.stderr
    said = "detect/small: how many items go on to cars, again is counted on samples alone: give --samples"
    assert f"Warning: {said}" in result.stderr.splitlines()
    assert graph_of("mine.profiled.yaml").edges == graph_of("mine.yaml").edges


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


# ---- single rules ----


@pytest.mark.parametrize("persist_s", [0.0, 3.0, 12.0])
def test_persistence_is_found_in_numbers_in_order(persist_s: float) -> None:
    """Poisson numbers of 10 items, half a second apart, of which the simulator draws ten thousand."""
    from ipa.sim.graph import draws

    arrivals_s = np.arange(10_000) / 2
    places = draws.latent_uniforms(3, 0, persist_s, arrivals_s)
    numbers = draws.numbers_of_items(Edge("a", "b", 10.0, spread=1.0), "any", places).tolist()
    assert persist_s_of(numbers, 0.5) == pytest.approx(persist_s, rel=0.2, abs=0.2)
    assert persist_s_of([2] * 50, 0.5) == 0.0
