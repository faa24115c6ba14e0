"""Profiles: the laws of a variant's figures, the published rules, and files answered by line."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa import profiles
from ipa.profiles import Defaults, Figure, OutputForm, Pipeline, ProfileError, Stage, Variant, yaml_file
from ipa.profiles import stage as stage_module

# Two allocations, three batch sizes; one core: 0.1, 0.16, 0.4 s.
FIGURES = (
    Figure(1, 1, 0.10, 0.12, 10.0),
    Figure(1, 2, 0.16, 0.20, 12.0),
    Figure(1, 8, 0.40, 0.50, 16.0),
    Figure(2, 1, 0.05, 0.06, 20.0),
    Figure(2, 2, 0.08, 0.10, 25.0),
    Figure(2, 8, 0.20, 0.30, 40.0),
)

THRESHOLD = "    threshold_rps: 4"

GOOD = """\
schema_version: 1
kind: pipeline
name: tiny
description: one stage
provenance:
  bench: {kind: measured, source: a bench}
  guess: {kind: assumed, why: nobody knows}
stages:
  - name: only
    task: does it
    accuracy_metric: top-1
    threshold_rps: 4
    sla: rule
    variants:
      - name: small
        accuracy: {value: 0.5, from: bench}
        start_up: {seconds: 8, from: guess}
        base_cores: rule
        figures:
          - {cores: 1, batch: 1, mean_s: 0.10, p99_s: 0.12, throughput_rps: 10.0, from: bench}
          - {cores: 1, batch: 2, mean_s: 0.16, p99_s: 0.20, throughput_rps: 12.0, from: bench}
          - {cores: 2, batch: 1, mean_s: 0.05, p99_s: 0.06, throughput_rps: 20.0, from: bench}
          - {cores: 2, batch: 2, mean_s: 0.08, p99_s: 0.10, throughput_rps: 25.0, from: bench}
published:
  alpha: 2
  beta: 1
  gamma: 1e-6
  accuracy: product
  accuracy_scale: raw
  accuracy_floor: 0
  batch_cap: 8
  load_margin: 0
  throughput_share: 1
"""


def variant(**changes: object) -> Variant:
    return replace(Variant("small", 0.5, 1, 8.0, FIGURES), **changes)  # type: ignore[arg-type]


def refusal(tmp_path: Path, text: str | bytes) -> str:
    """What loading a file of this text is answered with, from the file's name on."""
    path = tmp_path / "tiny.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ProfileError) as caught:
        profiles.load(path)
    return str(caught.value).replace(f"{tmp_path}{os.sep}", "")


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1
    return GOOD.replace(old, new, 1)


# --- look-ups ---------------------------------------------------------------------------------


def test_profiled_sizes_are_exact_and_between_them_latency_is_linear() -> None:
    small = variant()
    assert [small.mean_s(b) for b in (1, 2, 8)] == [0.10, 0.16, 0.40]
    assert [small.p99_s(b, cores=2) for b in (1, 2, 8)] == [0.06, 0.10, 0.30]
    assert small.mean_s(5) == pytest.approx(0.28)  # half way from 0.16 to 0.40
    assert small.p99_s(3) == pytest.approx(0.25)  # a sixth of the way from 0.20 to 0.50


def test_throughput_between_profiled_sizes_is_batch_over_the_interpolated_time_per_batch() -> None:
    small = variant()
    assert [small.throughput_rps(b) for b in (1, 2, 8)] == [10.0, 12.0, 16.0]
    # time per batch: 2 / 12 = 1/6 s at 2, 8 / 16 = 1/2 s at 8; at 5 half way, 1/3 s
    assert small.throughput_rps(5) == pytest.approx(15.0)


def test_the_latency_table_is_indexed_by_the_batch_size() -> None:
    mean, p99 = variant().latency_table(2)
    assert len(mean) == len(p99) == 9
    assert mean[0] == p99[0] == 0.0
    assert (mean[1], mean[2], mean[8], p99[8]) == (0.05, 0.08, 0.20, 0.30)
    assert mean[5] == variant().mean_s(5, 2)


def test_what_is_profiled_can_be_asked() -> None:
    small = variant(base_cores=2)
    assert small.cores == (1, 2)
    assert small.batches() == small.batches(1) == (1, 2, 8)
    assert small.max_batch() == 8
    assert small.mean_s(1) == small.mean_s(1, 2) == 0.05  # cores default to the base


