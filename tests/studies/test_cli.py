"""The command `ipa`: what it promises to print, and how it answers input that cannot be used."""

from __future__ import annotations

import json
import lzma
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ipa.studies.commands import printing as terminal
from tests.command import PIPELINE, POLICIES, SHORT, answer, contents, ipa, refusal, start

NAMES = [
    *("pipeline", "policy", "trace", "seed", "engine", "duration_s"),
    *("requests", "completed", "dropped", "failed", "unfinished"),
    *("sla_s", "sla_violation_rate", "goodput_rps"),
    *("latency_mean_s", "latency_p50_s", "latency_p95_s", "latency_p99_s"),
    *("cost_mean_cores", "cost_core_s", "pas_mean", "planned_cost_mean_cores", "planned_pas_mean"),
    *("decisions", "infeasible_decisions", "changes", "wall_s"),
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no real trace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IPA_TRACE", raising=False)
    return tmp_path


@pytest.fixture
def own(here: Path) -> Path:
    """A user's files: a policy, a pipeline, a journal, results."""
    (here / "my.py").write_text(POLICIES)
    (here / "mine.yaml").write_text(PIPELINE)
    assert ipa("simulate", "video", *SHORT, "--out", "run").exit_code == 0
    return here


# ---- what it prints ----


def test_json_is_the_summary_alone_with_its_stable_names() -> None:
    """5 rps for 30 s: 150 requests; one core at each of two stages: 2 cores, 60 core-seconds."""
    summary = answer("simulate", "video", *SHORT, "--json")
    assert [name for name in summary if name in NAMES] == NAMES
    told = ("pipeline", "policy", "trace", "seed", "duration_s", "requests", "completed", "decisions", "cost_core_s")
    assert [summary[name] for name in told] == ["video", "ipa", "constant:5", 1, 30.0, 150, 150, 3, 60.0]
    assert summary["cost_mean_cores"] == summary["planned_cost_mean_cores"] == 2.0


def test_json_of_a_comparison_is_a_list_of_summaries() -> None:
    summaries = answer("compare", "video", "--policy", "ipa", "--policy", "switch-only", "--seeds", 2, *SHORT, "--json")
    assert [(each["policy"], each["seed"]) for each in summaries] == [
        ("ipa", 1),
        ("ipa", 2),
        ("switch-only", 1),
        ("switch-only", 2),
    ]
    assert all(set(NAMES) <= set(each) for each in summaries)


def test_a_window_of_a_packed_trace_is_cut_scaled_and_run(here: Path) -> None:
    """The published window: 1200 s of 47 a second, an eighth of each rounded down to 5, makes 6000 requests."""
    counts = ["40"] * 1301160 + ["47"] * 1200 + ["40"] * 40
    (here / "real.txt.xz").write_bytes(lzma.compress("\n".join(counts).encode(), preset=0))
    window = ("--window", "1301160:1302360", "--scale", 0.125)
    command = ("--policy", "ipa", "--trace", "real.txt.xz", *window, "--seed", 1, "--arrivals", "even", "--json")
    summary = answer("simulate", "video", *command)
    assert (summary["requests"], summary["duration_s"], summary["decisions"]) == (6000, 1200.0, 120)
    assert answer("trace", "info", "real.txt.xz", *window, "--json")["requests"] == 6000


def test_a_scenario_takes_settings_and_goes_to_a_folder(here: Path) -> None:
    (here / "one.yaml").write_text("schema_version: 1\nkind: scenario\npipeline: video\ntrace: constant:5:30\n")
    result = ipa("simulate", "one.yaml", "--set", "policy.beta=0.5", "--out", "runs/x")
    assert result.exit_code == 0
    manifest = json.loads((here / "runs" / "x" / "manifest.json").read_text())
    assert manifest["scenario"]["policy"] == {"name": "ipa", "beta": 0.5}
    assert manifest["policy"]["parameters"]["beta"] == 0.5
    assert "Results: runs/x" in result.stdout


def test_options_and_settings_go_together(own: Path) -> None:
    for options in (("--policy", "ipa"), ("--set", "policy=ipa"), ()):
        command = ("simulate", "video", *SHORT, *options, "--set", "policy.beta=100", "--json")
        assert answer(*command)["cost_mean_cores"] == 2.0
    assert answer("simulate", "video", *SHORT, "--policy", "my.py:Hold", "--set", "policy.level=3", "--json")


def test_a_report_is_drawn_with_a_run_or_later(here: Path) -> None:
    assert ipa("simulate", "video", *SHORT, "--out", "run", "--report", "run/report.html").exit_code == 0
    first = (here / "run" / "report.html").read_bytes()
    (here / "run" / "report.html").unlink()
    assert ipa("report", "run").stdout == "run/report.html\n"
    assert (here / "run" / "report.html").read_bytes() == first
    command = ("compare", "video", "--policy", "ipa", "--policy", "scale-only:low", *SHORT, "--report", "both.html")
    assert ipa(*command).stdout.endswith("Report: both.html\n")
    page = (here / "both.html").read_text()
    assert "ipa" in page
    assert "scale-only:low" in page


def test_one_decision_is_explained() -> None:
    """Within the published limits a load of 20 rps takes two yolov5n: one serves 12.7 rps at batch 1."""
    explained = answer("optimise", "video", "--load", 20, "--json")
    assert explained["configuration"]["object-detection"]["variant"] == "yolov5n"
    assert explained["configuration"]["object-detection"]["replicas"] == 2
    assert explained["feasible"] is True
    assert "Chosen (optimal): object-detection: 2 x yolov5n" in ipa("optimise", "video", "--load", 20).stdout
    dear = answer("optimise", "video", "--load", 20, "--policy", "scale-only:high", "--set", "policy.beta=9", "--json")
    assert dear["configuration"]["object-detection"]["variant"] == "yolov5s"


def test_traces_are_made_converted_and_described(here: Path) -> None:
    """4 rps for 1200 s, seconds 10 to 20 of it, halved: 10 seconds of 2 requests."""
    assert ipa("trace", "synthesise", "constant:4", "--to", "load.csv").stdout == "load.csv\n"
    command = ("trace", "convert", "load.csv", "part.parquet", "--window", "10:20", "--scale", 0.5)
    assert ipa(*command).stdout == "part.parquet\n"
    figures = answer("trace", "info", "part.parquet", "--json")
    assert (figures["requests"], figures["mean_rps"]) == (20, 2.0)
    assert answer("simulate", "video", "--trace", "part.parquet", "--json")["requests"] == 20


def test_a_journal_is_replayed(own: Path) -> None:
    same = ipa("replay", "run/journal.jsonl", "--pipeline", "video", "--policy", "ipa")
    assert same.stdout == "ipa would have decided the same in 3 of 3 steps\n"
    other = ipa("replay", "run/journal.jsonl", "--pipeline", "video", "--policy", "scale-only:low", "--json")
    lines = [json.loads(line) for line in other.stdout.splitlines()]
    assert [line["observation"]["step"] for line in lines] == [0, 1, 2]
    chosen = lines[0]["decision"]["configuration"]
    assert [stage["variant"] for stage in chosen.values()] == ["yolov5n", "resnet18"]


def test_of_several_lines_of_a_step_the_latest_is_replayed(own: Path) -> None:
    """A live controller writes a line when it has decided, and another with the answer."""
    lines = Path("run/journal.jsonl").read_text(encoding="utf-8").splitlines()
    unanswered = [json.dumps({**json.loads(line), "outcome": None}, separators=(",", ":")) for line in lines]
    both = [each for pair in zip(unanswered, lines, strict=True) for each in pair]
    Path("live.jsonl").write_text("\n".join(both) + "\n", encoding="utf-8")
    said = ipa("replay", "live.jsonl", "--pipeline", "video", "--policy", "ipa")
    assert said.stdout == "ipa would have decided the same in 3 of 3 steps\n"


def test_a_replay_takes_the_settings_of_the_run(own: Path) -> None:
    """beta = 0 makes cores free: the most accurate variants; without it the replay differs in every step."""
    free = ("--set", "policy.beta=0")
    assert ipa("simulate", "video", *SHORT, *free, "--out", "free").exit_code == 0
    replay = ("replay", "free/journal.jsonl", "--pipeline", "video")
    assert "in 3 of 3 steps" in ipa(*replay, *free).stdout
    assert "in 0 of 3 steps" in ipa(*replay).stdout


def test_what_a_policy_prints_stays_out_of_the_json(own: Path) -> None:
    with (own / "my.py").open("a") as file:
        file.write("\n    def __init__(self, pipeline):\n        print('made')\n")
        file.write("\nclass Chatty(Hold):\n    def decide(self, o, m):\n        print('hm')\n")
        file.write("        return super().decide(o, m)\n")
    result = ipa("simulate", "video", *SHORT, "--policy", "my.py:Chatty", "--json")
    assert json.loads(result.stdout)["policy"] == "my.py:Chatty"
    assert "hm" in result.stderr


def test_an_overload_is_a_result_with_a_warning_on_stderr() -> None:
    """One replica a stage cannot serve 100 rps: most requests are dropped, which JSON readers are told too."""
    result = ipa("simulate", "video", "--policy", "static", "--trace", "constant:100:20", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["dropped"] > 1000
    assert result.stderr.startswith("Warning: static: overloaded")


def test_a_load_without_requests_has_no_latencies(here: Path) -> None:
    (here / "none.txt").write_text("0\n" * 20)
    summary = answer("simulate", "video", "--trace", "none.txt", "--json")
    assert (summary["requests"], summary["latency_p99_s"], summary["pas_mean"]) == (0, None, None)
    assert summary["sla_violation_rate"] == 0.0
    assert ipa("simulate", "video", "--trace", "none.txt", "--out", "run", "--report", "none.html").exit_code == 0


def test_names_are_printed_as_they_are(own: Path) -> None:
    """Neither emoji (`:x:`) nor markup (`[b]`) are read into a name."""
    odd = Path("a[b]:x:")
    odd.mkdir()
    (odd / "my.py").write_text(POLICIES)
    assert "policy a[b]:x:/my.py:Hold" in ipa("simulate", "video", *SHORT, "--policy", f"{odd}/my.py:Hold").stdout


# ---- what it refuses ----


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        ("simulate vidoe", ["'vidoe'", "did you mean 'video'", "shipped: "]),
        ("compare vidoe", ["did you mean 'video'"]),
        ("optimise vidoe --load 20", ["did you mean 'video'"]),
        ("simulate video --policy ipaa", ["'ipaa'", "did you mean 'ipa'", "allowed: hpa, inferline, ipa"]),
        ("simulate video --policy scale-only:lwo", ["'lwo'", "did you mean 'low'"]),
        ("compare video --policy ipa --policy switch-onyl", ["did you mean 'switch-only'"]),
        ("compare video --policy ipa --policy ipa", ["--policy ipa: is given twice"]),
        ("compare video --policy switch-only --set policy.beta=2", ["beta", "'ipa'", "not compared"]),
        ("simulate video --policy static:yolov5q:1:1,resnet18:1:1", ["'yolov5q'", "yolov5x", "did you mean"]),
        ("simulate video --policy static:yolov5n:0:1,resnet18:1:1", ["batch=0", "at least 1"]),
        ("simulate video --policy static:1,0", ["replicas=0", "at least 1"]),
        ("simulate video --policy static:1,-1", ["1,-1", "whole numbers"]),
        ("simulate video --policy static:1,nan", ["1,nan", "whole numbers"]),
        ("simulate video --policy static:1,99999999", ["99999999", "from 1 to 10000"]),
        ("simulate video --policy=", ["policy ''"]),
        ("simulate video --trace burtsy", ["'burtsy'", "did you mean 'bursty'"]),
        ("simulate video --trace constant:0", ["above 0, not 0"]),
        ("simulate video --trace constant:-5", ["above 0, not -5"]),
        ("simulate video --trace constant:nan", ["not nan"]),
        ("simulate video --trace constant:inf", ["not inf"]),
        ("simulate video --trace twitter:bursty", ["IPA_TRACE"]),
        ("simulate video --trace nofile.csv", ["nofile.csv: no such file"]),
        ("simulate video --scale 0", ["scale: should be greater than 0; given 0.0"]),
        ("simulate video --scale -1", ["scale", "greater than 0; given -1.0"]),
        ("simulate video --scale nan", ["scale", "finite number; given nan"]),
        ("simulate video --scale inf", ["scale", "finite number; given inf"]),
        ("trace info bursty --scale 0", ["above 0, not 0"]),
        ("trace info bursty --scale nan", ["not nan"]),
        ("optimise video --load nan", ["--load nan"]),
        ("optimise video --load inf", ["--load inf"]),
        ("optimise video --load -1", ["--load -1"]),
        ("optimise video --load x", ["--load", "'x'"]),
        ("optimise video", ["--load"]),
        ("optimise video --load 20 --policy static", ["static", "ipa, oracle, scale-only, switch-only"]),
        ("simulate video --window 5", ["window: a window is START:END", "given '5'"]),
        ("simulate video --window 1:2:3", ["START:END"]),
        ("simulate video --window=", ["START:END"]),
        ("simulate video --window a:b", ["START:END"]),
        ("simulate video --window nan:10", ["given nan"]),
        ("simulate video --window 5:5", ["5.0-5.0", "0-1200"]),
        ("simulate video --window 5:3", ["5.0-3.0"]),
        ("simulate video --window 1000:1300", ["1000.0-1300.0", "0-1200"]),
        ("simulate video --window 0.5:10", ["whole seconds"]),
        ("trace info bursty --window 5", ["--window 5", "START:END"]),
        ("trace info bursty --window 9:9", ["9.0-9.0"]),
        ("simulate video --seed -1", ["--seed", "-1"]),
        ("simulate video --seed 9223372036854775808", ["seed", "9223372036854775807"]),
        ("compare video --seeds 0", ["--seeds", "0"]),
        ("compare video --jobs 0", ["--jobs", "0"]),
        ("simulate video --arrivals even-ish", ["arrivals", "'even-ish'", "did you mean 'even'"]),
        ("simulate video --set foo", ["--set foo: should be KEY=VALUE"]),
        ("simulate video --set =3", ["--set =3: should be KEY=VALUE"]),
        ("simulate video --set a..b=3", ["--set a..b=3: should be KEY=VALUE"]),
        ("simulate video --set intervals=3", ["intervals", "did you mean 'interval_s'"]),
        ("simulate video --set interval_s=x", ["interval_s", "number; given 'x'"]),
        ("simulate video --set interval_s=0", ["interval_s", "greater than 0; given 0"]),
        ("simulate video --set interval_s=", ["interval_s", "given nothing"]),
        ("simulate video --set seed=1.5", ["seed", "integer; given 1.5"]),
        ("simulate video --set seed=true", ["seed", "integer; given True"]),
        ("simulate video --set seed.x=1", ["seed.x", "single value"]),
        ("simulate video --set policy.bta=1", ["'bta'", "did you mean 'beta'"]),
        ("simulate video --set policy.beta=much", ["beta='much'"]),
        ("simulate video --set policy.beta=.nan", ["beta=nan"]),
        ("simulate video --set seed=[1", ["--set seed=[1: not valid YAML"]),
        ("simulate video --set history_s=100000000000", ["history_s", "86400"]),
        ("simulate video --set limit_cores=0", ["limit_cores", "given 0"]),
        ("simulate video --set limit_cores=-2", ["limit_cores", "given -2"]),
        ("simulate video --set guards.max_replicas=0", ["guards.max_replicas", "given 0"]),
        ("simulate video --set guards={min_replicas:5}", ["guards"]),
        (
            "simulate video --set guards.min_replicas=5 --set guards.max_replicas=2",
            ["guards: max_replicas 2 is below min_replicas 5"],
        ),
        ("simulate video --set max_surge=0", ["max_surge and max_unavailable are both 0"]),
        ("simulate video --set drop_limits_s.object-detectio=3", ["did you mean 'object-detection'"]),
        ("simulate video --set initial.object-detection.variant=yolov5n", ["start: configured"]),
        ("trace info burtsy", ["did you mean 'bursty'"]),
        ("trace synthesise bursty --to nofolder/x.csv", ["nofolder/x.csv: cannot be written"]),
        ("trace synthesise bursty --to x.txt", [".csv, .parquet"]),
        ("report nofolder", ["nofolder: holds no results"]),
        ("replay nofile --pipeline video", ["nofile: cannot be read: No such file"]),
        ("simulate nofile.yaml", ["nofile.yaml: cannot be read: No such file"]),
        ("simulate .", ["cannot be read: Is a directory"]),
    ],
)
def test_wrong_input_is_answered_with_what_is_allowed(command: str, texts: list[str]) -> None:
    message = refusal(*command.split(" "))
    for text in texts:
        assert text in message
    assert "Value error" not in message


