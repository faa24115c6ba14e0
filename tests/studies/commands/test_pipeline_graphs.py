"""`ipa pipeline check` and `ipa pipeline show` of a graph, and pipeline files from other systems' graphs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.command import answer, ipa
from tests.profiles.test_graph_file import HEAD, TREE, stage

needs_plotly = pytest.mark.skipif(find_spec("plotly") is None, reason="a page is drawn with plotly")


@pytest.fixture
def tree(here: Path) -> Path:
    (here / "tree.yaml").write_text(TREE)
    return here / "tree.yaml"


def test_check_shows_edges_joins_and_ways(tree: Path) -> None:
    result = ipa("pipeline", "check", tree.name)
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    for text in (
        "traffic: SLA 3.75 + 0.5 + 0.5 + 0.5 = 5.25 s",
        "detect (entry) 1",
        "cars detect 2 to 5 by variant, spread 0.5, persisting 1 s 2 (low), 5 (high)",
        "faces detect 0.6 0.6",
        "check cars 1, for 75 % 1.5 (low), 3.75 (high)",
        "merge check 1 all 1",
        "detect → cars → check → merge 0.16",
        "detect → faces → merge 0.14",
        "Accuracy: assumed: the product along each way.",
    ):
        assert text in said


def test_what_a_graph_can_do_counts_its_items(tree: Path) -> None:
    """A replica serves 1 rps on one core; at 20 rps with a margin of 20 %, replicas are 24 x the items per request."""
    low, high = answer("pipeline", "check", tree.name, "--json")["scale_only"]
    assert (low["cores"], high["cores"]) == (24 + 48 + 15 + 36 + 24, 24 + 120 + 15 + 90 + 24)
    assert (low["most_rps"], high["most_rps"]) == (pytest.approx(100 / 2 / 1.2), pytest.approx(100 / 5 / 1.2))
    assert low["pas"] == pytest.approx(100 * 0.5 * (0.9**3 + 0.9**2) / 2)


def test_a_variant_is_held_against_the_ways_that_lead_through_its_stage(here: Path) -> None:
    """On each way the fastest variants take 0.12 s of an SLA of 0.131 s, at all stages together 0.14 s."""
    quick = "    sla: {pinned_s: 0.021, why: x}\n"
    stages = (
        stage("detect", "    sla: {pinned_s: 0.11, why: x}\n", "nano 0.5 0.1"),
        stage("cars", f"{quick}    after: [detect]\n"),
        stage("faces", f"{quick}    after: [detect]\n"),
    )
    (here / "tree.yaml").write_text(HEAD + "stages:\n" + "".join(stages) + "accuracy: {combine: product}\n")
    assert "never keeps" not in ipa("pipeline", "check", "tree.yaml").stderr


def test_what_a_join_waits_is_held_against_the_sla(tree: Path) -> None:
    waiting = tree.read_text().replace("join: all", "join: {wait_s: 2}")
    tree.write_text(waiting + "sla_s: 2.1\n")
    result = ipa("pipeline", "check", tree.name)
    assert "detect → cars → check → merge 2.16" in " ".join(result.stdout.split())
    said = "merge: only never keeps the SLA of 2.1 s: its p99 at batch 1 is 0.02 s and the fastest at the other stages"
    assert f"Warning: {said} and joins 2.14 s" in result.stderr


def test_a_spread_that_few_items_cannot_have_is_said(tree: Path) -> None:
    """One or two items, 1.1 in the mean: of two trials with chance 0.55 the variance is 0.45 of the mean."""
    assert "spread of" not in ipa("pipeline", "check", tree.name).stderr
    few = tree.read_text().replace("items: 0.6}", "items: 1.1, spread: 0.2}")
    tree.write_text(few)
    result = ipa("pipeline", "check", tree.name)
    assert "faces detect 1.1, spread 0.2 (in fact 0.45)" in " ".join(result.stdout.split())
    assert "Warning: detect → faces: the number of items has a spread of 0.45, not 0.2: so few items" in result.stderr


def test_several_entries_are_named(tree: Path) -> None:
    assert "enters at" not in ipa("pipeline", "check", tree.name).stderr
    tree.write_text(tree.read_text().replace("    after: [{stage: detect, items: 0.6}]\n", ""))
    said = "Warning: each request enters at detect, faces, as these say no stage that they are `after`"
    assert said in ipa("pipeline", "check", tree.name).stderr


def test_a_graph_as_json(tree: Path) -> None:
    for command in ("pipeline check", "pipeline show"):
        graph = answer(*command.split(), tree.name, "--json")["graph"]
        assert [(edge["parent"], edge["child"]) for edge in graph["edges"]][:2] == [
            ("detect", "cars"),
            ("detect", "faces"),
        ]
        assert graph["joins"] == {"merge": {"kind": "all", "wait_s": 0.0}}
        assert graph["ways"][0] == {"stages": ["detect", "cars", "check", "merge"], "fastest_s": pytest.approx(0.16)}
        assert graph["items_per_request"]["high"]["check"] == 3.75
        assert graph["accuracy"] == "assumed: the product along each way"
    assert "graph" not in answer("pipeline", "check", "video", "--json")


@needs_plotly
def test_show_tells_of_a_graph_beneath_its_tables_and_on_its_page(tree: Path) -> None:
    said = " ".join(ipa("pipeline", "show", tree.name, "--to", "tree.html").stdout.split())
    for text in (
        "detect → cars 2 to 5 by variant",
        "join at merge all",
        "accuracy assumed: the product along each way",
    ):
        assert text in said
    assert "detect → cars" in (tree.parent / "tree.html").read_text()


@needs_plotly
def test_the_page_of_a_graph_draws_it(tree: Path) -> None:
    ipa("pipeline", "show", tree.name, "--to", "shown.html")
    assert "plot-graph-low" in (tree.parent / "shown.html").read_text()
