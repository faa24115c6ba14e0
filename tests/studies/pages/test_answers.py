"""The pictures and the page of a table of runs: what a table can carry, how it is read, and how large it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ipa.studies import Answers, Scenario, ScenarioError, answer, read_answers
from ipa.studies.pages import Section, Table, html_of
from ipa.studies.pages.answers import against, page, plots
from ipa.studies.pages.document import Choice
from tests.command import ipa, refusal
from tests.studies.answers.tables import grid, runs
from tests.studies.page_rules import check_page

pytest.importorskip("plotly")

USUAL = {"cost_mean_cores": 1.0, "pas_mean": 1.0, "sla_violation_rate": 1e-3}


def swept(settings: int, seeds: int) -> list[dict[str, object]]:
    """Random settings of four keys with figures of their own."""
    random = np.random.default_rng(1)
    return [
        {
            "policy.alpha": float(a),
            "policy.load_margin": float(m),
            "policy.predictor.name": ("max", "<lstm> & co")[at % 2],
            "max_surge": at % 4,
            **{key: (scale * (a + m + random.normal(1.0, 0.05, seeds))).tolist() for key, scale in USUAL.items()},
        }
        for at, (a, m) in enumerate(random.random((settings, 2)))
    ]


TABLE = runs(swept(30, 4), 4)


def render(found: Answers) -> str:
    return html_of(page(found))


def test_keys_carry_effects_and_outcomes_fronts() -> None:
    one = runs([{"hop_s": 1.0 * n, "cost_mean_cores": 1.0 + n} for n in range(3)])
    assert [plot.name for plot in plots(answer(one))] == ["effects-cost_mean_cores"]
    two = grid({"policy.a": [1, 2], "policy.b": [1, 2]}, lambda a, b: a + b)
    assert [plot.name for plot in plots(answer(two))] == ["effects-cost_mean_cores"]
    names = [plot.name for plot in plots(answer(TABLE))]
    assert [name for name in names if name.startswith("front")] == ["front-2", "front-3"]
    assert sum(name.startswith("effects-") for name in names) == 3


@pytest.mark.parametrize("seeds", [1, 3])
def test_an_outcome_that_is_the_same_with_every_setting_is_said_and_not_drawn(seeds: int) -> None:
    rows = [row | {"sla_violation_rate": 0.0} for row in swept(12, seeds)]
    found = answer(runs(rows, seeds))
    names = [plot.name for plot in plots(found)]
    assert "front-2" in names
    assert "front-3" not in names
    assert not [name for name in names if name.endswith("sla_violation_rate")]
    (said,) = (sentence for sentence in found.headline if sentence.startswith("SLA violations"))
    assert said.startswith("SLA violations: 0.00")
    assert "with every setting" in said
    assert "Best settings: SLA violations" not in render(answer(runs(rows, seeds)))


@pytest.mark.long
@pytest.mark.parametrize(("settings", "level"), [(2, "95"), (4, "98.3"), (6, "99"), (1501, "99.9967")])
def test_the_level_of_an_interval_has_no_more_digits_than_tell_it_from_100(settings: int, level: str) -> None:
    assert f"<small>each at {level} %</small>" in render(answer(runs(swept(settings, 2), 2)))


def test_the_figures_are_plotlys_own() -> None:
    found = answer(TABLE)
    assert list(found.figures()) == [plot.name for plot in plots(found)]


def test_the_front_is_drawn_as_it_is_by_its_means() -> None:
    found = answer(TABLE)
    (on,) = (trace for trace in plots(found)[0].traces if trace.get("name") == "on the front")
    expected = found.front("cost_mean_cores", "pas_mean")
    assert on["x"] == pytest.approx(expected["cost_mean_cores"].tolist(), abs=1e-4)
    assert on["error_x"]["array"][0] > 0.0


def test_a_page_keeps_the_rules_and_is_the_same_every_time() -> None:
    drawn = render(answer(TABLE, title="Mine"))
    check_page(drawn)
    assert drawn == render(answer(TABLE, title="Mine"))
    assert "Mine: 120 runs: 30 settings with 4 seeds" in drawn
    assert "<h1>Mine: alpha, load_margin, predictor, max_surge varied</h1>" in drawn
    assert page(answer(TABLE.assign(pipeline="video", trace="bursty"))).title.startswith("video on bursty: alpha, ")
    assert "<lstm>" not in drawn
    assert 'aria-label="Best settings: PAS"' in drawn


@pytest.mark.long
def test_ten_thousand_runs_make_a_page_below_six_megabytes_and_it_says_what_is_left_out() -> None:
    drawn = render(answer(runs(swept(2000, 5), 5)))
    assert len(drawn.encode()) < 6_000_000
    assert "are drawn at random" in drawn


def test_a_table_with_one_seed_makes_a_page_that_claims_nothing() -> None:
    drawn = render(answer(runs(swept(12, 1), 1)))
    check_page(drawn)
    assert "with one seed no setting is shown to win" in drawn
    assert "There are too few seeds to say how sure the front is." in drawn


@pytest.mark.usefixtures("tmp_path")
def test_a_table_or_the_folder_of_a_sweep_is_drawn_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("swept").mkdir()
    TABLE.to_parquet("swept/runs.parquet")
    manifest = {"schema_version": 2, "kind": "sweep"}
    Path("swept/manifest.json").write_text(json.dumps(manifest))
    assert "swept/manifest.json: does not say what was varied" in refusal("report", "swept")
    manifest |= {"scenario": Scenario(pipeline="video").as_dict(), "vary": []}
    Path("swept/manifest.json").write_text(json.dumps(manifest))
    assert ipa("report", "swept").stdout == "swept/report.html\n"
    assert "Sweep: swept" in Path("swept/report.html").read_text()
    assert ipa("report", "swept/runs.parquet", "--to", "one.html").stdout == "one.html\n"
    check_page(Path("one.html").read_text())
    monkeypatch.setattr("ipa.studies.pages.check_images", lambda what: None)
    monkeypatch.setattr("ipa.studies.pages.draw_images", lambda plots, form, on_drawn: [b"drawn"] * len(plots))
    said = ipa("report", "swept", "--static", "svg").stdout.splitlines()
    assert "swept/figures/front-2.svg" in said
    assert "gone: no such file or folder" in refusal("report", "gone")


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("x")
    with pytest.raises(ScenarioError, match="not readable as parquet"):
        read_answers(tmp_path / "x.parquet")
    with pytest.raises(ScenarioError, match="no such file"):
        read_answers(tmp_path / "y.parquet")


def test_a_reader_picks_the_setting_that_all_others_are_compared_with() -> None:
    """Two settings with the same seeds: 2, 4 and 6 less 1, 2 and 3 cores is 2 on average, and the other way round."""
    table = runs(
        [
            {"policy": "cheap", "cost_mean_cores": [1.0, 2.0, 3.0]},
            {"policy": "dear", "cost_mean_cores": [2.0, 4.0, 6.0]},
        ],
        3,
    )
    (section,) = against(answer(table))
    choice, *shown = section.parts
    assert isinstance(choice, Choice)
    assert dict(choice.options) == {"0": "cheap", "1": "dear"}
    rows = {}
    for each in shown:
        assert isinstance(each, Section)
        (of,) = each.parts
        assert isinstance(of, Table)
        rows[each.shown_for["against"]] = [[cell if isinstance(cell, str) else cell.text for cell in of.rows[0]]]
    assert rows == {"0": [["dear", "+2.00"]], "1": [["cheap", "−2.00"]]}
    assert not against(answer(runs(swept(21, 2), 2)))


def test_what_was_run_is_told_at_the_end_and_folded() -> None:
    facts = page(answer(TABLE)).facts
    assert facts["Seeds"] == "1, 2, 3, 4"
    assert facts["max_surge"] == "0, 1, 2, 3"
    assert facts["alpha"].startswith("30 values from ")
    assert facts["Runs"] == "120 runs: 30 settings with 4 seeds"
