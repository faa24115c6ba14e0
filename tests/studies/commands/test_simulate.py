"""`ipa simulate`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from ipa.studies.commands import printing
from tests.command import POLICIES, SHORT, SUMMARY_NAMES, answer, ipa


def test_json_is_the_summary_alone_with_its_stable_names() -> None:
    """5 rps for 30 s: 150 requests; one core at each of two stages: 2 cores, 60 core-seconds."""
    summary = answer("simulate", "video", *SHORT, "--json")
    assert [name for name in summary if name in SUMMARY_NAMES] == SUMMARY_NAMES
    told = ("pipeline", "policy", "trace", "seed", "duration_s", "requests", "completed", "decisions", "cost_core_s")
    assert [summary[name] for name in told] == ["video", "ipa", "constant:5", 1, 30.0, 150, 150, 3, 60.0]
    assert summary["cost_mean_cores"] == summary["planned_cost_mean_cores"] == 2.0


def test_a_window_of_a_packed_trace_is_cut_scaled_and_run(here: Path) -> None:
    """The published window: 1200 s of 47 a second, an eighth of each rounded down to 5, makes 6000 requests."""
    counts = ["40"] * 1301160 + ["47"] * 1200 + ["40"] * 40
    (here / "real.txt.xz").write_bytes(lzma.compress("\n".join(counts).encode(), preset=0))
    window = ("--window", "1301160:1302360", "--scale", 0.125, "--set", "scaling=floor")
    command = ("--policy", "ipa", "--trace", "real.txt.xz", *window, "--seed", 1, "--set", "arrivals=even")
    summary = answer("simulate", "video", *command, "--json", "-q")
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


def test_an_overload_is_a_result_with_a_warning_on_stderr() -> None:
    """One replica a stage cannot serve 100 rps: most requests are dropped, which JSON readers are told too."""
    result = ipa("simulate", "video", "--policy", "static:1,1", "--trace", "constant:100:20", "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said["dropped"] > 1000
    share = f"{100 * said['dropped'] / said['requests']:.3g} % of the requests were dropped: it is overloaded"
    assert result.stderr == f"Warning: static:1,1: {share}; latencies are of completed ones only\n"


def test_a_share_that_misleads_is_a_plain_number(capsys: pytest.CaptureFixture[str]) -> None:
    for dropped, share in ((860, "86"), (999, "99.9"), (1000, "100")):
        printing.warn([{"policy": "p", "requests": 1000, "dropped": dropped, "unfinished": 0}])
        assert capsys.readouterr().err.startswith(f"Warning: p: {share} % of the requests were dropped")


def test_a_load_without_requests_has_no_latencies(here: Path) -> None:
    (here / "none.txt").write_text("0\n" * 20)
    summary = answer("simulate", "video", "--trace", "none.txt", "--json", "-q")
    assert (summary["requests"], summary["latency_p99_s"], summary["pas_mean"]) == (0, None, None)
    assert summary["sla_violation_rate"] == 0.0
    assert ipa("simulate", "video", "--trace", "none.txt", "--out", "run", "--report", "none.html").exit_code == 0


def test_names_are_printed_as_they_are(own: Path) -> None:
    """Neither emoji (`:x:`) nor markup (`[b]`) are read into a name."""
    odd = Path("a[b]:x:")
    odd.mkdir()
    (odd / "my.py").write_text(POLICIES)
    assert "policy a[b]:x:/my.py:Hold" in ipa("simulate", "video", *SHORT, "--policy", f"{odd}/my.py:Hold").stdout


@pytest.mark.parametrize("command", ["simulate", "compare"])
def test_results_go_to_a_new_folder_or_an_empty_one(here: Path, command: str) -> None:
    run = (command, "video", *SHORT, "--policy", "ipa", "--out")
    assert ipa(*run, "new/deep").exit_code == 0
    (here / "empty").mkdir()
    assert ipa(*run, "empty").exit_code == 0


def test_a_comparison_goes_to_the_current_folder_where_that_is_empty(here: Path) -> None:
    assert ipa("compare", "video", *SHORT, "--policy", "ipa", "--out", ".").exit_code == 0
    assert sorted(path.name for path in here.iterdir()) == [".lock", "finished.sqlite", "manifest.json", "runs.parquet"]
