"""The page on the paper's study: its tables and sentences follow from a study's tables, and its figures from runs."""

from __future__ import annotations

from statistics import fmean

import pytest

from ipa.studies import Scenario, simulate
from ipa.studies.many.study.published import ComparedCell, score
from ipa.studies.many.study.run import prepare
from ipa.studies.many.study.schema import SHIPPED, PublishedFigures, load_published
from tests.programs import paper_page
from tests.programs.paper_sentences import section, sentences
from tests.programs.paper_tables import figure, sections
from tests.test_docs import needs_real_trace, table_rows

# ---- what follows from a study's tables: two pipelines on two loads, to check by hand ----

TABLES = """
### Every system, own defaults

| pipeline | system | cost, cores | PAS | SLA violations, % | latency |
|---|---|---:|---:|---:|---:|
| video | IPA | 4.00 | 40.00 | 0.00 | 1 |
| video | lean | 2.00 | 30.00 | 0.10 | 1 |
| video | leaner | 1.00 | 30.00 | 3.00 | 1 |
| video | heavy | 8.00 | 50.00 | 0.30 | 1 |
| video | oracle (bound) | 0.50 | 60.00 | 0.00 | 1 |
| nlp | IPA | 40.00 | 10.00 | 0.00 | 1 |
| nlp | lean | 41.00 | 9.00 | 0.00 | 1 |
| nlp | leaner | 20.00 | 9.00 | 12.00 | 1 |
| nlp | heavy | 100.00 | 12.00 | 1.00 | 1 |
| nlp | oracle (bound) | 0.50 | 60.00 | 0.00 | 1 |

### What bounds them, own defaults

| pipeline | workload | cost, cores | PAS | SLA violations, % | objective | IPA | lean | leaner | heavy |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|
| video | bursty | 1 | 1 | 0 | 1 | −1.00 | −2.00 | −0.50* | −9.00 |
| video | steady | 1 | 1 | 0 | 1 | −3.00† | −2.00 | −0.50* | −2.00 |
| nlp | bursty | 1 | 1 | 0 | 1 | −1.00† | −2.00 | −0.50* | −9.00 |
| nlp | steady | 1 | 1 | 0 | 1 | −1.50 | −2.00 | −0.50 | −9.00 |

### What bounds them, published settings

| pipeline | workload | cost, cores | PAS | SLA violations, % | objective | IPA | lean | leaner | heavy |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|
| video | bursty | 1 | 1 | 0 | 1 | −1.00 | −2.00 | −0.50* | −9.00 |
"""


def test_what_wins_where_is_said_in_five_sentences() -> None:
    """Starred systems do not count, equal ones all do; violations up to 0.1 % keep the SLA; oracle is no contender."""
    nearest, published, cheapest, accurate, losing = sentences(sections(TABLES))
    assert nearest.startswith(
        "With own defaults, IPA comes nearest to the oracle's objective in 2 of the 4 cells, lean in 1, heavy in 1 "
        "and leaner in 1; a system"
    )
    assert published.endswith("IPA comes nearest to the oracle's objective in 1 of the 1 cells.")
    assert cheapest.endswith("is lean on video and IPA on nlp.")
    assert accurate == (
        "The most accurate is heavy on every pipeline, for 2.5 to 4.0 times the cores of the cheapest, with up to "
        "1.0 % violations."
    )
    assert losing == (
        "With own defaults, leaner violates the SLA for up to 12.0 % of a pipeline's requests, and all others for at "
        "most 1 %."
    )


def test_where_none_loses_requests_that_is_said() -> None:
    kept = TABLES.replace("| 12.00 |", "| 0.00 |").replace("| 3.00 |", "| 0.00 |")
    assert sentences(sections(kept))[-1] == (
        "With own defaults, no system violates the SLA for more than 1 % of a pipeline's requests."
    )


def test_the_section_is_a_list_of_lines_that_fit() -> None:
    lines = section(sections(TABLES)).splitlines()
    assert sum(line.startswith("- ") for line in lines) == 5
    assert max(map(len, lines)) <= 120


# ---- what runs give ----

FITTED = {("audio-qa", "bursty", "rim"), ("audio-qa", "fluctuating", "rim")}
"""The test cells to which a parameter was fitted."""


@pytest.fixture(scope="module")
def cells() -> list[ComparedCell]:
    """The published cells beside ours, of seed 1: planned figures hardly depend on the seed."""
    published = load_published(SHIPPED / "paper" / "published.yaml").cells
    found = []
    for study, runs in prepare("paper", ["video", "audio-qa"], 1).studies:
        for run in runs:
            given = published[study.pipeline].get(run.workload, {}).get(run.system)
            if given is not None and run.setting == "published":
                found.append(
                    ComparedCell(study.pipeline, "published", run.workload, run.system, given, planned(run.scenario))
                )
    return found