@pytest.mark.parametrize(
    ("start_of", "text"),
    [
        ("variant=yolov5q", "initial: stage 'object-detection': unknown variant 'yolov5q'"),
        ("batch=0", "initial.object-detection.batch: should be greater than or equal to 1; given 0"),
        ("batch=65", "batch 65; allowed for 'yolov5n': ints from 1 to 64"),
        ("batch=.nan", "initial.object-detection.batch: should be a valid integer; given nan"),
        ("replicas=-1", "initial.object-detection.replicas: should be greater than or equal to 1; given -1"),
        ("cores=3", "3 cores are not profiled for 'yolov5n'; allowed: 1, 2, 4"),
        ("batch_timeout_s=.inf", "initial.object-detection.batch_timeout_s: should be a finite number; given inf"),
    ],
)
def test_a_start_that_cannot_be_is_refused(start_of: str, text: str) -> None:
    stage = "initial.object-detection"
    settings = ("--set", "start=configured", "--set", f"{stage}.variant=yolov5n", "--set", f"{stage}.{start_of}")
    assert text in refusal("simulate", "video", *settings)


def test_a_missing_real_trace_is_named_with_its_variable() -> None:
    message = refusal("simulate", "video", "--trace", "twitter:bursty", env={"IPA_TRACE": "gone.xz"})
    assert message.startswith("IPA_TRACE=gone.xz: no such file")
    assert answer("simulate", "video", *SHORT, "--json", env={"IPA_TRACE": "gone.xz"})["requests"] == 150


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.xz", b"no archive", "a.xz: damaged or cut off"),
        ("b.txt", b"1 2\n3 x 5", "b.txt, line 2, column 3: number 4 is 'x'"),
        ("c.txt", b"1 -2", "c.txt, line 1, column 3"),
        ("d.txt", b"", "d.txt: the file is empty"),
        ("e.csv", b"second,count\n0,1\n1,nan\n", "e.csv"),
        ("f.parquet", b"PAR1", "f.parquet"),
    ],
)
def test_an_unreadable_trace_is_refused(here: Path, name: str, content: bytes, text: str) -> None:
    (here / name).write_bytes(content)
    assert text in refusal("simulate", "video", "--trace", name)
    assert text in refusal("trace", "info", name)


