"""A pipeline file from a table of measured latencies, and what is answered where the table is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ipa import profiles
from ipa.profiles import Pipeline, ProfileError, pipeline_text, read_latencies, slug

TABLE = """\
stage,variant,accuracy,cores,batch,mean_ms,p99_ms
sort,small,0.84,1,1,50,70
sort,small,0.84,1,4,160,200
answer,small,0.61,1,1,200,260
answer,small,0.61,2,1,120,156
answer,large,0.78,2,1,270,348
"""


def written(folder: Path, table: str) -> str:
    (folder / "table.csv").write_text(table)
    return pipeline_text(read_latencies(folder / "table.csv"), "mine")


def made(folder: Path, table: str) -> Pipeline:
    (folder / "mine.yaml").write_text(written(folder, table))
    return profiles.load(folder / "mine.yaml")


def refusal(folder: Path, table: str | bytes) -> list[str]:
    """The lines of the error, each from the file's name on."""
    path = folder / "table.csv"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(ProfileError) as caught:
        pipeline_text(read_latencies(path), "mine")
    return str(caught.value).replace(f"{folder}/", "").splitlines()


# ---- what is written ----


def test_a_table_becomes_a_pipeline(tmp_path: Path) -> None:
    mine = made(tmp_path, TABLE)
    assert [(s.name, [v.name for v in s.variants]) for s in mine.stages] == [
        ("sort", ["small"]),
        ("answer", ["small", "large"]),
    ]
    small = mine.stage("sort").variant("small")
    assert (small.accuracy, small.start_up_s, small.base_cores) == (0.84, 8.0, 1)
    assert (small.mean_s(4), small.p99_s(4), small.throughput_rps(4)) == (0.16, 0.2, 25.0)
    assert mine.stage("answer").variant("large").throughput_rps(1) == 3.7037  # 1 / 0.27, rounded down
    assert mine.stage("answer").sla_s == pytest.approx(25 * (0.156 + 0.348) / 2)
    assert {key: origin.kind for key, origin in mine.provenance.items()} == {
        "measured": "measured",
        "served": "interpolated",
    }
    assert "from table.csv: 5 measurements, accuracies as fractions" in (tmp_path / "mine.yaml").read_text()


@pytest.mark.parametrize("light", ["small", "101", "true", "1e5"])
def test_what_stands_in_comments_is_what_the_rules_give(tmp_path: Path, light: str) -> None:
    """With every # taken away, the file says the same without any rule, whatever its names."""
    mine = made(tmp_path, TABLE.replace("small", light))
    text = re.sub(r"^( *)# (  )?(?=[a-z_0-9# ]+:)", r"\1\2", (tmp_path / "mine.yaml").read_text(), flags=re.MULTILINE)
    (tmp_path / "mine.yaml").write_text(text)
    said = profiles.load(tmp_path / "mine.yaml")
    assert said.defaults == mine.defaults
    assert not {"alpha", "beta", "load_margin", "scale_only.low", "switch_only_replicas"} & set(said.defaults.by_rule)
    for ruled, given in zip(mine.stages, said.stages, strict=True):
        assert (given.sla_why, given.threshold_rps) == ("...", ruled.threshold_rps)
        assert given.sla_s == pytest.approx(ruled.sla_s)
        assert [(v.name, v.base_cores, v.start_up_s, v.start_up_from) for v in given.variants] == [
            (v.name, v.base_cores, v.start_up_s, "measured") for v in ruled.variants
        ]


def test_a_comment_is_apart_from_what_it_speaks_of(tmp_path: Path) -> None:
    """However long that is: without a space before it, # begins no comment in YAML."""
    text = written(tmp_path, TABLE.replace(",348", ",348.125"))
    assert not re.search(r"\S#", text)


def test_columns_go_by_name_in_any_order_unit_and_spelling(tmp_path: Path) -> None:
    """Semicolons, a byte order mark, per cent, spaces, other names, and the optional columns."""
    table = (
        "\ufeffModel; Stage ;Accuracy (%);CPUs;batch size;Mean latency (s);p99 [us];rps;startup_s;metric;host\n"
        "# the second machine\n\n"
        "YOLO_v5n;find;45.7;1.0;1;0.077;118000;12.7;20;mAP: 0.5;a\n"
    )
    find = made(tmp_path, table).stage("find")
    only = find.variant("yolo-v5n")
    assert (only.accuracy, only.start_up_s, find.accuracy_metric) == (0.457, 20.0, "mAP: 0.5")
    assert (only.mean_s(1), only.p99_s(1), only.throughput_rps(1)) == (0.077, 0.118, 12.7)
    read = read_latencies(tmp_path / "table.csv")
    assert (read.in_percent, read.unused, read.renamed) == (True, ("host",), {"YOLO_v5n": "yolo-v5n"})


