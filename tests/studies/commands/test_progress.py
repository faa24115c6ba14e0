"""Progress and warnings: on stderr, and only where they are wanted."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ipa.studies.commands import progress
from tests.command import SHORT, ipa


def test_where_stderr_is_no_terminal_progress_is_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """A run every 4 s: the third, sixth, ninth and so on is the first 10 s after a line; of the last one is none."""
    now_s = 0.0
    show = progress.ProgressLines("runs", 12, clock=lambda: now_s)
    for done in range(1, 13):
        now_s += 4.0
        show(done)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "runs: 3 of 12 after 12 s, 15 per min, 36 s left",
        "runs: 6 of 12 after 24 s, 15 per min, 24 s left",
        "runs: 9 of 12 after 36 s, 15 per min, 12 s left",
    ]


def test_runs_that_were_there_at_once_make_no_rate(capsys: pytest.CaptureFixture[str]) -> None:
    """500 of 600 were there; then one every 5 s: 98 are left after two more, of 5 s each."""
    now_s = 0.0
    show = progress.ProgressLines("runs", 600, clock=lambda: now_s)
    for done in range(1, 501):
        show(done)
    for done in (501, 502):
        now_s += 5.0
        show(done)
    assert capsys.readouterr().err == "runs: 502 of 600 after 10 s, 12 per min, 8 min left\n"


def test_the_time_left_is_told_from_the_last_minute_and_not_from_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    """100 runs of 1 s each, then runs of 30 s: the eleven latest ended within ten times 30 s, and 289 are left."""
    now_s = 0.0
    show = progress.ProgressLines("runs", 400, clock=lambda: now_s)
    for done in range(1, 112):
        now_s += 1.0 if done <= 100 else 30.0
        show(done)
    assert capsys.readouterr().err.splitlines()[-1] == "runs: 111 of 400 after 7 min, 2 per min, 2.4 h left"


def test_runs_that_failed_are_counted_beside(capsys: pytest.CaptureFixture[str]) -> None:
    """10 of 40 after 10 s, two of them without a result."""
    now_s = 0.0
    show = progress.ProgressLines("runs", 40, clock=lambda: now_s)
    now_s = 10.0
    show(10, "2 failed")
    assert capsys.readouterr().err == "runs: 10 of 40 after 10 s, 1 per s, 30 s left, 2 failed\n"


def test_the_progress_of_one_run_says_its_share_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    now_s = 0.0
    show = progress.ProgressLines("simulated", 100, " %", clock=lambda: now_s)
    now_s = 20.0
    show(25.0)
    assert capsys.readouterr().err == "simulated: 25 % after 20 s, 1.2 % per s, 60 s left\n"


def test_on_a_terminal_a_bar_says_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    times_s = iter([0.0, *(2.0 * k for k in range(1, 100))])
    monkeypatch.setattr(progress, "monotonic", lambda: next(times_s))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with progress.counted("runs", 4) as advance:
        advance()
        advance()
    assert "30 per min, 4 s left" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "told"), [((), r"runs: 1 of 2 after \d+ s.*\n"), (("-q",), "")])
def test_progress_leaves_stdout_alone_and_can_be_left_out(
    option: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    result = ipa("compare", "video", "--policy", "ipa", *SHORT, "--seeds", 2, "--json", *option)
    assert [each["seed"] for each in json.loads(result.stdout)] == [1, 2]
    assert re.fullmatch(told, result.stderr)


def test_warnings_go_to_stderr_in_colour_or_not() -> None:
    overload = ("--policy", "static:1,1", "--trace", "constant:100:20", "--seeds", 2)
    result = ipa("compare", "video", *overload, "--json", "--quiet", env={"FORCE_COLOR": "1"})
    assert [each["seed"] for each in json.loads(result.stdout)] == [1, 2]
    (warning,) = result.stderr.splitlines()
    assert warning.startswith("Warning: static:1,1: ")
    assert "% of the requests in the worst of 2 seeds were dropped" in warning


@pytest.fixture
def must_compile(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine on which nobody has compiled the engine; the engines that were asked about."""
    asked: list[str] = []

    def must(engine: str) -> bool:
        asked.append(engine)
        return engine != "simpy"

    monkeypatch.setattr("ipa.sim.must_compile", must)
    return asked


COMPILING = "Compiling the engine, once on this machine: 3 s, or more if it is busy\n"


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize(("engines", "times"), [(["auto", "simpy", "compiled"], 1), (["simpy"], 0)])
def test_it_is_said_once_that_the_engine_is_compiled_first(
    engines: list[Any],
    times: int,
    is_terminal: bool,
    must_compile: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    progress.compile_engine(*engines)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == times * COMPILING


def test_a_log_is_told_of_compiling_and_a_quiet_command_is_not(must_compile: list[str]) -> None:
    command = ("simulate", "video", *SHORT, "--json", "--set", "engine=compiled")
    told = ipa(*command)
    assert told.stderr.startswith(COMPILING)
    assert json.loads(told.stdout)["requests"] == 150
    assert ipa(*command, "-q").stderr == ""


def test_where_the_engine_has_been_compiled_nothing_is_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipa.sim.must_compile", lambda engine: False)
    assert "Compiling" not in ipa("simulate", "video", *SHORT, "--json", "--set", "engine=compiled").stderr


@pytest.mark.parametrize(("rate", "engine"), [(50, "simpy"), (150, "compiled")])
def test_one_short_run_alone_takes_the_engine_that_is_there_sooner(rate: int, engine: str) -> None:
    """Two stages and 1000 s: 100,000 and 300,000 visits; loading the compiled engine takes as long as 200,000."""
    command = ("simulate", "video", "--trace", f"constant:{rate}:1000", "--policy", "static:yolov5n:8:9,resnet18:8:9")
    assert json.loads(ipa(*command, "--set", "records=none", "--json").stdout)["engine"] == engine


@pytest.mark.parametrize("command", [("simulate", "video"), ("compare", "video", "--policy", "static")])
def test_commands_that_simulate_say_so_first(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(progress, "compile_engine", told.append)
    assert ipa(*command, *SHORT, "--set", "engine=compiled").exit_code == 0
    assert told == ["compiled"]
