"""The graph of a pipeline file: what it may say, what of it is a chain after all, and mistakes answered by line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipa import profiles
from ipa.profiles import Condition, Join, Pipeline, ProfileError, profiled_text

HEAD = """\
schema_version: 1
kind: pipeline
name: traffic
description: cars and faces
provenance:
  bench: {kind: measured, source: a bench}
"""
VARIANT = """\
      - name: NAME
        accuracy: {value: ACCURACY, from: bench}
        figures:
          - {cores: 1, batch: 1, mean_s: SECONDS, p99_s: SECONDS, throughput_rps: 1, from: bench}
"""


def stage(name: str, keys: str, *variants: str) -> str:
    """A stage with these variants, each as `name accuracy seconds`."""
    text = f"  - name: {name}\n    task: t\n    accuracy_metric: m\n{keys}    variants:\n"
    for each in variants or ("only 0.9 0.02",):
        called, accuracy, seconds = each.split()
        text += VARIANT.replace("NAME", called).replace("ACCURACY", accuracy).replace("SECONDS", seconds)
    return text


DETECT = ("nano 0.5 0.1", "small 0.8 0.2")
ITEMS = "items: {nano: 2, small: 5}, spread: 0.5, persist_s: 1"
TREE = (
    HEAD
    + "stages:\n"
    + stage("detect", "    after: []\n", *DETECT)
    + stage("cars", f"    after: [{{stage: detect, {ITEMS}, from: bench}}]\n")
    + stage("faces", "    after: [{stage: detect, items: 0.6}]\n")
    + stage("check", "    after:\n    - {stage: cars, share: 0.75}\n")
    + stage("merge", "    after: [check, faces]\n    join: all\n")
    + "accuracy: {exits: {merge: 1}, combine: product}\n"
)


def loaded(folder: Path, text: str) -> Pipeline:
    (folder / "traffic.yaml").write_text(text)
    return profiles.load(folder / "traffic.yaml")


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ProfileError) as caught:
        loaded(folder, text)
    return str(caught.value).replace(f"{folder}{os.sep}", "")


def changed(old: str, new: str) -> str:
    assert TREE.count(old) == 1
    return TREE.replace(old, new)


# ---- what a file says ----


def test_a_file_says_edges_with_factors_shares_and_joins(tmp_path: Path) -> None:
    tree = loaded(tmp_path, TREE)
    graph = tree.graph
    assert graph is not None
    assert [(edge.parent, edge.child) for edge in graph.edges] == [
        ("detect", "cars"),
        ("detect", "faces"),
        ("cars", "check"),
        ("check", "merge"),
        ("faces", "merge"),
    ]
    cars, faces, check, *_ = graph.edges
    assert (cars.items, cars.spread, cars.persist_s, cars.source) == ({"nano": 2.0, "small": 5.0}, 0.5, 1.0, "bench")
    assert (faces.items, check.share) == (0.6, 0.75)
    assert graph.joins == {"merge": Join("all")}
    assert (graph.exits, graph.assumes_product) == ({"merge": 1}, True)


def test_an_edge_says_which_output_its_items_are_and_when_they_take_it(tmp_path: Path) -> None:
    asked = changed(
        "{stage: detect, items: 0.6}", "{stage: detect, items: 0.6, items_from: boxes, when: 'face >= 0.5'}"
    )
    asked = asked.replace("share: 0.75", "share: 0.75, when: 'kind == \"car\"'")
    graph = loaded(tmp_path, asked).graph
    assert graph is not None
    _, faces, check, *others = graph.edges
    assert (faces.items_from, faces.when) == ("boxes", Condition("face", ">=", 0.5))
    assert (check.items_from, check.when, check.share) == ("", Condition("kind", "==", "car"), 0.75)
    assert {(edge.items_from, edge.when) for edge in others} == {("", None)}


def test_an_edge_with_a_condition_or_items_of_an_output_makes_no_chain(tmp_path: Path) -> None:
    for keys in ("when: small == true", "items_from: boxes"):
        text = HEAD + "stages:\n" + stage("a", "") + stage("b", f"    after: [{{stage: a, {keys}}}]\n")
        assert loaded(tmp_path, text + "accuracy: {combine: product}\n").graph is not None


def test_of_a_switch_the_last_edge_alone_may_take_the_rest(tmp_path: Path) -> None:
    def switch(first: str, second: str) -> str:
        cars = f"    after: [{{stage: detect, share: 0.25, switch: way{first}}}]\n"
        faces = f"    after: [{{stage: detect, share: 0.75, switch: way{second}}}]\n"
        stages = stage("detect", "", *DETECT) + stage("cars", cars) + stage("faces", faces)
        return HEAD + "stages:\n" + stages + "accuracy: {combine: product}\n"

    assert loaded(tmp_path, switch(", when: x < 1", "")).graph is not None
    assert loaded(tmp_path, switch(", when: x < 1", ", when: x >= 1")).graph is not None
    assert "the last one alone may have no `when`" in refusal(tmp_path, switch("", ", when: x >= 1"))


def test_a_condition_holds_of_a_value_of_its_own_kind() -> None:
    for comparison, held in {"<": "a", "<=": "ab", ">": "c", ">=": "bc", "==": "b", "!=": "ac"}.items():
        condition = Condition("x", comparison, 0.5)
        assert [name for name, value in zip("abc", (0.25, 0.5, 0.75), strict=True) if condition.holds(value)] == [*held]
    assert Condition("x", "==", "car").holds("car")
    assert not Condition("x", "==", "car").holds("cat")
    with pytest.raises(TypeError):
        Condition("x", "==", "1").holds(1.0)


def test_the_sla_is_the_longest_ways_unless_the_file_says_it(tmp_path: Path) -> None:
    """25 x the mean p99: detect 3.75 s, each of the others 0.5 s; three of these on the longest way."""
    assert loaded(tmp_path, TREE).sla_s == 3.75 + 3 * 0.5
    short = loaded(tmp_path, TREE + "sla_s: 0.525\n")
    assert short.sla_s == 0.525
    assert {name: round(each.sla_s, 9) for name, each in short.by_name.items()} == {
        "detect": 0.375,
        "cars": 0.05,
        "faces": 0.05,
        "check": 0.05,
        "merge": 0.05,
    }
    assert short.stage("cars").sla_why == "its share of the pipeline's, sla_s: 0.525"


def test_a_chain_has_an_sla_of_its_own_too(tmp_path: Path) -> None:
    chain = loaded(tmp_path, HEAD + "sla_s: 1\nstages:\n" + stage("a", "") + stage("b", ""))
    assert chain.graph is None
    assert [each.sla_s for each in chain.stages] == [0.5, 0.5]


def test_stages_are_put_after_those_that_lead_to_them(tmp_path: Path) -> None:
    text = HEAD + "stages:\n" + stage("b", "    after: [a]\n") + stage("a", "") + stage("c", "    after: [a]\n")
    assert list(loaded(tmp_path, text + "accuracy: {combine: product}\n").by_name) == ["a", "b", "c"]


def test_what_says_no_more_than_a_chain_is_one(tmp_path: Path) -> None:
    plain = loaded(tmp_path, HEAD + "stages:\n" + stage("a", "", *DETECT) + stage("b", "") + stage("c", ""))
    said = stage("a", "", *DETECT) + stage("c", "    after: [b]\n")
    same = loaded(
        tmp_path, HEAD + "stages:\n" + said + stage("b", "    after: [{stage: a, items: {nano: 1, small: 1}}]\n")
    )
    assert same == plain
    assert same.graph is None
    assert same.provenance == plain.provenance


def test_numbers_of_items_may_be_measured(tmp_path: Path) -> None:
    (tmp_path / "cars.csv").write_text("small,nano\n4,2\n6,\n0,1\n")
    text = changed(f"{ITEMS}, from: bench", "counts: cars.csv")
    edge = loaded(tmp_path, text).graph.edges[0]  # type: ignore[union-attr]
    assert edge.counts == {"small": (4, 6, 0), "nano": (2, 1)}
    assert (edge.mean("small"), edge.mean("nano")) == (10 / 3, 1.5)


def test_the_text_of_a_file_stands_without_the_files_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "cars.csv").write_text("small,nano\n4,2\n")
    tree = loaded(tmp_path, changed(f"{ITEMS}, from: bench", "counts: cars.csv"))
    alone = tmp_path / "alone.yaml"
    alone.write_text(profiles.text(tmp_path / "traffic.yaml"))
    (tmp_path / "cars.csv").unlink()
    assert 'counts: {"small": [4], "nano": [2]}' in alone.read_text()
    assert profiles.load(alone) == tree


def test_accuracies_of_combinations_go_by_the_names_of_stages(tmp_path: Path) -> None:
    rows = "    - {variants: {detect: small, cars: only}, value: 0.7}\n    - {variants: {detect: nano}, value: 0.4}\n"
    text = changed(
        "accuracy: {exits: {merge: 1}, combine: product}\n", f"accuracy:\n    from: bench\n    combinations:\n{rows}"
    )
    tree = loaded(tmp_path, text)
    ones = ["only"] * 4
    assert (tree.accuracy_of(["small", *ones]), tree.accuracy_of(["nano", *ones])) == (0.7, 0.4)
    assert tree.graph.accuracies_from == "bench"  # type: ignore[union-attr]


def test_new_figures_leave_the_graph_as_it_is(tmp_path: Path) -> None:
    variant = profiles.ProfiledVariant(
        "cars", "only", (profiles.Figure(1, 1, 0.3, 0.4, 2.0, "bench", "bench", "bench"),), "bench"
    )
    written = loaded(tmp_path, profiled_text(TREE, "traffic.yaml", [variant], {}))
    assert written.stage("cars").variants[0].p99_s(1) == 0.4
    assert written.graph.edges == loaded(tmp_path, TREE).graph.edges  # type: ignore[union-attr]


# ---- mistakes ----


MISTAKES = [
    ("[check, faces]", "[check, face]", "merge].after[1]: no stage is called 'face'; did you mean 'faces'?; stages:"),
    ("{stage: cars, share", "{stage: crs, share", "check].after[0].stage: no stage is called 'crs'; did you mean"),
    ("[check, faces]", "[check, check]", "merge].after[1]: merge is after check already"),
    ("[check, faces]", "[check, merge]", "merge].after[1]: merge cannot come after itself"),
    ("{stage: detect, items: 0.6}", "{stage: merge}", "faces].after[0].stage: a circle: merge -> faces -> merge"),
    ("share: 0.75", "share: 1.2", "check].after[0].share: should be at most 1; given 1.2"),
    ("share: 0.75", "share: 0.75, switch: way", "check].after[0].share: the shares of switch 'way' should sum to 1;"),
    ("share: 0.75", "when: score", "check].after[0].when: should be an output, one of < <= > >= == !=, and a number"),
    ("share: 0.75", "when: score < nan", "check].after[0].when: a text to compare with is quoted"),
    ("share: 0.75", "when: 0.5", "check].after[0].when: should be an output, one of"),
    ("share: 0.75", "when: kind == car", "check].after[0].when: a text to compare with is quoted, as in `kind =="),
    ("share: 0.75", "when: kind < 'car'", "check].after[0].when: a text is compared by == or !=; given 'kind <"),
    ("share: 0.75", "items_from: boxes, share: 1, switch: way", "check].after[0].items_from: each row goes its own"),
    ("spread: 0.5", "spread: -1", "cars].after[0].spread: should be at least 0; given -1"),
    ("nano: 2, small: 5", "small: 5", "cars].after[0].items: detect has the variant 'nano' too: give it its number"),
    ("nano: 2", "nao: 2", "cars].after[0].items: detect has no variant 'nao'; did you mean 'nano'?; variants: nano"),
    ("items: 0.6", "items: some", "faces].after[0].items: should be a number from 0 to 10000, or one by variant"),
    ("items: 0.6", "counts: {nano: [1]}", "faces].after[0].counts: detect has the variant 'small' too"),
    ("items: 0.6", "counts: none.csv", "faces].after[0].counts: none.csv: cannot be read"),
    ("items: 0.6", 'counts: "n\\0.csv"', "faces].after[0].counts: n\0.csv: cannot be read: embedded null byte"),
    ("items: 0.6", "counts: {nano: 1}", "faces].after[0].counts.nano: should be a list of whole numbers from 0 to"),
    ("items: 0.6", "counts: [1, 2]", "faces].after[0].counts: should be a CSV file with a column for each variant"),
    ("items: 0.6", "counts: {}", "faces].after[0].counts: should be a CSV file with a column for each variant"),
    ("items: 0.6", "counts: {nano: [1], small: [10001]}", "faces].after[0].counts.small[0]: should be a whole number"),
    ("items: 0.6", "partial: yes", "faces].after[0].partial: should be 'ok'; given 'yes'"),
    ("join: all", "join: al", "merge].join: should be all, any or {wait_s: SECONDS}; given 'al'"),
    ("join: all", "join: {wait_s: 0}", "merge].join.wait_s: should be above 0 and at most 86400; given 0"),
    ("    after: []\n", "    join: all\n", "detect].join: there is nothing to join: detect comes after fewer than two"),
    ("from: bench}]", "from: bnch}]", "cars].after[0].from: no provenance is called 'bnch'; did you mean 'bench'?"),
]


@pytest.mark.parametrize(("old", "new", "answer"), MISTAKES)
def test_mistakes_are_answered_in_one_line(tmp_path: Path, old: str, new: str, answer: str) -> None:
    text = changed(old, new)
    line = text[: text.index(new)].count("\n") + 1
    said = refusal(tmp_path, text)
    assert said.startswith(f"traffic.yaml:{line}: stages[{answer}")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("new", "answer"),
    [
        ("accuracy: {exits: {merg: 1}, combine: product}", "accuracy.exits.merg: merg is no exit; did you mean"),
        ("accuracy: {exits: {merge: 1}}", "accuracy: say `combine: product`, which assumes that accuracies multiply"),
        ("accuracy: {combine: product, from: bench}", "accuracy.from: only measured `combinations` come from"),
        ("", "traffic.yaml:1: the key 'accuracy' is missing: measure combinations of variants, or assume {combine:"),
    ],
)
def test_how_accuracies_combine_has_to_be_said(tmp_path: Path, new: str, answer: str) -> None:
    assert answer in refusal(tmp_path, changed("accuracy: {exits: {merge: 1}, combine: product}", new))


def test_combinations_have_to_be_complete(tmp_path: Path) -> None:
    def with_rows(*rows: str) -> str:
        said = "".join(f"  - {{variants: {{{row}}}, value: 0.5}}\n" for row in rows)
        new = f"accuracy:\n  from: bench\n  combinations:\n{said}"
        return refusal(tmp_path, changed("accuracy: {exits: {merge: 1}, combine: product}\n", new))

    assert "combinations: every combination of variants needs its accuracy: 2; given 1" in with_rows("detect: nano")
    assert "combinations[1]: the accuracy of nano, only, only, only, only is given twice" in with_rows(
        "detect: nano", "detect: nano, cars: only"
    )
    assert "combinations[0].variants: the stage 'detect' is missing" in with_rows("cars: only")
    assert "variants.detect: detect has no variant 'naon'; did you mean 'nano'" in with_rows("detect: naon")
    assert "variants.car: no stage is called 'car'; did you mean 'cars'" in with_rows("car: only")


def test_a_join_of_one_stage_needs_several_items_of_it(tmp_path: Path) -> None:
    several = changed("after: [check, faces]", "after: [check]")  # several cars, so several checks
    assert loaded(tmp_path, several.replace("exits: {merge: 1}, ", "")).graph.joins  # type: ignore[union-attr]
    single = several.replace(ITEMS, "items: 0.9")
    assert "stages[merge].join: there is nothing to join" in refusal(tmp_path, single)


def test_a_table_of_counts_is_answered_by_its_own_line(tmp_path: Path) -> None:
    text = changed(f"{ITEMS}, from: bench", "counts: cars.csv")
    for table, answer in (
        ("nano,small\n1,2\n1,x\n", "cars.csv:3: small: should be a whole number from 0 to 10000; given 'x'"),
        ("\nnano,small\n1,2\n1,10001\n", "cars.csv:4: small: should be a whole number from 0 to 10000; given '10001'"),
        ("# cars\nnano,nano\n1,2\n", "cars.csv:2: two columns have one name: nano,nano"),
        ("nano,\n1,2\n", "cars.csv:1: a column has no name: nano,"),
        ("nano\n1\n", "detect has the variant 'small' too"),
        ("nano,small\n1,\n", "cars.csv: the column small is empty"),
    ):
        (tmp_path / "cars.csv").write_text(table)
        assert answer in refusal(tmp_path, text)


def test_base_cores_keep_the_share_of_the_pipelines_sla(tmp_path: Path) -> None:
    assert "stages[detect].variants[small]: the rule finds no allocation" in refusal(tmp_path, TREE + "sla_s: 0.2\n")