def test_a_trace_that_is_cut_off_is_refused(here: Path) -> None:
    whole = lzma.compress(b"5\n" * 1000)
    (here / "cut.txt.xz").write_bytes(whole[: len(whole) // 2])
    assert "cut.txt.xz: damaged or cut off" in refusal("simulate", "video", "--trace", "cut.txt.xz")


@pytest.mark.parametrize(
    ("right", "wrong", "text"),
    [
        ("batch: 1,", "batch: 3,", "mine.yaml:18: stages[sort].variants[small].figures: batch size 1 is not profiled"),
        (
            "mean_s: 0.3,",
            "mean_s: 0.12,",
            "mine.yaml:21: stages[sort].variants[small].figures[2].mean_s: should not fall",
        ),
        ("mean_s: 0.3,", "mean_s: .nan,", "figures[2].mean_s: should be a finite number; given nan"),
        ("mean_s: 0.3,", "mean_s: 0,", "figures[2].mean_s: should be greater than 0; given 0"),
        ("mean_s: 0.3,", "", "mine.yaml:21: stages[sort].variants[small].figures[2].mean_s: this key is missing"),
        ("threshold_rps: 1", "treshold_rps: 1", "mine.yaml:11: stages[sort].treshold_rps: there is no such key here"),
    ],
)
def test_a_wrong_pipeline_file_is_refused_by_line(here: Path, right: str, wrong: str, text: str) -> None:
    (here / "mine.yaml").write_text(PIPELINE)
    assert answer("simulate", "mine.yaml", *SHORT, "--json")["pipeline"] == "mine"
    (here / "mine.yaml").write_text(PIPELINE.replace(right, wrong))
    assert text in refusal("simulate", "mine.yaml", *SHORT)


@pytest.mark.parametrize("command", ["simulate", "compare"])
def test_results_go_to_a_new_place_alone(own: Path, command: str) -> None:
    (own / "other").mkdir()
    (own / "other" / "notes.txt").write_text("mine")
    run = (command, "video", *SHORT, "--policy", "ipa", "--out")
    assert "other: holds other files" in refusal(*run, "other")
    assert "run: holds results already" in refusal(*run, "run")
    assert "my.py: is a file" in refusal(*run, "my.py")
    assert "my.py/x: cannot be written" in refusal(*run, "my.py/x")
    assert "/proc/x: cannot be written" in refusal(*run, "/proc/x")
    assert ipa(*run, "new/deep").exit_code == 0
    (own / "empty").mkdir()
    assert ipa(*run, "empty").exit_code == 0


def test_the_current_folder_is_not_replaced_by_results(here: Path) -> None:
    assert "--out .: cannot be replaced" in refusal("simulate", "video", *SHORT, "--out", ".")
    assert ipa("compare", "video", *SHORT, "--policy", "ipa", "--out", ".").exit_code == 0
    assert sorted(path.name for path in here.iterdir()) == ["ipa-1", "manifest.json", "runs.parquet"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("nofolder/r.html", "nofolder does not exist"),
        ("my.py/r.html", "my.py does not exist"),
        ("/proc/r.html", "/proc/r.html: cannot be written"),
        ("run", "is a directory"),
    ],
)
def test_a_report_that_could_not_be_written_is_noticed_before_anything_runs(
    own: Path, monkeypatch: pytest.MonkeyPatch, path: str, text: str
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("simulated")

    monkeypatch.setattr("ipa.studies.run.simulate_policy", never)
    monkeypatch.setattr("ipa.studies.report.render", never)
    assert text in refusal("simulate", "video", *SHORT, "--report", path)
    assert text in refusal("simulate", "video", *SHORT, "--out", "new", "--report", path)
    assert text in refusal("compare", "video", *SHORT, "--jobs", 1, "--out", "new", "--report", path)
    assert text in refusal("report", "run", "--to", path)


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        ("{", "manifest.json: cannot be read"),
        ("[]", "schema_version is None"),
        ('{"schema_version": 9, "kind": "run"}', "schema_version is 9; this program reads 1"),
        ('{"schema_version": 1, "kind": "rnu"}', "kind is 'rnu'"),
        ('{"schema_version": 1, "kind": "run"}', "'summary'"),
        ('{"schema_version": 1, "kind": "runs"}', "'runs'"),
        ('{"schema_version": 1, "kind": "runs", "runs": []}', "'runs'"),
        ('{"schema_version": 1, "kind": "runs", "runs": [3]}', "'runs'"),
        ('{"schema_version": 1, "kind": "runs", "runs": ["a"]}', "not finished, 1 of 1 runs are missing (a first)"),
    ],
)
def test_unreadable_results_are_refused(own: Path, manifest: str, text: str) -> None:
    (own / "run" / "manifest.json").write_text(manifest)
    assert text in refusal("report", "run")