@pytest.mark.parametrize("batch", [0, -1, 9, math.nan])
def test_a_batch_outside_the_profile_is_refused(batch: float) -> None:
    with pytest.raises(ProfileError, match=r"no batch size .*; allowed: 1 to 8"):
        variant().mean_s(batch)  # type: ignore[arg-type]


def test_an_allocation_that_is_not_profiled_is_refused_by_naming_those_that_are() -> None:
    with pytest.raises(ProfileError, match="small is not profiled with 4 cores; profiled: 1, 2"):
        variant().p99_s(1, cores=4)
    with pytest.raises(ProfileError, match="not profiled with 3 cores"):
        variant(base_cores=3)


@st.composite
def lawful_figures(draw: st.DrawFn) -> tuple[Figure, ...]:
    batches = sorted({1, *draw(st.sets(st.integers(2, 64), max_size=5))})
    steps = st.floats(0, 2, allow_subnormal=False)
    figures, mean_s = [], draw(st.floats(1e-3, 1))
    for batch in batches:
        mean_s += draw(steps)
        p99_s = mean_s * draw(st.floats(1, 10))
        figures.append(Figure(1, batch, mean_s, p99_s, batch / mean_s * draw(st.floats(0.1, 1))))
    return tuple(figures)


@settings(deadline=None, max_examples=100)
@given(lawful_figures())
def test_the_laws_of_profiled_points_hold_between_them(figures: tuple[Figure, ...]) -> None:
    model = variant(figures=figures)
    mean, p99 = model.latency_table()
    for batch in range(1, model.max_batch() + 1):
        assert model.throughput_rps(batch) <= batch / mean[batch] * (1 + 1e-9)
        assert p99[batch] >= mean[batch] * (1 - 1e-12)
        assert mean[batch] >= mean[batch - 1] * (1 - 1e-12)
    assert [mean[figure.batch] for figure in figures] == [figure.mean_s for figure in figures]


# --- values -----------------------------------------------------------------------------------


def stage(*variants: Variant) -> Stage:
    return Stage("only", "does it", 1.0, 4.0, variants or (variant(),))


