"""`ipa trace ...`, and the traces that commands are given."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pytest

from tests.command import SHORT, answer, ipa, is_refused, refusal


def test_traces_are_made_converted_and_described(here: Path) -> None:
    """4 rps for 1200 s, seconds 10 to 20 of it, halved: 10 seconds of 2 requests."""
    assert ipa("trace", "synthesise", "constant:4", "--to", "load.csv").stdout == "load.csv\n"
    command = ("trace", "convert", "load.csv", "part.parquet", "--window", "10:20", "--scale", 0.5)
    assert ipa(*command).stdout == "part.parquet\n"
    figures = answer("trace", "info", "part.parquet", "--json")
    assert (figures["requests"], figures["mean_rps"]) == (20, 2.0)
    assert answer("simulate", "video", "--trace", "part.parquet", "--json")["requests"] == 20


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        ("trace info bursty --scale 0", ["above 0, not 0"]),
        ("trace info bursty --scale nan", ["not nan"]),
        ("trace info bursty --window 5", ["--window 5", "START:END"]),
        ("trace info bursty --window 9:9", ["window 9:9"]),
        ("trace info burtsy", ["did you mean 'bursty'"]),
        ("trace synthesise bursty --to nofolder/x.csv", ["nofolder/x.csv: cannot be written"]),
        ("trace synthesise bursty --to x.txt", [".csv, .parquet"]),
    ],
)
def test_a_wrong_load_is_refused_with_what_is_allowed(command: str, texts: list[str]) -> None:
    is_refused(command, texts)


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


def test_means_over_time_are_as_many_as_a_person_reads() -> None:
    """A day has 1,440 minutes; 24 hours are printed, and --json has the minutes."""
    printed = ipa("trace", "info", "constant:2:86400").stdout
    assert "mean_rps of every hour" in printed
    assert printed.split("of every hour")[1].split() == ["2,"] * 23 + ["2"]
    assert "mean_rps of every minute" in ipa("trace", "info", "constant:2:600").stdout
    assert len(answer("trace", "info", "constant:2:86400", "--json")["minute_means_rps"]) == 1440


# ---- own logs ----


@pytest.fixture
def log(here: Path) -> str:
    """An access log of 40 s, 3 requests in each."""
    time = "05/Jan/2026:10:00:{:02} +0100"
    lines = [f'192.0.2.7 - - [{time.format(second)}] "GET / HTTP/1.1" 200 5\n' for second in range(40)]
    (here / "access.log.gz").write_bytes(gzip.compress("".join(lines * 3).encode()))
    return "access.log.gz"


SAID = (
    "access.log.gz: 120 requests in Common Log Format, counted per second; 40 s from 2026-01-05T10:00:00+01:00 to "
    "2026-01-05T10:00:40+01:00\n"
)


def test_how_a_log_was_understood_is_said_once(log: str) -> None:
    done = ipa("simulate", "video", "--trace", log, "--json")
    assert done.stderr.count(SAID) == 1
    assert json.loads(done.stdout)["requests"] == 120
    several = ipa("compare", "video", "--trace", log, "--policy", "static", "--policy", "rate", "--seeds", 2)
    assert several.stderr.count(SAID) == 1
    assert "access.log.gz" not in ipa("simulate", "video", "--trace", log, "-q").stderr
    assert "counted per second" not in ipa("simulate", "video", *SHORT).stderr


def test_the_figures_of_a_log_say_its_notation_and_its_clock(log: str) -> None:
    figures = answer("trace", "info", log, "--json")
    assert figures["reading"] == "Common Log Format, counted per second"
    assert figures["starts_at"] == "2026-01-05T10:00:00+01:00"
    assert ipa("trace", "convert", log, "log.csv").stderr == SAID
    assert answer("trace", "info", "log.csv", "--json")["starts_at"] == "2026-01-05T10:00:00+01:00"


def test_times_that_may_mean_two_things_are_asked_about_in_every_command(here: Path) -> None:
    """The option that the message names answers, as does the key of a scenario file."""
    (here / "log.csv").write_text("end,path\n500,/\n19500,/\n")
    column = ("--time-column", "end")
    text = "log.csv, line 2, column end: 500 may be in any unit: give it as --time-unit, or time_unit in a scenario"
    for command in (("simulate", "video", "--trace"), ("compare", "video", "--trace"), ("trace", "info")):
        assert "--time-column" in refusal(*command, "log.csv")
        assert text in refusal(*command, "log.csv", *column)
    assert answer("trace", "info", "log.csv", *column, "--time-unit", "ms", "--json")["duration_s"] == 20.0
    keys = "pipeline: video\ntrace: log.csv\ntime_column: end\ntime_unit: ms\n"
    (here / "mine.yaml").write_text(f"schema_version: 1\nkind: scenario\n{keys}")
    run = ipa("simulate", "mine.yaml", "--json", "--out", "run")
    assert json.loads(run.stdout)["duration_s"] == 20.0
    assert "log.csv: 2 requests in milliseconds since the start (column 'end'); 20 s\n" in run.stderr
    assert json.loads((here / "run" / "manifest.json").read_text())["scenario"]["time_unit"] == "ms"
    assert "time_unit: should be" in refusal("simulate", "mine.yaml", "--set", "time_unit=hours")
    assert "time_zone 'Mars': not a zone" in refusal("simulate", "mine.yaml", "--set", "time_zone=Mars")


def test_a_study_reads_a_log_by_its_keys(here: Path) -> None:
    (here / "log.csv").write_text("end,path\n500,/\n19500,/\n")
    study = "schema_version: 1\nkind: study\npipeline: video\nworkloads: [log.csv]\nsystems: {rate: {policy: rate}}\n"
    (here / "study.yaml").write_text(study)
    said = refusal("study", "study.yaml", "--out", "results")
    assert "study.yaml:4: workloads: log.csv, line 1: no column of times" in said
    (here / "study.yaml").write_text(study + "parameters: [{set: {time_column: end, time_unit: ms}}]\n")
    assert ipa("study", "study.yaml", "--out", "results", "--seeds", 1).exit_code == 0


def test_seeds_differ_in_where_the_requests_of_a_minute_fall(here: Path) -> None:
    (here / "load.csv").write_text("minute,count\n0,100\n1,50\n")
    first, again, other = (
        ipa("trace", "convert", "load.csv", f"{name}.csv", "--seed", seed).exit_code
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again == other == 0
    assert (here / "a.csv").read_text() == (here / "b.csv").read_text() != (here / "c.csv").read_text()