def test_accuracies_are_per_cent_if_all_are_above_1(tmp_path: Path) -> None:
    percent = TABLE.replace(",0.", ",")
    assert "accuracies in per cent" in written(tmp_path, percent)
    assert made(tmp_path, percent).stages == made(tmp_path, TABLE).stages
    low = TABLE.replace("accuracy", "accuracy_percent").replace("0.84", "1").replace("0.61", "0.5")
    assert made(tmp_path, low).stage("answer").variant("small").accuracy == 0.005


def test_throughputs_are_measured_where_they_are_given(tmp_path: Path) -> None:
    ends = ("rps", "19", "", "4", "8", "3")
    table = "".join(f"{line},{end}\n" for line, end in zip(TABLE.splitlines(), ends, strict=True))
    small, *_ = made(tmp_path, table).stage("sort").variants
    assert [(f.throughput_rps, f.throughput_from) for f in small.figures] == [(19.0, "measured"), (25.0, "served")]


@pytest.mark.parametrize("text", ["no", "null", "1.5", "a, b", "x # y", "- z", "{", "it's", 'say "x"', "é", "..."])
def test_any_text_is_written_as_text(tmp_path: Path, text: str) -> None:
    quoted = '"' + text.replace('"', '""') + '"'
    header, *rows = TABLE.splitlines()
    table = "\n".join((f"{header},metric", *(f"{row},{quoted}" for row in rows)))
    assert made(tmp_path, table).stages[0].accuracy_metric == text


@pytest.mark.parametrize(
    ("text", "name"), [("ResNet-50 v2", "resnet-50-v2"), ("__a__", "a"), ("é", ""), ("x" * 70, "x" * 63)]
)
def test_names_become_simple_names(text: str, name: str) -> None:
    assert slug(text) == name


# ---- what is wrong ----


def changed(old: str, new: str) -> str:
    assert old in TABLE
    return TABLE.replace(old, new, 1)


NUMBER = "should be a number above 0 and at most"


@pytest.mark.parametrize(
    ("table", "answer"),
    [
        (changed("p99_ms", "p95_ms"), "1: the column p99_s (or p99_ms) is missing; given: stage, variant, accuracy"),
        (changed("batch", "b"), "1: the column batch is missing; given: "),
        (changed("mean_ms", "mean"), "1: mean: lacks its unit; call it mean_s or mean_ms"),
        (TABLE.replace("p99_ms", "p99_ms,mean_s").replace("0\n", "0,1\n"), "1: mean_s: says the same as the column"),
        (changed("0.84,1,1,50,70", "0.84,1,1,50"), "2: has 6 cells; should have at least 7, as the header says"),
        (changed("0.84,1,1", "0,84,1,1"), "2: has 8 cells under a header of 7: 'sort,small,0,84,1,1,50,70'; decimals"),
        (
            TABLE.replace(",", ";").replace("0.84", "0,84", 1),
            f"2: accuracy: {NUMBER} 100; given '0,84', with a decimal comma: write a point",
        ),
        (changed("1,1,50,70", "1,1,fast,70"), f"2: mean_ms: {NUMBER} 86400000; given 'fast'"),
        (changed("1,1,50,70", "1,1,50,-1"), f"2: p99_ms: {NUMBER} 86400000; given '-1'"),
        (changed("1,1,50,70", "1,1,1e-400,70"), f"2: mean_ms: {NUMBER} 86400000; given '1e-400'"),
        (changed("1,1,50,70", "1,1,50,"), f"2: p99_ms: {NUMBER} 86400000; given ''"),
        (changed("1,1,50,70", "1.5,1,50,70"), "2: cores: should be a whole number from 1 to 4096; given '1.5'"),
        (changed("1,1,50,70", "1,9999,50,70"), "2: batch: should be a whole number from 1 to 4096; given '9999'"),
        (changed("0.84,1,1", "101,1,1"), f"2: accuracy: {NUMBER} 100; given '101'"),
        (changed("0.84,1,1", "84,1,1"), "3: accuracy: should be a fraction (at most 1) in all rows or per cent"),
        (changed("sort,small", "?,small"), "2: stage: should be a name with letters or digits; given '?'"),
        (changed("answer,small", "answer,Large"), "6: variant: 'large' and 'Large' would both be called 'large'"),
        (changed("0.84,1,4", "0.85,1,4"), "3: accuracy: should be the same in all rows of small of sort, 0.84 as in"),
        (changed("50,70", "50,40"), "2: p99_ms: small of sort: should be at least the mean, 0.05 s; given 0.04"),
        (changed("50,70", "50,800"), "2: p99_ms: small of sort: is 16 times the mean; no lognormal"),
        (changed("160,200", "40,200"), "3: mean_ms: small of sort: should not fall with the batch size"),
        (changed("0.84,1,4", "0.84,1,1"), "3: small of sort: cores 1, batch 1 is given twice, first in line 2"),
        (changed("0.84,1,1", "0.84,1,2"), "2: small of sort: batch size 1 is missing, which every variant needs"),
        (changed("0.84,1,4", "0.84,2,4"), "2: small of sort: cores 1, batch 4 is missing: every profiled allocation"),
        (changed("0.84,1,1,50,70", '"0.84,1,1,50,70'), "6: not a CSV table: unexpected end of data"),
        (TABLE.splitlines()[0], ": no rows: should have a header and a row for each measurement"),
        (b"\xff\xfe\x00", ": not a text file (UTF-8)"),
    ],
)
def test_a_wrong_table_is_answered_by_line_column_value_and_what_is_allowed(
    tmp_path: Path, table: str | bytes, answer: str
) -> None:
    start = "table.csv" if answer.startswith(":") else "table.csv:"
    first, *rest = refusal(tmp_path, table)
    assert first.startswith(start + answer)
    assert rest == []


