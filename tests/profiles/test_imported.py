"""Graphs of other systems as pipeline files: what becomes of their nodes, and what cannot be said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ipa import profiles
from ipa.profiles import Edge, Graph, Imported, Join, Pipeline, ProfileError, from_kserve, from_triton

KSERVE = """\
apiVersion: v1
kind: ConfigMap
---
apiVersion: serving.kserve.io/v1alpha1
kind: InferenceGraph
metadata:
  name: Dog_Breeds
spec:
  timeout: 30
  nodes:
    root:
      routerType: Sequence
      steps:
      - serviceName: detect
      - nodeName: both
        data: $response
        condition: "predictions.#(label==dog)"
      - serviceName: merge
    both:
      routerType: Ensemble
      steps:
      - {serviceName: breed, name: Breed v1}
      - nodeName: trial
    trial:
      routerType: Splitter
      steps:
      - {serviceName: age, weight: 80}
      - {serviceUrl: "http://age-2.models:80/v1", weight: 20}
"""

TRITON = """\
name: "ensemble_image"  # three steps
platform: "ensemble"
max_batch_size: 8
input [ { name: "IMAGE" data_type: TYPE_UINT8 dims: [ -1 ] } ]
ensemble_scheduling {
  step [
    {
      model_name: "merge" model_version: -1
      input_map { key: "A" value: "features" }
      input_map { key: "B" value: "boxes" }
      input_map { key: "RAW" value: "IMAGE" }
      output_map { key: "OUT" value: "RESULT" }
    },
    { model_name: "resize" input_map { key: "IN" value: "IMAGE" } output_map { key: "OUT" value: "small" } },
    { model_name: "resnet" input_map { key: "X", value: "small" }, output_map { key: "Y", value: "features" } },
    { model_name: 'yolo' input_map: { key: "OUT" value: "small" } output_map { key: "Y" value: "boxes" } }
  ]
}
"""
FIGURES = "figures: [{cores: 1, batch: 1, mean_s: 1, p99_s: 1, throughput_rps: 1, from: not-measured}]"


def filled(found: Imported, folder: Path) -> Pipeline:
    """The pipeline once somebody has filled in its figures."""
    (folder / "filled.yaml").write_text(found.text.replace("figures: []", FIGURES))
    return profiles.load(folder / "filled.yaml")


def graph_of(pipeline: Pipeline) -> Graph:
    assert pipeline.graph is not None
    return pipeline.graph


def kserve(folder: Path, text: str = KSERVE) -> Imported:
    (folder / "graph.yaml").write_text(text)
    return from_kserve(folder / "graph.yaml")


def triton(folder: Path, text: str = TRITON) -> Imported:
    (folder / "config.pbtxt").write_text(text)
    return from_triton(folder / "config.pbtxt")


def edges(found: Imported, folder: Path) -> Sequence[tuple[str, str, float, str]]:
    return [(edge.parent, edge.child, edge.share, edge.switch) for edge in graph_of(filled(found, folder)).edges]


# ---- KServe ----


def test_nodes_of_an_inference_graph_become_edges_shares_and_a_join(tmp_path: Path) -> None:
    found = kserve(tmp_path)
    assert found.name == "dog-breeds"
    assert edges(found, tmp_path) == [
        ("detect", "both", 0.5, ""),
        ("both", "breed-v1", 1.0, ""),
        ("both", "age", 0.8, "trial"),
        ("both", "age-2", 0.2, "trial"),
        ("breed-v1", "merge", 1.0, ""),
        ("age", "merge", 1.0, ""),
        ("age-2", "merge", 1.0, ""),
    ]
    assert graph_of(filled(found, tmp_path)).joins == {"merge": Join("all")}


def test_what_an_inference_graph_says_and_a_file_cannot_is_named(tmp_path: Path) -> None:
    found = kserve(tmp_path)
    assert found.unsaid == (
        "root: condition 'predictions.#(label==dog)': give the share of the items that meet it",
        "both: stands for the router, which takes next to no time; figures near 0 will do",
        "spec.timeout: time limits: requests are dropped by age, see drop_limit_s",
    )
    assert "{stage: detect, share: 0.5}  # fill in: share" in found.text


def test_a_switch_in_a_switch_is_one_and_one_at_the_root_becomes_a_stage(tmp_path: Path) -> None:
    head, _, _ = KSERVE.partition("    root:")
    steps = """\
    root:
      routerType: Switch
      steps:
      - {serviceName: a, condition: x}
      - {nodeName: inner, condition: y}
    inner:
      routerType: Splitter
      steps:
      - {serviceName: b, weight: 1}
      - {serviceName: b, weight: 3}
