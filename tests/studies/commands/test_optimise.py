"""`ipa optimise`: one decision, explained."""

from __future__ import annotations

import pytest

from tests.command import answer, ipa, is_refused


def test_one_decision_is_explained() -> None:
    """Within the published limits a load of 20 rps takes two yolov5n: one serves 12.7 rps at batch 1."""
    explained = answer("optimise", "video", "--load", 20, "--json")
    assert explained["configuration"]["object-detection"]["variant"] == "yolov5n"
    assert explained["configuration"]["object-detection"]["replicas"] == 2
    assert explained["feasible"] is True
    assert "Chosen (optimal): object-detection: 2 x yolov5n" in ipa("optimise", "video", "--load", 20).stdout
    dear = answer("optimise", "video", "--load", 20, "--policy", "scale-only:high", "--set", "policy.beta=9", "--json")
    assert dear["configuration"]["object-detection"]["variant"] == "yolov5s"


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        ("optimise vidoe --load 20", ["did you mean 'video'"]),
        ("optimise video --load nan", ["--load nan"]),
        ("optimise video --load inf", ["--load inf"]),
        ("optimise video --load -1", ["--load -1"]),
        ("optimise video --load x", ["--load", "'x'"]),
        ("optimise video", ["--load"]),
        ("optimise video --load 20 --policy static", ["static", "ipa, oracle, scale-only, switch-only"]),
    ],
)
def test_a_decision_that_cannot_be_explained_is_refused(command: str, texts: list[str]) -> None:
    is_refused(command, texts)