def test_every_mistake_is_answered_and_many_are_counted(tmp_path: Path) -> None:
    table = TABLE.replace("50,70", "x,y").replace("0.61", "no")
    assert [line.partition(": should")[0] for line in refusal(tmp_path, table)] == [
        "table.csv:2: mean_ms",
        "table.csv:2: p99_ms",
        "table.csv:4: accuracy",
        "table.csv:5: accuracy",
    ]
    many = TABLE + "answer,large,x,y,z,a,b\n" * 3
    assert refusal(tmp_path, many)[10:] == ["... and 5 more"]


def test_a_throughput_above_batch_over_mean_is_refused(tmp_path: Path) -> None:
    table = "stage,variant,accuracy,cores,batch,mean_s,p99_s,rps\nsort,small,0.8,1,1,0.1,0.2,11\n"
    wanted = "table.csv:2: rps: small of sort: should be at most batch / mean_s = 10"
    assert refusal(tmp_path, table)[0].startswith(wanted)


def test_a_variant_without_base_cores_is_refused_in_the_words_of_the_table(tmp_path: Path) -> None:
    """Forty fast variants make the SLA of the rule, 25 x the mean p99, less than the slow one takes."""
    rows = "".join(f"sort,fast-{i},0.5,1,1,0.1,0.1\n" for i in range(40))
    table = f"stage,variant,accuracy,cores,batch,mean_s,p99_s\n{rows}sort,slow,0.9,1,1,500,500\n"
    wanted = "table.csv: stages[sort].variants[slow]: the rule finds no allocation"
    assert refusal(tmp_path, table)[0].startswith(wanted)


def test_a_start_up_is_given_for_all_of_a_variant(tmp_path: Path) -> None:
    rows = [
        f"{line},{end}" for line, end in zip(TABLE.splitlines(), ("start_up_ms", "0", "", "", "", "5"), strict=True)
    ]
    (answered,) = refusal(tmp_path, "\n".join(rows))
    assert answered == (
        "table.csv:3: start_up_ms: should be the same in all rows of small of sort, 0.0 as in line 2; given nothing"
    )
    rows[2] += "0.0"
    mine = made(tmp_path, "\n".join(rows))
    assert [v.start_up_s for stage in mine.stages for v in stage.variants] == [0.0, 8.0, 0.005]


def test_no_name_of_a_table_gets_out_of_its_comment(tmp_path: Path) -> None:
    (tmp_path / "a\nkind: b.csv").write_text(TABLE)
    text = pipeline_text(read_latencies(tmp_path / "a\nkind: b.csv"), "mine")
    (tmp_path / "mine.yaml").write_text(text)
    assert profiles.load(tmp_path / "mine.yaml").provenance["measured"].text == "a kind: b.csv"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"none\.csv: cannot be read: No such file"):
        read_latencies(tmp_path / "none.csv")
