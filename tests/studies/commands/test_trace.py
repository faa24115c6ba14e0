"""`ipa trace ...`, and the traces that commands are given."""

from __future__ import annotations

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