def test_damaged_tables_are_refused(own: Path) -> None:
    requests = own / "run" / "requests.parquet"
    requests.write_bytes(requests.read_bytes()[:1000])
    assert "run/requests.parquet: cannot be read" in refusal("report", "run")
    requests.unlink()
    assert "run/requests.parquet: no such file" in refusal("report", "run")


def test_a_damaged_journal_is_refused_by_line(own: Path) -> None:
    replay = ("--pipeline", "video")
    whole = (own / "run" / "journal.jsonl").read_text()
    (own / "cut").write_text(whole[: len(whole) // 2])
    assert "cut:2: not a line of JSON" in refusal("replay", "cut", *replay)
    (own / "empty").write_text("\n")
    assert "empty: holds no entries" in refusal("replay", "empty", *replay)
    assert "not a text file" in refusal("replay", "run/requests.parquet", *replay)
    assert "manifest.json:1" in refusal("replay", "run/manifest.json", *replay)
    (own / "list").write_text("[1]\n")
    assert "list:1: not a journal entry" in refusal("replay", "list", *replay)
    (own / "nested").write_text("[" * 100_000)
    assert "nested:1: " in refusal("replay", "nested", *replay)
    (own / "old").write_text(whole.replace('"schema_version":2', '"schema_version":7'))
    assert "old:1: not a journal entry: its schema_version is 7" in refusal("replay", "old", *replay)


@pytest.mark.parametrize(
    ("answer_of_policy", "text"),
    [
        ("1 / 0", "my.py:20: ZeroDivisionError: division by zero"),
        ("{}['x']", "my.py:20: KeyError: 'x'"),
        ("self.helper()", "my.py:20: AttributeError: 'Own' object has no attribute 'helper'"),
        ("int('x')", "my.py:20: ValueError: invalid literal"),
        ("observation.stages['detection']", "my.py:20: KeyError: 'detection'"),
        ("3", "decide returned int, not a policies.Decision"),
        ("None", "decide returned NoneType"),
        ("Decision({}, {})", "the configuration names the stages []; the pipeline has ['object-detection', "),
        ("Decision([1], {})", "the configuration names the stages [1]"),
        ("Decision({1: 2, 'a': 3}, {})", "the configuration names the stages [1, 'a']"),
        ("Decision(dict.fromkeys(observation.stages, 1), {})", "stage 'object-detection': 1 is no policies.Stage"),
        ("changed(variant='yolov5q')", "unknown variant 'yolov5q' (did you mean 'yolov5x'?); allowed: yolov5n"),
        ("changed(variant=[1])", "unknown variant [1]"),
        ("changed(batch=float('nan'))", "batch nan; allowed for 'yolov5n': ints from 1 to 64"),
        ("changed(batch=0)", "batch 0; allowed"),
        ("changed(batch=65)", "batch 65; allowed"),
        ("changed(replicas=float('nan'))", "replicas nan; allowed: ints from 1"),
        ("changed(replicas=float('inf'))", "replicas inf; allowed: ints from 1"),
        ("changed(replicas=0)", "replicas 0; allowed"),
        ("changed(replicas=-1)", "replicas -1; allowed"),
        ("changed(replicas=10**9)", "replicas 1000000000; allowed: ints from 1 to 10000"),
        ("changed(replicas=True)", "replicas True; allowed"),
        ("changed(cores=3)", "3 cores are not profiled for 'yolov5n'"),
        ("changed(cores='x')", "'x' cores are not profiled"),
        ("changed(cores=True)", "True cores are not profiled"),
        ("changed(batch_timeout_s='1')", "batch_timeout_s '1'; allowed: finite seconds"),
        ("changed(batch_timeout_s=float('nan'))", "batch_timeout_s nan"),
        ("changed(batch_timeout_s=float('inf'))", "batch_timeout_s inf"),
        ("changed(batch_timeout_s=-1)", "batch_timeout_s -1"),
        ("told(memory=None)", "memory None; allowed: a mapping"),
        ("told(memory={'x': {1, 2}})", "memory {'x': {1, 2}}; allowed: what JSON can hold"),
        ("told(memory={'x': float('nan')})", "memory {'x': nan}; allowed: what JSON can hold"),
        ("told(forecast_rps=float('nan'))", "forecast_rps nan; allowed: a finite number, or None"),
        ("told(forecast_rps=float('inf'))", "forecast_rps inf"),
        ("told(planned_load_rps='x')", "planned_load_rps 'x'"),
        ("told(objective=3)", "objective 3; allowed: a mapping"),
        ("told(objective={'total': float('nan')})", "objective 'total' nan"),
        ("told(notes='note')", "notes 'note'; allowed: a tuple of texts"),
        ("told(feasible=None)", "feasible None; allowed: True or False"),
        ("told(rung=3)", "rung 3"),
    ],
)
def test_a_policy_of_ones_own_that_fails_is_told_step_and_place(own: Path, answer_of_policy: str, text: str) -> None:
    _write_policy(own, answer_of_policy)
    message = refusal("simulate", "video", *SHORT, "--policy", "my.py:Own", "--out", "new")
    assert message.startswith("step 2 (at 20 s): ")
    assert text in message


@pytest.mark.parametrize("guard", ["limit_cores=9", "guards.max_replicas=3"])
@pytest.mark.parametrize(
    ("answer_of_policy", "text"),
    [
        ("1 / 0", "my.py:20: ZeroDivisionError"),
        ("3", "decide returned int"),
        ("changed(variant='yolov5q')", "unknown variant 'yolov5q'"),
        ("changed(replicas=float('nan'))", "replicas nan"),
    ],
)
def test_guards_do_not_hide_a_policys_mistake(own: Path, answer_of_policy: str, text: str, guard: str) -> None:
    _write_policy(own, answer_of_policy)
    message = refusal("simulate", "video", *SHORT, "--policy", "my.py:Own", "--set", guard)
    assert message.startswith("step 2 (at 20 s): ")
    assert text in message


def _write_policy(own: Path, answer_of_policy: str) -> None:
    """The policy `Own` in my.py, which gives the answer (line 20) at step 2 and holds before."""
    decide = (
        "\n    def decide(self, observation, memory):\n"
        "        held = super().decide(observation, memory)\n"
        "        told = lambda **k: replace(held, **k)\n"
        "        stages = held.configuration.items()\n"
        "        changed = lambda **k: told(configuration={name: replace(each, **k) for name, each in stages})\n"
        f"        return {answer_of_policy} if observation.step == 2 else held\n"
    )
    source = (own / "my.py").read_text().rstrip() + f"\nclass Own(Hold):{decide}"
    (own / "my.py").write_text(source)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("my.py:Hodl", "my.py: no class 'Hodl' (did you mean 'Hold'?)"),
        ("my.py", "'my.py' names no class; write my.py:ClassName"),
        ("gone.py:Hold", "gone.py: cannot be read: No such file"),
        ("broken.py:Hold", "broken.py:2: syntax error"),
        ("raising.py:Hold", "raising.py:1: ZeroDivisionError"),
        ("raising.py/x.py:Hold", "raising.py/x.py: cannot be read: Not a directory"),
    ],
)
def test_a_policy_file_that_cannot_be_used_is_refused(own: Path, spec: str, text: str) -> None:
    (own / "broken.py").write_text("import os\nclass (:\n")
    (own / "raising.py").write_text("x = 1 / 0\n")
    for command in ("simulate", "compare"):
        assert text in refusal(command, "video", *SHORT, "--policy", spec)
    assert text in refusal("replay", "run/journal.jsonl", "--pipeline", "video", "--policy", spec)