def test_the_rows_of_outputs_are_numbers_or_names_and_stay_under_other_limits(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(changed("    threshold_rps: 4", "    output_rows: {boxes: n, points: 17}\n    threshold_rps: 4"))
    loaded = profiles.load(path)
    assert loaded.stages[0].output_rows == {"boxes": "n", "points": 17}
    assert loaded.with_limits(9.0, {"only": 3.0}).stages[0].output_rows == {"boxes": "n", "points": 17}
    assert "output_rows: {boxes: n, points: 17}" in profiles.text(path)


def test_values_compare_hash_and_pickle() -> None:
    pipeline = Pipeline("tiny", "", (stage(),))
    pipeline.stage("only").variant("small").mean_s(3)  # a look-up leaves nothing that counts
    assert pipeline == Pipeline("tiny", "", (stage(),)) == pickle.loads(pickle.dumps(pipeline))
    assert hash(pipeline) == hash(Pipeline("tiny", "", (stage(),)))


def test_the_pipeline_sla_is_the_sum_of_the_stage_slas() -> None:
    stages = (replace(stage(), sla_s=4.62), replace(stage(), name="next", sla_s=2.27))
    assert Pipeline("two", "", stages).sla_s == 6.89


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    pipeline = Pipeline("tiny", "", (stage(),))
    with pytest.raises(ProfileError, match="no stage 'onyl'; did you mean 'only'"):
        pipeline.stage("onyl")
    with pytest.raises(ProfileError, match="no variant 'smal'; did you mean 'small'"):
        pipeline.stage("only").variant("smal")


def test_the_lightest_variant_has_the_fewest_cores_then_the_least_accuracy() -> None:
    named = {"two-cores": (0.4, 2), "accurate": (0.9, 1), "plain": (0.5, 1)}
    made = stage(*(variant(name=name, accuracy=accuracy, base_cores=c) for name, (accuracy, c) in named.items()))
    assert [made.lightest().name, made.lightest(["plain"]).name] == ["plain", "accurate"]
    assert made.lightest(["plain", "accurate"]).name == "two-cores"


def test_twins_are_refused() -> None:
    with pytest.raises(ProfileError, match="two variants are called 'small'"):
        stage(variant(), variant())
    with pytest.raises(ProfileError, match="two stages are called 'only'"):
        Pipeline("tiny", "", (stage(), stage()))
    with pytest.raises(ProfileError, match="at least one stage"):
        Pipeline("tiny", "", ())


def test_a_value_made_in_code_obeys_the_same_laws_as_a_file() -> None:
    with pytest.raises(ProfileError, match=r"small: figures\[0\] p99_s: should be at least"):
        variant(figures=(Figure(1, 1, 0.1, 0.05, 9.0),))
    with pytest.raises(ProfileError, match=r"figures\[0\] mean_s: should be finite"):
        variant(figures=(Figure(1, 1, math.nan, 0.05, 9.0),))
    with pytest.raises(ProfileError, match="cores 2, batch 8 is missing"):
        variant(figures=FIGURES[:-1])
    with pytest.raises(ProfileError, match="batch size 1 is missing, which every variant needs; given: none"):
        variant(figures=())
    with pytest.raises(ProfileError, match="accuracy should be"):
        variant(accuracy=45.7)
    with pytest.raises(ProfileError, match="start_up_s should be"):
        variant(start_up_s=math.inf)
    with pytest.raises(ProfileError, match="sla_s should be"):
        replace(stage(), sla_s=0.0)
    with pytest.raises(ProfileError, match=r"only: output_rows.y: should be at least 0; given -1"):
        replace(stage(), output_rows={"y": -1})
    with pytest.raises(ProfileError, match=r"only: output_rows.y: 0, any number, is for stages profiled at batch 1"):
        replace(stage(), output_rows={"y": 0})
    with pytest.raises(ProfileError, match=r"only: outputs.y: shape should be -1, for the rows"):
        replace(stage(), outputs={"y": OutputForm("FP32", (4,))})
    with pytest.raises(ProfileError, match=r"defaults.scale_only.low: the stage 'only' is miss"):
        Pipeline("tiny", "", (stage(),), Defaults(scale_only={"low": {}}))


# --- the published rules ----------------------------------------------------------------------


def test_the_stage_sla_is_25_times_the_mean_p99() -> None:
    assert stage_module.stage_sla_s([0.1, 0.3]) == pytest.approx(5.0)  # 25 x 0.2


def test_the_sla_rule_reads_batch_1_at_the_largest_allocation() -> None:
    quick = tuple(replace(figure, p99_s=figure.p99_s * 2) for figure in FIGURES)
    two = stage(variant(), variant(name="slow", figures=quick))
    assert two.sla_rule_s == pytest.approx(25 * (0.06 + 0.12) / 2)
    assert two.sla_s == 1.0  # the one in force stays


def test_base_cores_are_the_fewest_that_carry_the_threshold_within_the_sla() -> None:
    rows = [(4, 20.0, 0.1), (1, 3.9, 0.4), (2, 4.0, 0.2)]
    assert stage_module.base_cores(rows, threshold_rps=4, sla_s=1) == 2  # 4.0 is enough, 3.9 is not
    assert stage_module.base_cores(rows, threshold_rps=4, sla_s=0.2) == 2
    assert stage_module.base_cores(rows, threshold_rps=4, sla_s=0.19) == 4
    assert stage_module.base_cores(rows, threshold_rps=4, sla_s=0.09) is None


# --- files ------------------------------------------------------------------------------------


def test_a_file_becomes_a_pipeline_with_the_rules_values(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(GOOD)
    pipeline = profiles.load(path)
    only = pipeline.stages[0]
    assert pipeline == profiles.load(str(path))
    assert (pipeline.name, only.name, only.variants[0].base_cores) == ("tiny", "only", 1)
    assert only.sla_s == only.sla_rule_s == pytest.approx(25 * 0.06)
    assert (only.sla_why, only.variants[0].base_cores_why) == ("", "")
    assert pipeline.defaults.gamma == 1e-6
    assert pipeline.provenance["guess"].text == "nobody knows"


def test_pinned_values_stand_beside_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    text = GOOD.replace("sla: rule", "sla: {pinned_s: 3, why: as published}")
    path.write_text(text.replace("base_cores: rule", "base_cores: {pinned: 2, why: rounded}"))
    only = profiles.load(path).stages[0]
    assert (only.sla_s, only.sla_why) == (3.0, "as published")
    assert only.sla_rule_s == pytest.approx(1.5)
    assert (only.variants[0].base_cores, only.base_cores_rule("small")) == (2, 1)
    assert only.variants[0].base_cores_why == "rounded"


def test_each_number_of_a_row_may_have_its_own_provenance(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(changed("10.0, from: bench", "10.0, from: {mean: bench, p99: guess, throughput: guess}"))
    figure = profiles.load(path).stages[0].variants[0].figures[0]
    assert (figure.mean_from, figure.p99_from, figure.throughput_from) == (
        "bench",
        "guess",
        "guess",
    )


ROW = "stages[only].variants[small].figures[0]"
SMALL = "stages[only].variants[small]"


@pytest.mark.parametrize(
    ("old", "new", "key", "answer"),
    [
        ("mean_s: 0.10", "mean_s: fast", "mean_s", "should be a number; given 'fast'"),
        ("mean_s: 0.10", "mean_s: ", "mean_s", "should be a number; given nothing"),
        ("mean_s: 0.10", "mean_s: .nan", "mean_s", "should be a finite number; given nan"),
        ("mean_s: 0.10", "mean_s: -1", "mean_s", "should be above 0; given -1"),
        ("cores: 1", "cores: 1.5", "cores", "should be a whole number; given 1.5"),
        ("batch: 1", "batch: 0", "batch", "should be at least 1; given 0"),
        (" p99_s: 0.12,", "", "p99_s", "this key is missing"),
        ("p99_s: 0.12", "p99_s: 0.09", "p99_s", "should be at least the mean, 0.1 s; given 0.09"),
        ("p99_s: 0.12", "p99_s: 1.5", "p99_s", "is 15 times the mean; no lognormal has a p99 abo"),
        ("rps: 10.0", "rps: 10.1", "throughput_rps", "should be at most batch / mean_s = 10, wh"),
    ],
)
def test_a_wrong_figure_is_answered_by_line_key_and_value(
    tmp_path: Path, old: str, new: str, key: str, answer: str
) -> None:
    assert f"tiny.yaml:20: {ROW}.{key}: {answer}" in refusal(tmp_path, changed(old, new))


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "answer"),
    [
        ("cores: 2, batch: 1", "cores: 1, batch: 1", 22, ".figures[2]", "cores 1, batch 1 is given twice"),
        ("cores: 2, batch: 2", "cores: 2, batch: 3", 19, ".figures", "cores 1, batch 3 is missing: every"),
        ("mean_s: 0.16", "mean_s: 0.09", 21, ".figures[1].mean_s", "should not fall with the batch size"),
        ("0.5, from", "45.7, from", 16, ".accuracy.value", "should be at most 1; giv"),
        ("from: bench}", "from: bnech}", 16, ".accuracy.from", "no provenance is called 'bnech'; d"),
        ("base_cores: rule", "base_cores: 2", 18, ".base_cores", "should be `rule`, or a mapping of a pinned"),
        ("s: rule\n  ", "s: {pinned: 4, why: x}\n  ", 18, ".base_cores.pinned", "should be a pro"),
        ("rps: 4", "rps: 40", 18, ".base_cores", "the rule finds no allocation with throughput"),
    ],
)
def test_a_wrong_variant_is_answered_by_line(
    tmp_path: Path, old: str, new: str, line: int, key: str, answer: str
) -> None:
    given = refusal(tmp_path, changed(old, new))
    assert given.startswith(f"tiny.yaml:{line}: {SMALL}{key}: {answer}")


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        ("threshold_rps", "treshold_rps", "12: stages[only].treshold_rps: unknown key; did you mean 'threshold_rps'?"),
        ("name: small", "name: Small Net", "15: stages[only].variants[Small Net].name: should be a simple name of"),
        ("provenance:", "provenance:\n  more: {kind: measured, source: x}", "6: provenance.more: no figure comes from"),
        ("kind: assumed", "kind: asumed", "7: provenance.guess: kind should be 'measured', 'interpolated'"),
        ("accuracy: product", "accuracy: prodct", "28: published.accuracy: should be 'product', 'sum', 'average' or"),
        ("published:", "published:\n  scale_only: {low: {only: smal}}", "25: published.scale_only.low.only: only has"),
        ("published:", "published:\n  switch_only_replicas: {ony: 3}", "25: published.switch_only_replicas.ony: no"),
        ("published:", "published:\n  candidates: {ony: [small]}", "25: published.candidates.ony: no stage is called"),
        ("published:", "published:\n  candidates: {only: [small, smal]}", "25: published.candidates.only[1]: only has"),
        ("published:", "published:\n  candidates: {only: []}", "25: published.candidates.only: "),
        *(
            (THRESHOLD, f"    output_rows: {{boxes: {given}}}\n{THRESHOLD}", "12: stages[only].output_rows.boxes:")
            for given in ("-1", "4097", "1.5", "true", "''")
        ),
        (THRESHOLD, f"    output_rows: {{boxes: 0}}\n{THRESHOLD}", "12: stages[only].output_rows.boxes: 0, any"),
        *(
            (THRESHOLD, f"    outputs: {{y: {form}}}\n{THRESHOLD}", f"12: stages[only].outputs.y: {answer}")
            for form, answer in (
                ("{datatype: FP31, shape: [-1, 4]}", "datatype 'FP31'; did you mean 'FP32'?; allowed: BOOL, "),
                (
                    "{datatype: FP32, shape: []}",
                    "shape should be -1, for the rows, and then sizes of at least 1; given []",
                ),
                ("{datatype: FP32, shape: [4]}", "shape should be -1, for the rows"),
                ("{datatype: FP32, shape: [-1, -1]}", "shape should be -1, for the rows"),
            )
        ),
        (
            THRESHOLD,
            f"    output_rows: {{boxes: counts, counts: 4}}\n{THRESHOLD}",
            "12: stages[only].output_rows.boxes: 'counts' has one number for each row of the input",
        ),
        ("kind: pipeline", "kind: scenario", "2: kind: should be 'pipeline'; given 'scenario'"),
        ("version: 1", "version: 2", "1: schema_version: should be 1; given 2"),
        ("kind: pipeline\n", "", "1: the key 'kind' is missing; it should be 'pipeline'"),
        (" alpha: 2", " alpha: 2\n  alpha: 3", "26: the key 'alpha' is already given, at line 25"),
        ("beta: 1", "beta: &x 1\n  y: *x", "26: anchors with aliases (&name, *name) are not supp"),
        ("alpha: 2", "alpha: !!python/object:os.system 2", "25: tags are not supported; given !!"),
    ],
)
def test_a_mistake_is_answered_by_line_key_value_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, answer: str
) -> None:
    assert refusal(tmp_path, changed(old, new)).startswith(f"tiny.yaml:{answer}")