def planned(scenario: Scenario) -> PublishedFigures:
    summary = simulate(scenario).summary
    return PublishedFigures(cores=summary["planned_cost_mean_cores"], pas=summary["planned_pas_mean"])


@pytest.mark.long
@needs_real_trace
def test_the_agreement_is_what_runs_give(cells: list[ComparedCell]) -> None:
    """At most 12 % of cost and 2 points of PAS were the aim, and 7 of 8 rows in order, which is missed."""
    steady = [cell for cell in cells if cell.workload.startswith("steady")]
    test = [cell for cell in cells if cell not in steady]
    untouched = [cell for cell in test if (cell.pipeline, cell.workload, cell.system) not in FITTED]
    of_page = table_rows("paper.md", "Agreement", "| cells |")
    for row, chosen in zip(of_page, (cells, steady, test, untouched), strict=True):
        found = score(chosen)
        assert found is not None
        assert int(row[1]) == found.cells
        assert figure(row[2]) == pytest.approx(100 * found.cost_error, abs=0.3)
        assert figure(row[3]) == pytest.approx(found.pas_error, abs=0.03)
        assert row[4] == f"{found.rows_in_order} of {found.rows}"
    assert (figure(of_page[0][2]) <= 12, figure(of_page[0][3]) <= 2, int(of_page[0][1])) == (True, True, 32)


@needs_real_trace
def test_the_cells_that_are_far_off_are_what_runs_give(cells: list[ComparedCell]) -> None:
    far = {
        (cell.pipeline, cell.workload, cell.system.upper()): cell.ours.cores
        for cell in cells
        if abs(100 * cell.cost_error) > paper_page.FAR_PERCENT
    }
    said = {
        (*row[:2], row[2].upper()): figure(row[4]) for row in table_rows("paper.md", "Why some cells differ", "| p")
    }
    assert said == pytest.approx(far, rel=0.02)


@needs_real_trace
def test_the_ranking_hangs_on_the_fitted_parameter_as_the_page_says(cells: list[ComparedCell]) -> None:
    """RIM's beta on audio-qa's bursty and fluctuating as on the other loads."""
    changed = {(cell.pipeline, cell.workload, cell.system): cell for cell in cells}
    ((_, runs),) = prepare("paper", ["audio-qa"], 1).studies
    for run in runs:
        at = (run.pipeline, run.workload, run.system)
        if at in FITTED and run.setting == "published":
            ours = planned(run.scenario.with_values({"policy.beta": 0.5}))
            changed[at] = ComparedCell("audio-qa", "published", run.workload, "rim", changed[at].published, ours)
    found = score(list(changed.values()))
    assert found is not None
    text = " ".join(paper_page.PAGE.read_text(encoding="utf-8").split())
    assert f"{found.rows_in_order} of {found.rows} rows are in the published order (seed 1)" in text


@pytest.mark.long
@needs_real_trace
def test_what_is_lost_with_each_forecast_is_what_runs_give() -> None:
    """Exactly where the network's arithmetic is that of the machine that wrote the page; within 3 % anywhere."""
    ways = {
        "as published": "forecasts",
        "starts 40 s longer": "forecasts-slow-starts",
        "removed replicas lose what they hold": "forecasts-losing",
    }
    said = {(row[0], row[1]): row[2:5] for row in table_rows("paper.md", "Lost with each forecast", "| pipeline |")}
    for study, runs in prepare("paper", ["video", "audio-qa"], 5).studies:
        for way, sweep in ways.items():
            for of_page, point in zip(said[study.pipeline, way], study.sweeps[sweep].points, strict=True):
                found = [
                    simulate(run.scenario).summary
                    for run in runs
                    if (run.system, run.point, run.workload) == (sweep, point, "bursty")
                ]
                lost, cost = (figure(part) for part in of_page.rstrip(")").split(" ("))
                assert fmean(each["dropped"] + each["failed"] for each in found) == pytest.approx(lost, rel=0.03, abs=5)
                assert fmean(each["cost_mean_cores"] for each in found) == pytest.approx(cost, rel=0.01)


@pytest.mark.long
@needs_real_trace
def test_with_one_queue_none_of_the_bursty_requests_of_video_is_lost() -> None:
    ((_, runs),) = prepare("paper", ["video"], 5).studies
    central = [run for run in runs if (run.system, run.point) == ("dynamics", "central dispatch")]
    assert [simulate(run.scenario).summary["dropped"] for run in central if run.workload == "bursty"] == [0] * 5
