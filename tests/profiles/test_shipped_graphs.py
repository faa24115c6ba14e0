"""The shipped graphs: published numbers stand as published, and every other one follows the law that it names."""

from __future__ import annotations

import math

import pytest

from ipa import profiles
from ipa.profiles import Edge, Figure, Graph, Pipeline

DETECTORS = {
    "yolov5n": (0.552, 0.0087, 0.080, 1.985, 0.599),
    "yolov5s": (0.738, 0.0131, 0.0999, 5.09, 0.372),
    "yolov5m": (0.895, 0.0186, 0.136, 13.77, 0.604),
    "yolov5l": (0.967, 0.0266, 0.187, 17.46, 0.746),
    "yolov5x": (1.0, 0.0406, 0.291, 17.82, 1.077),
}
"""Accuracy, latency at batch 1 and 8 [s], cars and faces per frame."""


def graph_of(pipeline: Pipeline) -> Graph:
    assert pipeline.graph is not None
    return pipeline.graph


def figures(pipeline: str, stage: str, variant: str) -> dict[int, Figure]:
    return {each.batch: each for each in profiles.load(pipeline).stage(stage).variant(variant).figures}


def close(value: float) -> object:
    """To the four digits of the files, rounded down where a law says at most."""
    return pytest.approx(value, rel=1e-3)


def test_traffic_has_the_published_detectors_and_what_each_of_them_finds() -> None:
    traffic = profiles.load("traffic")
    cars, faces = graph_of(traffic).edges
    assert (cars.parent, cars.child, faces.child, traffic.sla_s) == ("detection", "cars", "faces", 0.25)
    for name, (accuracy, first_s, eighth_s, of_cars, of_faces) in DETECTORS.items():
        rows = figures("traffic", "detection", name)
        assert traffic.stage("detection").variant(name).accuracy == accuracy
        assert (rows[1].mean_s, rows[8].mean_s) == (first_s, eighth_s)
        assert (cars.mean(name), faces.mean(name)) == (of_cars, of_faces)
        assert traffic.provenance[rows[1].mean_from].kind == "measured"


def test_the_classifiers_of_traffic_are_published_or_follow_their_laws() -> None:
    first_s, eighth_s = (0.0039, 0.0118), (0.0105, 0.0287)  # of efficientnet-b0 and -b6
    for kind in (0, 2, 4, 7):
        rows = figures("traffic", "cars", f"efficientnet-b{kind}")
        for batch, (least_s, most_s) in ((1, first_s), (8, eighth_s)):
            assert rows[batch].mean_s == close(least_s * (most_s / least_s) ** (kind / 6))
            assert rows[batch].mean_from == ("latency" if kind == 0 else "size")
    for layers in (11, 16, 19):
        rows = figures("traffic", "faces", f"gendernet-{layers}")
        assert (rows[1].mean_s, rows[8].mean_s) == (close(0.0045 * layers / 16), close(0.0198 * layers / 16))
        assert rows[1].mean_from == ("latency" if layers == 16 else "layers")


def test_other_figures_of_traffic_follow_their_laws() -> None:
    for stage in profiles.load("traffic").stages:
        for variant in stage.variants:
            rows = {each.batch: each for each in variant.figures}
            slope_s = (rows[8].mean_s - rows[1].mean_s) / 7
            for batch in (2, 4):
                assert rows[batch].mean_s == close(rows[1].mean_s + slope_s * (batch - 1))
            for row in rows.values():
                assert (row.p99_s, row.p99_from) == (close(1.2 * row.mean_s), "tail")
                assert (row.throughput_rps, row.throughput_from) == (close(row.batch / row.mean_s), "served")


def test_the_cascade_has_inferlines_figures_and_shares() -> None:
    """618, 453 and 199 images came to the three stages."""
    cascade = profiles.load("cascade")
    edges = (
        Edge("small", "medium", share=0.733, source="shares"),
        Edge("medium", "large", share=0.439, source="shares"),
    )
    assert graph_of(cascade).edges == edges
    assert [close(edge.share) for edge in edges] == [453 / 618, 199 / 453]
    assert cascade.sla_s == 0.5
    published = {
        ("small", "alexnet"): {1: (0.015, 99), 6: (0.051, 154)},
        ("large", "resnet152"): {1: (0.040, 29), 4: (0.108, 55)},
    }
    for names, of_batches in published.items():
        rows = figures("cascade", *names)
        for batch, (p99_s, rps) in of_batches.items():
            assert (rows[batch].p99_s, rows[batch].throughput_rps) == (p99_s, rps)
            assert rows[batch].mean_s == close(batch / rps)
        (first, last) = (rows[batch] for batch in of_batches)
        for row in rows.values():
            along = (row.batch - 1) / (last.batch - 1)
            assert row.mean_s == close(first.mean_s + along * (last.mean_s - first.mean_s))
            assert row.p99_s == close(first.p99_s + along * (last.p99_s - first.p99_s))


@pytest.mark.parametrize(
    ("pipeline", "stage", "variant", "factor"),
    [
        ("cascade", "medium", "resnet50", 0.36),
        ("image", "resnet", "resnet-152", 1.0),
        ("image", "inception", "inception-v3", 0.5),
    ],
)
def test_networks_without_figures_are_assumed_in_proportion(
    pipeline: str, stage: str, variant: str, factor: float
) -> None:
    whole = figures("cascade", "large", "resnet152")
    provenance = profiles.load(pipeline).provenance
    for batch, row in figures(pipeline, stage, variant).items():
        assert (row.mean_s, row.p99_s) == (close(factor * whole[batch].mean_s), close(factor * whole[batch].p99_s))
        assert {provenance[row.mean_from].kind, provenance[row.p99_from].kind} == {"assumed"}


def test_the_classifiers_of_image_are_published_or_assumed() -> None:
    assert list(graph_of(profiles.load("image")).edges) == [
        Edge("resnet", "kernel-svm"),
        Edge("inception", "logistic-regression"),
    ]
    svm = figures("image", "kernel-svm", "kernel-svm")
    linear = figures("image", "logistic-regression", "logistic-regression")
    assert (svm[1].p99_s, svm[1].throughput_rps, svm[1].mean_s) == (0.053, 88, close(1 / 88))
    for batch in (1, 2, 4):
        assert (svm[batch].mean_s, svm[batch].p99_s) == (close(batch / 88), close(batch * 0.053))
        assert (linear[batch].mean_s, linear[batch].p99_s) == (close(batch / 880), close(batch * 0.0053))


@pytest.mark.parametrize("name", ["traffic", "cascade", "image"])
def test_what_a_stage_sustains_is_published_or_batch_over_mean(name: str) -> None:
    for stage in profiles.load(name).stages:
        for row in (row for variant in stage.variants for row in variant.figures):
            assert row.throughput_rps <= row.batch / row.mean_s
            assert math.isclose(row.throughput_rps, row.batch / row.mean_s, rel_tol=1e-3)