def test_all_mistakes_are_listed_in_file_order(tmp_path: Path) -> None:
    text = changed("alpha: 2", "alpha: -2").replace("task: does it", "task: 7")
    assert refusal(tmp_path, text).splitlines() == [
        "tiny.yaml:10: stages[only].task: should be text; given 7",
        "tiny.yaml:25: published.alpha: should be at least 0; given -2",
    ]


def test_many_mistakes_are_cut_off_and_counted(tmp_path: Path) -> None:
    lines = refusal(tmp_path, GOOD.replace("_s: 0", "_s: -0").replace("rps: ", "rps: -"))
    assert len(lines.splitlines()) == 11
    assert lines.endswith("... and 3 more")  # 4 rows x 3 numbers + the threshold = 13


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"", "tiny.yaml: the file is empty"),
        (b"- 1\n", "tiny.yaml:1: should be a mapping of keys to values; given a list"),
        (b"PAR1\x00\xff\xfe", "tiny.yaml: not a text file (UTF-8)"),
        (b"a: b\x00", "tiny.yaml: not valid YAML"),
        (b"a: 1\n---\nb: 2\n", "tiny.yaml:2: not valid YAML"),
        (b"? [a]\n: b\n", "tiny.yaml:1: a key should be plain text"),
        (b"a: " + b"[" * 5000 + b"]" * 5000, "nest"),  # Python's limit, or the parser's own
    ],
)
def test_a_file_that_is_no_pipeline_at_all(tmp_path: Path, content: bytes, answer: str) -> None:
    assert answer in refusal(tmp_path, content)