def test_a_policy_of_ones_own_runs_compares_and_replays(own: Path) -> None:
    summary = answer("simulate", "video", *SHORT, "--policy", "my.py:Hold", "--json")
    assert (summary["policy"], summary["changes"]) == ("my.py:Hold", 0)
    both = answer("compare", "video", *SHORT, "--policy", "ipa", "--policy", "my.py:Hold", "--json")
    assert [each["policy"] for each in both] == ["ipa", "my.py:Hold"]
    replayed = ipa("replay", "run/journal.jsonl", "--pipeline", "video", "--policy", "my.py:Hold")
    assert "my.py:Hold would have decided the same in 2 of 3 steps" in replayed.stdout


def test_a_pipeline_of_ones_own_just_works(own: Path) -> None:
    """One stage of one variant: a replica serves 10 to 13 rps, so one core does for 5 rps, and all get accuracy 0.8."""
    summary = answer("simulate", "mine.yaml", *SHORT, "--json")
    told = ("pipeline", "completed", "cost_mean_cores", "pas_mean", "sla_s")
    assert [summary[name] for name in told] == pytest.approx(["mine", 150, 1.0, 80.0, 2.0])
    both = answer("compare", "mine.yaml", "--policy", "ipa", "--policy", "static:2", *SHORT, "--json")
    assert [each["cost_mean_cores"] for each in both] == [1.0, 2.0]
    assert "Chosen (optimal): sort: 1 x small" in ipa("optimise", "mine.yaml", "--load", 5).stdout
    assert ipa("simulate", "mine.yaml", *SHORT, "--out", "mine").exit_code == 0
    replayed = ipa("replay", "mine/journal.jsonl", "--pipeline", "mine.yaml")
    assert replayed.stdout == "ipa would have decided the same in 3 of 3 steps\n"
    assert "of 'mine' with the stages sort, not of 'video'" in refusal(
        "replay", "mine/journal.jsonl", "--pipeline", "video"
    )


