"""`ipa report` and the option --report: what is drawn, and what is noticed before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import SHORT, ipa, refusal
from tests.studies.browser import Browser, needs_chromium


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


def test_pages_share_one_file_of_plotly_beside_them(here: Path) -> None:
    """Five runs of 20 minutes take less than 2 MB then; by default a page needs no other file."""
    two = ("--policy", "ipa", "--policy", "scale-only:low", "--plotly-beside", "--report", "pages/two.html")
    (here / "pages").mkdir()
    assert ipa("compare", "video", "--out", "five", "--plotly-beside", "--report", "pages/five.html").exit_code == 0
    assert ipa("compare", "video", *SHORT, *two).exit_code == 0
    (shared,) = (here / "pages").glob("plotly-*.js")
    assert sorted((here / "pages").iterdir()) == [here / "pages" / "five.html", shared, here / "pages" / "two.html"]
    for name in ("five", "two"):
        page = (here / "pages" / f"{name}.html").read_text()
        assert f'<script src="{shared.name}"></script>' in page
        assert shared.read_text() not in page
    assert (here / "pages" / "five.html").stat().st_size < 2_000_000
    assert ipa("report", "five").stdout == "five/report.html\n"
    page = (here / "five" / "report.html").read_text()
    assert shared.read_text() in page
    assert "<script src=" not in page
    assert not [*(here / "five").glob("*.js")]


@pytest.mark.parametrize(
    "command",
    ["profile show video", "trace info bursty", "predictor show --trace bursty --windows 0:120 --predictor reactive"],
)
def test_a_page_written_by_to_may_have_plotly_beside_it(here: Path, command: str) -> None:
    assert ipa(*command.split(), "--to", "page.html", "--plotly-beside").exit_code == 0
    (shared,) = here.glob("plotly-*.js")
    assert f'<script src="{shared.name}"></script>' in (here / "page.html").read_text()


@needs_chromium
def test_a_page_is_drawn_with_the_file_beside_it(here: Path, shown: Browser) -> None:
    assert ipa("simulate", "video", *SHORT, "--plotly-beside", "--report", "page.html").exit_code == 0
    shown.open(here / "page.html")
    shown.draw_all()
    assert shown.run("document.querySelectorAll('.plot .main-svg').length") > 0


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
        ('{"schema_version": 1, "kind": "runs"}', "'runs'"),
        ('{"schema_version": 1, "kind": "runs", "runs": []}', "'runs'"),
    ],
)
def test_a_comparison_whose_runs_are_not_there_is_refused(own: Path, manifest: str, text: str) -> None:
    (own / "run" / "manifest.json").write_text(manifest)
    assert text in refusal("report", "run")