def test_a_file_cut_off_before_its_first_figure_is_refused(tmp_path: Path) -> None:
    for size in range(0, GOOD.index(", from: bench}\n          - {cores: 1, batch: 2"), 7):
        assert refusal(tmp_path, GOOD[:size]).startswith("tiny.yaml")


def test_unreadable_paths(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"none\.yaml: cannot be read: No such file"):
        profiles.load(tmp_path / "none.yaml")
    with pytest.raises(ProfileError, match="cannot be read"):
        profiles.load(str(tmp_path))


def test_a_name_that_is_not_shipped_is_answered_with_the_nearest_and_the_list() -> None:
    with pytest.raises(ProfileError, match=r"'vidoe'; did you mean 'video'\?; shipped: .*video"):
        profiles.load("vidoe")


# --- the YAML reader, for any kind of file ----------------------------------------------------


def test_scalars_are_those_of_yaml_1_2() -> None:
    numbers = yaml_file.parse_yaml("a: [1e-6, 1.5E3, .5, 010, -3, -.inf]", "x").data["a"]
    assert numbers == [1e-6, 1500.0, 0.5, 10, -3, -math.inf]
    texts = yaml_file.parse_yaml("a: [on, no, 2018-04-01, 1:30, '1', \"true\"]", "x").data["a"]
    assert texts == ["on", "no", "2018-04-01", "1:30", "1", "true"]
    assert yaml_file.parse_yaml("a: [~, null, True, false]", "x").data["a"] == [None, None, True, False]


