"""`ipa report` and the option --report: what is drawn, and what is noticed before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import SHORT, ipa, refusal


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


def test_a_report_that_could_not_be_written_is_noticed_before_anything_runs(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, text = "nofolder/r.html", "nofolder does not exist"

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
        ('{"schema_version": 2, "kind": "runs"}', "'runs'"),
        ('{"schema_version": 2, "kind": "runs", "runs": []}', "'runs'"),
    ],
)
def test_a_comparison_whose_runs_are_not_there_is_refused(own: Path, manifest: str, text: str) -> None:
    (own / "run" / "manifest.json").write_text(manifest)
    assert text in refusal("report", "run")