# ---- as a process ----


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, ipa.studies.commands.cli as cli\n"
        "try:\n    cli.main(['simulate', '--help'])\nexcept SystemExit as done:\n    assert done.code == 0\n"
        "print([name for name in ('numpy', 'pandas', 'pydantic', 'rich', 'scipy', 'simpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Run one policy on one load." in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "simulate video --trace constant:5:30",
        "simulate video --trace constant:5:30 --json",
        "replay run/journal.jsonl --pipeline video --json",
        "trace info bursty",
    ],
)
def test_a_reader_that_leaves_early_sees_no_traceback(own: Path, command: str) -> None:
    process = start(*command.split())
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert errors == ""


def test_where_stderr_is_no_terminal_progress_is_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """A run every 4 s: the third, sixth, ninth and so on is the first 10 s after a line; of the last one is none."""
    now_s = 0.0
    done = terminal.Lines("runs", 12, lambda: now_s)
    for _ in range(12):
        now_s += 4.0
        done()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "runs: 3 of 12 after 12 s, 9 left",
        "runs: 6 of 12 after 24 s, 6 left",
        "runs: 9 of 12 after 36 s, 3 left",
    ]


@pytest.mark.parametrize(("option", "told"), [((), r"runs: 1 of 2 after \d+ s, 1 left\n"), (("-q",), "")])
def test_progress_leaves_stdout_alone_and_can_be_left_out(
    option: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "LINE_EVERY_S", 0.0)
    result = ipa("compare", "video", "--policy", "ipa", *SHORT, "--seeds", 2, "--json", *option)
    assert [each["seed"] for each in json.loads(result.stdout)] == [1, 2]
    assert re.fullmatch(told, result.stderr)


def test_progress_and_warnings_go_to_stderr_in_a_process_too() -> None:
    command = (
        "compare",
        "video",
        "--policy",
        "static",
        "--trace",
        "constant:100:20",
        "--seeds",
        2,
        "--jobs",
        2,
        "--json",
        "--quiet",
    )
    process = start(*command, env={**os.environ, "FORCE_COLOR": "1"})
    output, errors = process.communicate(timeout=60)
    assert [each["seed"] for each in json.loads(output)] == [1, 2]
    assert errors.startswith("Warning: static: overloaded")
    assert "in the worst of 2 seeds" in errors
    assert len(errors.splitlines()) == 1


def test_nothing_is_written_by_commands_that_only_print(own: Path) -> None:
    before = contents(own)
    for command in ("simulate video --trace constant:5:30", "optimise video --load 9", "trace info bursty"):
        assert ipa(*command.split()).exit_code == 0
    assert contents(own) == before
