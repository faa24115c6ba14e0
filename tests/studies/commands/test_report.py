"""`ipa report` and the option --report: what is drawn, and what is noticed before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import SHORT, ipa, is_refused, refusal


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


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("nofolder/r.html", "nofolder does not exist"),
        ("my.py/r.html", "my.py is not a folder"),
        ("/proc/r.html", "/proc/r.html: cannot be written"),
        ("run", "is a folder"),
    ],
)
def test_a_report_that_could_not_be_written_is_noticed_before_anything_runs(
    own: Path, monkeypatch: pytest.MonkeyPatch, path: str, text: str
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("simulated")

    monkeypatch.setattr("ipa.studies.runs.run.simulate_policy", never)
    monkeypatch.setattr("ipa.studies.pages.comparison.page", never)
    assert text in refusal("simulate", "video", *SHORT, "--report", path)
    assert text in refusal("simulate", "video", *SHORT, "--out", "new", "--report", path)
    assert text in refusal("compare", "video", *SHORT, "--jobs", 1, "--out", "new", "--report", path)
    assert text in refusal("report", "run", "--to", path)


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        ("{", "manifest.json:1: not valid JSON"),
        ("[]", "manifest.json: should hold a JSON object"),
        ('{"schema_version": 9, "kind": "run"}', "schema_version is 9; this program reads 1"),
        ('{"schema_version": 1, "kind": "rnu"}', "kind is 'rnu'"),
        ('{"schema_version": 1, "kind": "run"}', "'summary'"),
        ('{"schema_version": 1, "kind": "runs"}', "'runs'"),
        ('{"schema_version": 1, "kind": "runs", "runs": []}', "'runs'"),
        ('{"schema_version": 1, "kind": "runs", "runs": [3]}', "'runs'"),
        ('{"schema_version": 1, "kind": "runs", "runs": ["a"]}', "not finished: 1 of 1 runs are missing, a first"),
    ],
)
def test_unreadable_results_are_refused(own: Path, manifest: str, text: str) -> None:
    (own / "run" / "manifest.json").write_text(manifest)
    assert text in refusal("report", "run")


def test_damaged_tables_are_refused(own: Path) -> None:
    requests = own / "run" / "requests.parquet"
    requests.write_bytes(requests.read_bytes()[:1000])
    assert "run/requests.parquet: not readable as parquet" in refusal("report", "run")
    requests.unlink()
    assert "run/requests.parquet: no such file" in refusal("report", "run")


def test_a_folder_without_results_is_refused() -> None:
    is_refused("report nofolder", ["nofolder: no such file or folder"])
