"""Tables that other tools write become pipelines: Triton's, the published profiler's, those like MLPerf's."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa.profiles import Latencies, LatencySource, ProfileError, read_latencies
from tests.command import ipa

PERF = """\
Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,\
Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency
1,69.2,225,2148,64,206,11781,19,0,13891,18795,19753,21018
3,84.2,237,1768,21673,209,11742,17,0,35398,43984,47085,51701
"""
"""As perf_analyzer's documentation shows it."""

ANALYZER = """\
Model,Batch,Concurrency,Model Config Path,Instance Group,Satisfies Constraints,Throughput (infer/sec),p99 Latency (ms),\
RAM Usage (MB)
resnet50_libtorch,1,2,resnet50_libtorch_i0,1/GPU,Yes,195.0,11.0,2897.0
resnet50_libtorch,1,1,resnet50_libtorch_i0,1/GPU,Yes,125.0,8.5,2897.0
resnet50_libtorch,8,1,resnet50_libtorch_i0,1/GPU,Yes,200.0,42.0,2897.0
"""

MLPERF = """\
Task,Model,Scenario,Threads,BatchSize,Mean latency (ns),99.00 percentile latency (ns),Samples per second,Accuracy (%)
classification,resnet50,SingleStream,2,1,20000000,25000000,49.5,76.1
"""


def read(folder: Path, text: str, said: str = "") -> Latencies:
    (folder / "table.csv").write_text(text)
    return read_latencies(LatencySource.of(f"{folder / 'table.csv'} {said}".strip()))


def only(found: Latencies) -> tuple[str, str, int, int, float, float]:
    """The one row: stage, variant, cores, batch, mean, p99."""
    ((row,),) = [rows for variants in found.stages.values() for rows in variants.values()]
    return row.stage, row.variant, row.cores, row.batch, row.mean_s, row.p99_s


def test_perf_analyzer_s_parts_add_up_to_the_mean_of_concurrency_1(tmp_path: Path) -> None:
    """225 + 2148 + 64 + 206 + 11781 + 19 + 0 = 14443 microseconds."""
    found = read(tmp_path, PERF, "stage=detect variant=yolo cores=4 batch=1 accuracy=0.5")
    assert only(found) == ("detect", "yolo", 4, 1, 0.014443, 0.021018)


def test_perf_analyzer_s_average_latency_is_taken_where_it_is_there(tmp_path: Path) -> None:
    header, first, _ = PERF.splitlines()
    text = f"{header},Avg latency\n{first},14500\n"
    assert only(read(tmp_path, text, "stage=a variant=b cores=1 batch=1 accuracy=0.5"))[4] == 0.0145


def test_several_tables_are_one_with_what_each_lacks(tmp_path: Path) -> None:
    """One file for each batch size, as perf_analyzer writes them; the command takes them as they are."""
    (tmp_path / "b1.csv").write_text(PERF)
    (tmp_path / "b4.csv").write_text(PERF.replace("11781", "35000").replace("21018", "45000"))
    given = [f"{tmp_path}/b{n}.csv stage=detect variant=yolo cores=4 accuracy=0.5 batch={n}" for n in (1, 4)]
    made = ipa("pipeline", "new", tmp_path / "mine.yaml", "--from", given[0], "--from", given[1])
    assert made.exit_code == 0, made.stderr
    text = (tmp_path / "mine.yaml").read_text()
    assert "cores: 4, batch: 4, mean_s: 0.037662, p99_s: 0.045," in text
    assert "source: b1.csv and b4.csv" in text.replace('"', "")


def test_model_analyzer_s_mean_follows_from_the_throughput_of_one_at_a_time(tmp_path: Path) -> None:
    """1 / 125 s and 8 / 200 s; the row with two on their way is left out."""
    found = read(tmp_path, ANALYZER, "stage=classify cores=1 accuracy=0.76")
    rows = found.stages["classify"]["resnet50-libtorch"]
    assert [(row.batch, row.mean_s, row.p99_s) for row in rows] == [(1, 0.008, 0.0085), (8, 0.04, 0.042)]


def test_a_table_like_mlperf_s_goes_by_the_names_of_its_columns(tmp_path: Path) -> None:
    found = read(tmp_path, MLPERF)
    assert only(found) == ("classification", "resnet50", 2, 1, 0.02, 0.025)
    assert found.unused == ("Scenario",)
    assert found.in_percent


def test_the_table_of_the_published_parser_is_in_seconds(tmp_path: Path) -> None:
    text = "experiment_id,model_variant,cpu_request,max_batch_size,load,model_latencies_avg,model_latencies_p99\n"
    found = read(tmp_path, text + "1,resnet18,1,1,20,0.07,0.075\n", "stage=classify accuracy=0.6975")
    assert only(found) == ("classify", "resnet18", 1, 1, 0.07, 0.075)


@pytest.mark.parametrize(
    ("text", "said", "problem"),
    [
        (PERF.replace("\n1,", "\n2,"), "stage=a", "has no row with Concurrency 1"),
        (PERF.replace(",225,", ",much,"), "stage=a", "table.csv:2: client_send: should be a number from 0"),
        (PERF, "stage=a variant=b cores=1 accuracy=0.5", "the column batch is missing"),
        (PERF, "stage=a varaint=b", "no column is called 'varaint'; did you mean 'variant'?"),
        (ANALYZER, "stage=a accuracy=0.5 cores=x", "cores: should be a whole number from 1 to 4096; given 'x'"),
    ],
)
def test_what_a_table_lacks_is_said(tmp_path: Path, text: str, said: str, problem: str) -> None:
    with pytest.raises(ProfileError) as refused:
        read(tmp_path, text, said)
    assert problem in str(refused.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read: Is a directory"):
        read_latencies(tmp_path)
