"""The command `ipa validate`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import Result

from ipa.studies import Scenario
from ipa.studies.runs.results.atomic import put_table
from ipa.studies.validation import sentences
from ipa.studies.validation.experiment import RunLive
from tests.command import ipa, refusal
from tests.studies.validation.worlds import world

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def simulated_live(monkeypatch: pytest.MonkeyPatch) -> Callable[[RunLive], None]:
    """Let a function stand for the live backend."""

    def use(run_live: RunLive) -> None:
        monkeypatch.setattr("ipa.studies.validation.run.live_runner", lambda how, scenario: run_live)

    return use


SHORT = ("fluctuating", "--window", "100:140", "--set", "policy.load_margin=0.5", "--repeats", 2)


class Printed(NamedTuple):
    """A validation in the folder `out`: what the command printed, in words and, with its runs there, as JSON."""

    out: Path
    report: Path
    in_words: Result
    as_json: Result


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Printed:
    folder = tmp_path_factory.mktemp("validated")
    out, report = folder / "out", folder / "report.html"
    command = ("validate", "video", "--trace", *SHORT, "--out", out)
    reported = ("--report", report) if find_spec("plotly") else ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ipa.studies.validation.run.live_runner", lambda how, scenario: world()[1])
        return Printed(out, report, ipa(*command, *reported), ipa(*command, "--json"))


def test_the_command_says_how_far_off_the_simulator_is(printed: Printed) -> None:
    result = printed.in_words
    assert result.exit_code == 0
    assert "2 live runs (loopback) against the simulator" in result.stdout
    assert "Measured on other seconds: a request's way 0.0 ms, a batch +" in result.stdout
    assert "latency, p99 (s)" in result.stdout
    assert "object-detection" in result.stdout
    assert "Equal decisions on the same observation: 8 of 8 (100.0 %, wanted 100 %)" in result.stdout
    assert "Verdict: " in result.stdout
    assert " ".join(sentences.TIPS.split()) in " ".join(result.stdout.split())
    assert "the machine was" not in result.stdout  # that is for stderr


def test_the_command_as_json(printed: Printed) -> None:
    found = json.loads(printed.as_json.stdout)
    assert found == json.loads((printed.out / "validation.json").read_text())
    assert found["compared_window"] == [[100.0, 140.0]]
    assert [row["metric"] for row in found["judged"]["rows"]][:2] == ["latency_mean_s", "latency_p50_s"]
    assert set(found["repeats"][0]["conditions"]) >= {"lateness_p99_s", "busy_share", "flags"}


def test_each_live_run_is_an_ordinary_result(printed: Printed) -> None:
    pytest.importorskip("plotly")
    assert ipa("report", printed.out / "live-2").exit_code == 0
    assert ipa("report", printed.out / "simulated").exit_code == 0


def test_the_report_is_drawn_again_from_its_folder(printed: Printed) -> None:
    pytest.importorskip("plotly")
    assert ipa("report", printed.out).exit_code == 0
    drawn = (printed.out / "report.html").read_bytes()
    assert drawn == printed.report.read_bytes()
    for name in ("distribution", "latency", "replicas", "utilisation", "load"):
        assert f'id="plot-{name}"'.encode() in drawn


def test_an_interrupted_command_says_what_is_kept(simulated_live: Callable[[RunLive], None], tmp_path: Path) -> None:
    def interrupted(scenario: Scenario, folder: Path) -> None:
        raise KeyboardInterrupt

    simulated_live(interrupted)
    result = ipa("validate", "video", "--trace", *SHORT, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert f"interrupted; finished runs are kept in {tmp_path / 'out'}" in result.stderr
    assert "calibration is missing; run the same command again to resume" in refusal("report", tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--backend", "moon"), "'moon'; allowed: loopback, kubernetes"),
        (("--repeats", "0"), "'0'; allowed: a whole number from 1"),
        (("--calibration-window", "late"), "--calibration-window late: a window is START:END in seconds"),
        (("--duration", "5000"), "has no 5000 seconds in a row"),
    ],
)
def test_what_cannot_be_validated(options: tuple[str, ...], said: str, monkeypatch: Any) -> None:
    assert said in refusal("validate", "video", *options)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A disk that has no room for the folders of these names below `tmp_path/out`."""
    names: list[str] = []

    def put(table: Any, path: Path) -> None:
        if path.is_relative_to(tmp_path / "out") and any(f".{name}." in str(path) for name in names):
            raise OSError(28, "No space left on device")
        put_table(table, path)

    monkeypatch.setattr("ipa.studies.runs.results.folder.put_table", put)
    return names


def test_a_live_run_for_which_the_disk_has_no_room_is_printed_and_kept_elsewhere(
    simulated_live: Callable[[RunLive], None], tmp_path: Path, full: list[str]
) -> None:
    """Moved to its place, the validation goes on with it."""
    simulated_live(world()[1])
    full.append("live-1")
    given = ("validate", "video", "--trace", *SHORT, "--out", tmp_path / "out")
    result = ipa(*given)
    assert result.exit_code == 2
    assert "latency mean, p50, p95, p99" in result.stdout
    assert "No space left on device; it is in " in result.stderr
    assert "instead: move it where there is room" in result.stderr
    place = Path(result.stderr.partition("; it is in ")[2].partition(" instead")[0])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".lock", "calibration", "manifest.json"]
    shutil.move(place, tmp_path / "out" / "live-1")
    assert ipa(*given).exit_code == 0


def test_a_comparison_for_which_the_disk_has_no_room_is_printed(
    simulated_live: Callable[[RunLive], None], tmp_path: Path, full: list[str]
) -> None:
    simulated_live(world()[1])
    full.append("simulated")
    result = ipa("validate", "video", "--trace", *SHORT, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "Verdict: " in result.stdout
    assert "simulated: cannot be written: No space left on device" in result.stderr


def test_json_stands_alone(simulated_live: Callable[[RunLive], None]) -> None:
    simulated_live(world()[1])
    result = ipa("validate", "video", "--trace", *SHORT, "--json")
    assert json.loads(result.stdout)["kind"] == "validation"