"""
    found = kserve(tmp_path, head + steps)
    assert edges(found, tmp_path) == [
        ("root", "a", 0.5, "root"),
        ("root", "b", 0.125, "root"),
        ("root", "b-2", 0.375, "root"),
    ]


def test_a_sequence_of_services_is_a_chain(tmp_path: Path) -> None:
    head, _, _ = KSERVE.partition("    root:")
    found = kserve(tmp_path, head + "    root: {routerType: Sequence, steps: [{serviceName: a}, {serviceName: b}]}\n")
    chain = filled(found, tmp_path)
    assert (chain.graph, list(chain.by_name)) == (None, ["a", "b"])


def graph_with(*nodes: str) -> str:
    """An InferenceGraph with these nodes, of which `root` is one."""
    return KSERVE.partition("    root:")[0] + "".join(f"    {node}\n" for node in nodes)


def sequence(name: str, *steps: str) -> str:
    return f"{name}: {{routerType: Sequence, steps: [{', '.join(f'{{{step}}}' for step in steps)}]}}"


@pytest.mark.parametrize("other", ["# a licence\n", "a: &x 1\nb: *x\n", "- a\n", "%YAML 1.1\n"])
def test_other_documents_of_the_file_do_not_matter(tmp_path: Path, other: str) -> None:
    head, _, graph = KSERVE.partition("---\n")
    assert kserve(tmp_path, f"{head}---\n{other}---\n{graph}").text == kserve(tmp_path).text


def test_a_document_that_cannot_be_read_is_answered_where_none_is_a_graph(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"graph\.yaml:3: anchors with aliases"):
        kserve(tmp_path, "kind: Pod\n---\na: &x 1\nb: *x\n")


def test_names_that_yaml_reads_as_numbers_or_words_stay_names(tmp_path: Path) -> None:
    graph = graph_with(
        sequence("root", 'serviceUrl: "http://10.0.0.1:80"', "serviceName: 'null'", "serviceName: '1e5'")
    )
    found = kserve(tmp_path, graph.replace("Dog_Breeds", '"7"').replace("'null'", "'null', name: 😀"))
    assert found.name == "7"
    assert [stage.variants[0].name for stage in filled(found, tmp_path).stages] == ["10", "null", "1e5"]


def test_long_names_stay_apart(tmp_path: Path) -> None:
    long = "a" * 61 + "-bc"
    graph = graph_with(sequence("root", *[f"serviceName: {long}"] * 3))
    names = list(filled(kserve(tmp_path, graph), tmp_path).by_name)
    assert names == ["a" * 61 + "-b", "a" * 61 + "-2", "a" * 61 + "-3"]


def test_nodes_that_stand_for_too_many_stages_are_refused(tmp_path: Path) -> None:
    doubled = [sequence(f"n{i}", f"nodeName: n{i + 1}", f"nodeName: n{i + 1}") for i in range(60)]
    with pytest.raises(ProfileError, match=r"spec\.nodes: should call services at most 200 times in all"):
        kserve(tmp_path, graph_with(sequence("root", "nodeName: n0"), *doubled, sequence("n60", "serviceName: x")))
    chained = [sequence(f"n{i}", f"nodeName: n{i + 1}") for i in range(5000)]
    with pytest.raises(ProfileError, match=r"graph\.yaml:10: spec\.nodes: nodes call each other too deeply"):
        kserve(tmp_path, graph_with(sequence("root", "nodeName: n0"), *chained, sequence("n5000", "serviceName: x")))


def test_a_spec_that_is_no_mapping_is_answered_by_line(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"graph\.yaml:2: spec: should be a mapping"):
        kserve(tmp_path, "kind: InferenceGraph\nspec: [1]\n")


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        ("kind: InferenceGraph", "kind: InferenceService", "graph.yaml: has no InferenceGraph; kinds: ConfigMap"),
        ("nodeName: both", "nodeName: bth", "graph.yaml:15: spec.nodes.root.steps[1].nodeName: no node is called"),
        ("nodeName: trial", "nodeName: root", "spec.nodes.both.steps[1].nodeName: a circle: root -> both -> root"),
        ("routerType: Ensemble", "routerType: Ensembl", "graph.yaml:20: spec.nodes.both.routerType: should be"),
        (", weight: 80", "", "graph.yaml:27: spec.nodes.trial.steps[0]: a step of a Splitter should have a weight"),
        ("weight: 80", "weight: 0", "spec.nodes.trial.steps[0].weight: a step of a Splitter should have a weight, a"),
        ("weight: 80", "weight: true", "steps[0].weight: a step of a Splitter should have a weight, a whole number"),
        ("{serviceName: age, ", "{", "spec.nodes.trial.steps[0]: should have a serviceName, serviceUrl or nodeName"),
        ("    root:", "    rot:", "graph.yaml:10: spec.nodes: should have a node called 'root'"),
    ],
)
def test_what_is_no_inference_graph_is_answered_by_line(tmp_path: Path, old: str, new: str, answer: str) -> None:
    assert KSERVE.count(old) == 1
    with pytest.raises(ProfileError) as caught:
        kserve(tmp_path, KSERVE.replace(old, new))
    assert answer in str(caught.value)


# ---- Triton ----


def test_tensors_of_an_ensemble_say_what_is_after_what(tmp_path: Path) -> None:
    found = triton(tmp_path)
    made = filled(found, tmp_path)
    assert found.name == "ensemble-image"
    assert list(made.by_name) == ["resize", "resnet", "yolo", "merge"]
    assert set(graph_of(made).edges) == {
        Edge("resize", "resnet"),
        Edge("resize", "yolo"),
        Edge("resnet", "merge"),
        Edge("yolo", "merge"),
    }
    assert graph_of(made).joins == {"merge": Join("all")}
    assert (made.stage("resnet").inputs, made.stage("yolo").inputs) == ({"X": "OUT"}, {})


def test_what_an_ensemble_says_and_a_file_cannot_is_named(tmp_path: Path) -> None:
    nested = tmp_path / "yolo" / "config.pbtxt"
    nested.parent.mkdir()
    nested.write_text("ensemble_scheduling { step { model_name: 'x' } }")
    (tmp_path / "whole").mkdir()
    assert triton(tmp_path / "whole", TRITON + "dynamic_batching { }\n").unsaid == (
        "merge: takes the client's IMAGE beside what the stages before it give",
        "merge: which of its inputs comes from which stage",
        "dynamic_batching: policies choose batches and replicas",
        "yolo: is an ensemble itself: import config.pbtxt of yolo and put its stages here",
    )


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('platform: "onnxruntime_onnx"', "config.pbtxt: is no ensemble: it has no steps of ensemble_scheduling"),
        ("platform: []", "config.pbtxt: is no ensemble: it has no steps of ensemble_scheduling; platform: none"),
        ("ensemble_scheduling { step { model_name: [] } }", "config.pbtxt:1: step: model_name is missing"),
        ("a {" * 100_000, "config.pbtxt: nested too deeply"),
        ("ensemble_scheduling { step { } }", "config.pbtxt:1: step: model_name is missing"),
        ("ensemble_scheduling {\n step [", "config.pbtxt:2: ends in the middle of a message"),
        ("name: ]", "config.pbtxt:1: a value should be here, not ']'"),
        ("name: 'x'\n= 3", "config.pbtxt:2: not a text protobuf: '='"),
        ("ensemble_scheduling { step { model_name: 'a' input_map { key: 'x' } } }", "input_map: should have a key and"),
    ],
)
def test_what_is_no_ensemble_is_answered_by_line(tmp_path: Path, text: str, answer: str) -> None:
    with pytest.raises(ProfileError) as caught:
        triton(tmp_path, text)
    assert answer in str(caught.value)


def test_steps_in_a_circle_are_refused(tmp_path: Path) -> None:
    text = """ensemble_scheduling { step [
      { model_name: 'a' input_map { key: 'i' value: 'x' } output_map { key: 'o' value: 'y' } },
      { model_name: 'b' input_map { key: 'i' value: 'y' } output_map { key: 'o' value: 'x' } } ] }"""
    with pytest.raises(ProfileError, match=r"config\.pbtxt: stages\[a\].*a circle: b -> a -> b"):
        triton(tmp_path, text)


def test_a_tensor_that_two_steps_give_is_refused(tmp_path: Path) -> None:
    twice = TRITON.replace('{ key: "Y" value: "boxes" }', '{ key: "Y" value: "features" }')
    answer = r"config\.pbtxt:16: output_map: resnet gives the tensor 'features' already"
    with pytest.raises(ProfileError, match=answer):
        triton(tmp_path, twice)


def test_a_name_without_a_value_is_that_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    assert triton(tmp_path / "whole", TRITON.replace('name: "ensemble_image"', "name: []")).name == "whole"


def test_a_model_whose_name_is_no_file_name_is_a_stage(tmp_path: Path) -> None:
    long = "a" * 5000
    found = filled(triton(tmp_path, TRITON.replace('"resize"', f'"{long}"')), tmp_path)
    assert list(found.by_name) == ["a" * 63, "resnet", "yolo", "merge"]
