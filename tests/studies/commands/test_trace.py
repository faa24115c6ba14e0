"""`ipa trace ...`, and the traces that commands are given."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from tests.command import SHORT, answer, ipa, refusal


def test_traces_are_made_converted_and_described(here: Path) -> None:
    """4 rps for 1200 s, seconds 10 to 20 of it, halved: 10 seconds of 2 requests."""
    assert ipa("trace", "convert", "constant:4", "--to", "load.csv").stdout == "load.csv\n"
    command = (
        "trace",
        "convert",
        "load.csv",
        "--to",
        "part.parquet",
        "--window",
        "10:20",
        "--scale",
        0.5,
        "--set",
        "scaling=floor",
    )
    assert ipa(*command).stdout == "part.parquet\n"
    figures = answer("trace", "info", "part.parquet", "--json")
    assert (figures["requests"], figures["mean_rps"]) == (20, 2.0)
    assert answer("simulate", "video", "--trace", "part.parquet", "--json")["requests"] == 20


def test_a_missing_real_trace_is_named_with_its_variable() -> None:
    message = refusal("simulate", "video", "--trace", "twitter:bursty", env={"IPA_TRACE": "gone.xz"})
    assert message.startswith("IPA_TRACE=gone.xz: no such file")
    assert answer("simulate", "video", *SHORT, "--json", env={"IPA_TRACE": "gone.xz"})["requests"] == 150


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
    assert ipa("trace", "convert", log, "--to", "log.csv").stderr == SAID
    assert answer("trace", "info", "log.csv", "--json")["starts_at"] == "2026-01-05T10:00:00+01:00"


def test_times_that_may_mean_two_things_are_asked_about_in_every_command(here: Path) -> None:
    """The option that the message names answers, as does the key of a scenario file."""
    (here / "log.csv").write_text("end,path\n500,/\n19500,/\n")
    column = ("--set", "read.time_column=end")
    text = "log.csv, line 2, column end: 500 may be in any unit: say which, as --set read.time_unit=ms"
    for command in (("simulate", "video", "--trace"), ("compare", "video", "--trace"), ("trace", "info")):
        assert "--set read.time_column=NAME" in refusal(*command, "log.csv")
        assert text in refusal(*command, "log.csv", *column)
    assert answer("trace", "info", "log.csv", *column, "--set", "read.time_unit=ms", "--json")["duration_s"] == 20.0
    keys = "pipeline: video\ntrace: log.csv\nread: {time_column: end, time_unit: ms}\n"
    (here / "mine.yaml").write_text(f"schema_version: 1\nkind: scenario\n{keys}")
    run = ipa("simulate", "mine.yaml", "--json", "--out", "run")
    assert json.loads(run.stdout)["duration_s"] == 20.0
    assert "log.csv: 2 requests in milliseconds since the start (column 'end'); 20 s\n" in run.stderr
    assert json.loads((here / "run" / "manifest.json").read_text())["scenario"]["read"]["time_unit"] == "ms"
    assert "read.time_unit: should be" in refusal("simulate", "mine.yaml", "--set", "read.time_unit=hours")
    assert "read.time_zone: 'Mars': this machine knows no such zone" in refusal(
        "simulate", "mine.yaml", "--set", "read.time_zone=Mars"
    )


def test_a_study_reads_a_log_by_its_keys(here: Path) -> None:
    (here / "log.csv").write_text("end,path\n500,/\n19500,/\n")
    study = "schema_version: 1\nkind: study\npipeline: video\nworkloads: [log.csv]\nsystems: {rate: {policy: rate}}\n"
    (here / "study.yaml").write_text(study)
    said = refusal("study", "study.yaml", "--out", "results")
    assert "study.yaml:4: workloads: log.csv, line 1: no column of times" in said
    (here / "study.yaml").write_text(study + "parameters: [{set: {read.time_column: end, read.time_unit: ms}}]\n")
    assert ipa("study", "study.yaml", "--out", "results", "--seeds", 1).exit_code == 0


def test_seeds_differ_in_where_the_requests_of_a_minute_fall(here: Path) -> None:
    (here / "load.csv").write_text("minute,count\n0,100\n1,50\n")
    first, again, other = (
        ipa("trace", "convert", "load.csv", "--to", f"{name}.csv", "--seed", seed).exit_code
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again == other == 0
    assert (here / "a.csv").read_text() == (here / "b.csv").read_text() != (here / "c.csv").read_text()


def test_how_long_each_count_is_for_may_be_given(here: Path) -> None:
    """An export of a monitor, half an hour, whose times of day have no date."""
    (here / "load.csv").write_text("at,count\n" + "".join(f"10:{minute:02},{60 + minute}\n" for minute in range(30)))
    assert "the counts (column 'count') have no times" in refusal("trace", "info", "load.csv")
    named = refusal("trace", "info", "load.csv", "--set", "read.time_column=at")
    assert "'10:00' is a time of day without its date" in named
    for step in ("60", "60s", "1m"):
        assert answer("trace", "info", "load.csv", "--set", f"read.step={step}", "--json")["duration_s"] == 1800
    assert "read.step: should be at least 1; given 0" in refusal("trace", "info", "load.csv", "--set", "read.step=0s")
    problem = refusal("trace", "info", "load.csv", "--set", "read.step=1x")
    assert "read.step: should be a whole number, perhaps with a unit (us, ms, s, m, min, h, d); given '1x'" in problem
    keys = "pipeline: video\ntrace: load.csv\nread: {step: 60}\nwindow: 0:60\n"
    (here / "mine.yaml").write_text(f"schema_version: 1\nkind: scenario\n{keys}")
    run = ipa("simulate", "mine.yaml", "--json")
    assert "counts per minute (column 'count', in the order of the rows)" in run.stderr
    assert json.loads(run.stdout)["requests"] == 60


def test_a_scaled_load_keeps_its_mean_and_every_command_says_both(here: Path) -> None:
    """The mean of 1,200 s has a standard deviation below 0.04 rps at any factor."""
    for factor, floored_rps in ((0.1, 0.0), (0.25, 1.0), (1.5, 7.0)):
        load = ("trace", "info", "constant:5", "--scale", factor)
        figures = answer(*load, "--json")
        assert figures["mean_rps"] == pytest.approx(5 * factor, abs=0.25)
        assert figures["unscaled_mean_rps"] == 5.0
        assert "unscaled_mean_rps" in ipa(*load).stdout
        assert answer(*load, "--set", "scaling=floor", "--json")["mean_rps"] == floored_rps
        assert figures != answer(*load, "--seed", 2, "--json")
    assert "unscaled" not in ipa("trace", "info", "constant:5").stdout
    said = re.compile("constant:1: scaled, from a mean of 1 requests per second to 1[.][45]")
    video = ("video", "--trace", "constant:1:300", "--scale", 1.5)
    for command in (
        ("simulate", *video, "--policy", "static", "--out", "run"),
        ("compare", *video, "--policy", "static", "--policy", "rate"),
        ("sweep", *video, "--policy", "static", "--vary", "hop_s=0,0.1", "--seeds", 1, "--out", "swept"),
        ("trace", "convert", "constant:1:300", "--to", "load.csv", "--scale", 1.5),
    ):
        assert len(said.findall(ipa(*command).stderr)) == 1
    systems = "systems: {static: {policy: static}, rate: {policy: rate}}"
    study = f"pipeline: video\nworkloads: [constant:1]\n{systems}\nparameters: [{{set: {{scale: 1.5}}}}]\n"
    (here / "study.yaml").write_text(f"schema_version: 1\nkind: study\n{study}")
    assert len(said.findall(ipa("study", "study.yaml", "--seeds", 1, "--out", "results").stderr)) == 1
    assert json.loads((here / "run" / "manifest.json").read_text())["trace"]["unscaled_rps"] == 1.0


# ---- the shape of a load ----


def test_burstiness_and_rises_are_shown_by_time_scale(here: Path) -> None:
    """300 s of 0 and 8 rps in turns of ten seconds: variance 16, mean 4; in tens 1600 and 40."""
    (here / "load.txt").write_text(("0 " * 10 + "8 " * 10) * 15)
    printed = " ".join(ipa("trace", "info", "load.txt").stdout.split())
    assert "dispersion_index by scale 1 s: 4, 10 s: 40 largest rise" in printed
    assert "largest rise by scale 1 s: 0 to 8 rps at 10 s 10 s: 0 to 8 rps at 10 s mean_rps of every" in printed
    figures = answer("trace", "info", "load.txt", "--json")
    assert figures["dispersion_by_scale"] == {"1": 4.0, "10": 40.0}
    assert figures["largest_rises"][1] == {"span_s": 10, "at_s": 10, "from_rps": 0.0, "to_rps": 8.0}


def test_the_day_and_the_week_are_shown_where_the_load_is_long_enough(here: Path) -> None:
    """Counts of hours from Wednesday 6 a.m.: 3600 requests an hour, none from 6 to 7."""
    hours = [f"{7 + (6 + hour) // 24:02}T{(6 + hour) % 24:02}:00Z" for hour in range(168)]
    rows = [f"2026-01-{hour},{0 if 'T06' in hour else 3600}\n" for hour in hours]
    (here / "week.csv").write_text("time,count\n" + "".join(rows))
    printed = " ".join(ipa("trace", "info", "week.csv").stdout.split())
    assert (
        f"mean_rps of each hour from midnight {'1, ' * 6}0, {'1, ' * 16}1 mean_rps of each day from Monday" in printed
    )
    assert "from Monday 0.9583, 0.9583, 0.9583, 0.9583, 0.9583, 0.9583, 0.9583 mean" in printed
    (here / "hours.csv").write_text("time,count\n" + "".join(rows[:23]))
    assert "from midnight" not in ipa("trace", "info", "hours.csv").stdout


def test_a_load_is_drawn_as_a_page(here: Path) -> None:
    """All that it has: a clock, a week, rises; the same load gives the same page, names are text."""
    hours = [f"{7 + hour // 24:02}T{hour % 24:02}:00Z" for hour in range(168)]
    rows = [f"2026-01-{hour},{100 * int(hour[3:5])}\n" for hour in hours]
    name = "<b>week&.csv"
    (here / name).write_text("time,count\n" + "".join(rows))
    assert "Report: week.html" in ipa("trace", "info", name, "--to", "week.html").stdout
    page = (here / "week.html").read_text()
    headings = ["The load over time", "Burstiness", "The day", "The week", "The largest rises", "Where it is from"]
    assert [heading for heading in headings if f"<h2>{heading}</h2>" in page] == headings
    assert "<h1>Load &lt;b&gt;week&amp;</h1>" in page
    assert "<b>week" not in page
    assert "Monday" in page
    assert "23:00" in page
    ipa("trace", "info", name, "--to", "again.html", "--json")
    assert (here / "again.html").read_text() == page


def test_a_page_shows_only_what_a_load_has(here: Path) -> None:
    for load, headings in (
        ("constant:5:30", ["The load over time", "Where it is from"]),
        ("bursty", ["The load over time", "Burstiness", "The largest rises", "Where it is from"]),
    ):
        ipa("trace", "info", load, "--to", "page.html")
        page = (here / "page.html").read_text()
        assert re.findall("<h2>(.*?)</h2>", page) == headings
    (here / "none.csv").write_text('# ipa-trace {"duration_s": 20}\narrival_s\n')
    assert ipa("trace", "info", "none.csv", "--to", "page.html").exit_code == 0
    assert "none.csv" in refusal("trace", "info", "bursty", "--to", "none.csv/page.html")
