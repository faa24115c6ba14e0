"""`ipa optimise`: one decision, explained."""

from __future__ import annotations

from tests.command import answer, ipa


def test_one_decision_is_explained() -> None:
    """Within the published limits a load of 20 rps takes two yolov5n: one serves 12.7 rps at batch 1."""
    explained = answer("optimise", "video", "--load", 20, "--json")
    assert explained["configuration"]["object-detection"]["variant"] == "yolov5n"
    assert explained["configuration"]["object-detection"]["replicas"] == 2
    assert explained["feasible"] is True
    assert "Chosen (optimal): object-detection: 2 x yolov5n" in ipa("optimise", "video", "--load", 20).stdout
    dear = answer("optimise", "video", "--load", 20, "--policy", "scale-only:high", "--set", "policy.beta=9", "--json")
    assert dear["configuration"]["object-detection"]["variant"] == "yolov5s"