def test_lines_are_those_of_keys_and_items() -> None:
    document = yaml_file.parse_yaml("a: 1\nb:\n  - x\n  - c: 2\n    d: 3\n", "x")
    assert document.line_of(("b", 1, "d")) == 5
    assert document.line_of(("b", 0)) == 3
    assert document.line_of(("b", 1, "missing")) == 4
    assert document.line_of(()) == 1


def test_the_caller_chooses_the_error_kind_and_version(tmp_path: Path) -> None:
    class ScenarioError(ValueError):
        pass

    class Scenario(yaml_file.FileModel):
        kind: str
        schema_version: int
        seed: int

    path = tmp_path / "s.yaml"
    path.write_text("kind: scenario\nschema_version: 2\nsed: 1\n")
    document = yaml_file.read_yaml(path, kind="scenario", schema_version=2, error=ScenarioError)
    with pytest.raises(ScenarioError, match=r"s.yaml:3: sed: unknown key; did you mean 'seed'"):
        yaml_file.validate_document(Scenario, document, error=ScenarioError)
    with pytest.raises(ScenarioError, match="should be 1; given 2"):
        yaml_file.read_yaml(path, kind="scenario", error=ScenarioError)


def test_the_pure_python_yaml_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = yaml_file.parse_yaml(GOOD, "x")
    monkeypatch.setattr(yaml_file, "_LOADER", yaml.BaseLoader)
    assert yaml_file.parse_yaml(GOOD, "x") == quick


# --- the package ------------------------------------------------------------------------------


def test_the_json_schema_knows_shorthands_and_refuses_other_keys() -> None:
    schema = profiles.json_schema()
    row = schema["$defs"]["FigureRow"]
    assert row["additionalProperties"] is False
    assert {"type": "string"} in row["properties"]["from"]["anyOf"]
    assert {"const": "rule"} in schema["$defs"]["StageSection"]["properties"]["sla"]["anyOf"]
    assert "provenance" in schema["required"]


def test_importing_profiles_imports_neither_pydantic_nor_yaml_nor_numpy() -> None:
    code = "import sys; from ipa import profiles; print({'pydantic', 'yaml', 'numpy'} & set(sys.modules))"
    root = Path(profiles.__file__).parents[1]
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_a_start_up_time_may_be_that_of_all_variants() -> None:
    video = profiles.load("video")
    quick = video.with_start_up(2.5)
    assert {variant.start_up_s for stage in quick.stages for variant in stage.variants} == {2.5}
    assert quick.with_start_up(8.0) == video
    with pytest.raises(ProfileError, match="start_up_s should be finite and at least 0"):
        video.with_start_up(-1.0)


def test_batch_times_may_be_bent_for_one_variant() -> None:
    """Half the time and twice the throughput at every point; SLAs, base cores and all other variants stay."""
    video = profiles.load("video")
    bent = video.bent({"object-detection": {"yolov5s": 0.5}})
    before, after = (each.stage("object-detection").variant("yolov5s") for each in (video, bent))
    for old, new in zip(before.figures, after.figures, strict=True):
        assert (new.mean_s, new.p99_s) == (old.mean_s / 2, old.p99_s / 2)
        assert new.throughput_rps == old.throughput_rps * 2
    assert bent.bent({"object-detection": {"yolov5s": 2.0}}) == video
    assert replace(after, figures=before.figures) == before
    assert bent.sla_s == video.sla_s
    with pytest.raises(ProfileError, match="has no variant 'yolov5'; did you mean"):
        video.bent({"object-detection": {"yolov5": 0.5}})


def test_drop_limits_are_twice_the_sla_first_and_the_sla_later() -> None:
    video = profiles.load("video")
    assert video.drop_limits_s == (13.78, 6.89)
    limited = video.with_limits(3.445, {"image-classification": 1.5})
    assert limited.sla_s == 3.445
    assert [stage.sla_s for stage in limited.stages] == [2.31, 1.135]
    assert limited.drop_limits_s == (6.89, 1.5)
    with pytest.raises(ProfileError, match="has no stage 'classification'"):
        video.with_limits(None, {"classification": 1.0})
