"""What a study's runs say of its systems and sweeps: in its page, in Python, and drawn again by the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa.studies import ScenarioError, read_study
from tests.command import ipa
from tests.studies.page_rules import check_page
from tests.studies.study.mine import figures, study

pytest.importorskip("plotly")

pytestmark = pytest.mark.usefixtures("here")


def test_the_page_of_a_study_says_which_system_wins_and_shows_its_sweeps() -> None:
    (taken,) = [each for each in study()["recommendations"] if each["setting"] == "plain"]
    assert (taken["pipeline"], taken["late_at_most"]) == ("mine", 0.01)
    assert "at most 1 % late" in Path("out/report.html").read_text()
    assert f"mine: {taken['sentences'][0]}" in ipa("study", "study.yaml", "--out", "out").stdout
    study()
    page = Path("out/report.html").read_text()
    check_page(page)
    assert "Which system wins" in page
    assert "Sweep: other weights" in page
    assert "mine-weights-plain-front-2" in figures(page)
    Path("out/report.html").unlink()
    assert ipa("report", "out").stdout == "out/report.html\n"
    assert Path("out/report.html").read_text() == page
    found = read_study("out")
    assert set(figures(page)) == set(found.figures())
    answers = found.answers("weights")
    assert answers.ran == "8 runs: 2 settings on 2 loads with 2 seeds"
    assert [key.name for key in answers.all_settings.keys] == ["policy.alpha", "workload"]
    assert [key.name for key in found.answers().settings.keys] == ["system"]
    assert len(found.answers(setting="slow").settings) == 2
    with pytest.raises(ScenarioError, match="no two runs to compare: the sweep 'other'"):
        found.answers("other")
