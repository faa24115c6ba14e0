"""The pages on the paper's study are true: tables agree with the published figures, and the text with the tables."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import fmean

import pytest

from ipa.studies import simulate
from ipa.studies.drawing import NONE
from ipa.studies.many.study import course, published_file
from ipa.studies.many.study.published import Compared, score
from ipa.studies.many.study.published_file import PublishedFigures
from tests.studies import paper_sentences
from tests.studies.figure_16.runs import lost
from tests.studies.figure_16.settings import FORECASTS, PIPELINES, settings
from tests.studies.paper_page import DETAILS, NO_MATCH, PAGE, digested, figure, gains, refreshed, rows, sections, span
from tests.test_docs import ROOT, needs_real_trace, table_rows

CALIBRATED = ("steady-low", "steady-high")
SEEDS = 5
"""Of the pages."""


@pytest.fixture(scope="module")
def cells() -> list[Compared]:
    """The page's cells, as it prints them."""
    found = []
    for row in table_rows("paper-details.md", "Published cells beside ours", "| pipeline | workload |"):
        pipeline, workload, system, cores, ours, _, pas, our_pas, _, *dynamics = row
        lost, our_lost, seconds, our_seconds = (None if text == NONE else figure(text) for text in dynamics)
        one, other = (
            PublishedFigures(cores=figure(cores), pas=figure(pas), lost=lost, violated_seconds_percent=seconds),
            PublishedFigures(
                cores=figure(ours), pas=figure(our_pas), lost=our_lost, violated_seconds_percent=our_seconds
            ),
        )
        found.append(Compared(pipeline, "published", workload, system.lower(), one, other))
    return found


def test_the_pages_published_cells_are_the_files(cells: list[Compared]) -> None:
    path = Path(course.__file__).parents[1] / "paper" / "published.yaml"
    given = {
        (pipeline, workload, system): figures
        for pipeline, workloads in published_file.load(path).cells.items()
        for workload, systems in workloads.items()
        for system, figures in systems.items()
    }
    assert {(cell.pipeline, cell.workload, cell.system): cell.published for cell in cells} == given


def test_the_pages_differences_are_those_of_its_cells(cells: list[Compared]) -> None:
    rows = table_rows("paper-details.md", "Published cells beside ours", "| pipeline | workload |")
    for row, cell in zip(rows, cells, strict=True):
        assert figure(row[5]) == pytest.approx(100 * cell.cost_error, abs=0.3)
        assert figure(row[8]) == pytest.approx(cell.pas_error, abs=0.011)


def test_the_pages_score_is_that_of_its_cells_and_good_enough(cells: list[Compared]) -> None:
    """At most 12 % of cost and 2 points of PAS; the aim of 7 of 8 rows in order is missed, which the page says."""
    rows = [
        row
        for row in table_rows("paper-details.md", "Agreement with the published cells", "| setting |")
        if row[0] == "published settings"
    ]
    for row in rows:
        chosen = {
            "all": cells,
            "calibrated on": [cell for cell in cells if cell.workload in CALIBRATED],
            "test": [cell for cell in cells if cell.workload not in CALIBRATED],
            "test, without fitted ones": [
                cell
                for cell in cells
                if cell.workload not in CALIBRATED and (cell.pipeline, cell.system) != ("audio-qa", "rim")
            ],
        }[row[1]]
        found = score(chosen)
        assert found is not None
        assert figure(row[2]) == found.cells
        assert figure(row[3]) == pytest.approx(100 * found.cost_error, abs=0.15)
        assert figure(row[4]) == pytest.approx(found.pas_error, abs=0.011)
        assert row[5] == f"{found.rows_in_order} of {found.rows}"
    whole = score(cells)
    assert whole is not None
    assert whole.cells == 32
    assert (whole.cost_error <= 0.12, whole.pas_error <= 2.0) == (True, True)
    assert whole.rows_in_order >= 7 or f"{whole.rows_in_order} of 8 rows are in the published order; 7 were" in prose(
        PAGE
    )


@needs_real_trace
def test_the_pages_cells_are_what_a_run_gives(cells: list[Compared]) -> None:
    """Seed 1 of 5: the planned figures hardly depend on the seed."""
    of_page = {(cell.pipeline, cell.workload, cell.system): cell.ours for cell in cells}
    ran = 0
    for _, runs in course.prepare("paper", ["video", "audio-qa"], 1).studies:
        for run in runs:
            ours = of_page.get((run.pipeline, run.workload, run.system))
            if ours is not None and run.setting == "published":
                summary = simulate(run.scenario).summary
                assert summary["planned_cost_mean_cores"] == pytest.approx(ours.cores, rel=0.02)
                assert summary["planned_pas_mean"] == pytest.approx(ours.pas, abs=0.1)
                ran += 1
    assert ran == 32


def test_the_pages_parameters_are_those_of_the_files() -> None:
    rows = {row[0]: row for row in table_rows("paper-details.md", "What is run", "| pipeline | alpha, beta |")}
    assert set(rows) == set(course.shipped())
    for name, (_, weights, cap, margin, share, replicas) in rows.items():
        ((_, runs),) = course.prepare("paper", [name], 1).studies
        plain = [run for run in runs if run.workload == "steady-high" and not run.point]
        of = {run.system: run.scenario.policy.parameters for run in plain}
        ipa, others = of["ipa"], of["fa2-low"]
        assert weights.split(";")[0] == f"{ipa['alpha']:g}, {ipa['beta']:g}"
        assert cap == f"{ipa['batch_cap']:g}"
        for text, key in ((margin, "load_margin"), (share, "throughput_share")):
            assert text.split(";")[0] == f"{others[key]:g}"
            assert text.rsplit(" ", 1)[-1] == f"{ipa[key]:g}"
        assert replicas.split(";")[0] == ", ".join(map(str, of["rim"]["replicas"].values()))


@pytest.mark.parametrize("setting", ["published settings", "own defaults"])
def test_the_page_s_oracle_bounds_every_system_on_every_load(setting: str) -> None:
    rows = table_rows("paper-details.md", f"What bounds them, {setting}", "| pipeline | workload |")
    assert len(rows) == 20
    *others, foresight = zip(*([figure(text.rstrip("*†")) for text in row[6:]] for row in rows), strict=True)
    assert all(distance < 0.0 for each in others for distance in each)
    assert max(foresight) <= 0.0


# ---- the first page ----


def prose(path: Path) -> str:
    """A page's text on one line."""
    return " ".join(path.read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def details() -> dict[str, str]:
    return sections(DETAILS.read_text(encoding="utf-8"))


def test_the_first_pages_tables_are_digests_of_the_details() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert digested(page, DETAILS.read_text(encoding="utf-8")) == page


def test_the_first_page_says_in_five_sentences_what_wins_where(details: dict[str, str]) -> None:
    found = sections(PAGE.read_text(encoding="utf-8"))[paper_sentences.HEADING]
    assert found == paper_sentences.section(details)
    assert len(re.findall(r"^- .*?\.$", found, re.MULTILINE | re.DOTALL)) == 5


def test_the_first_page_and_the_readme_give_the_agreement_of_the_details(details: dict[str, str]) -> None:
    of = {(row[0], row[1]): row[2:] for row in rows(details["Agreement with the published cells"])}
    number, cost, pas, order = of["published settings", "all"]
    _, test_cost, test_pas, _ = of["published settings", "test"]
    untouched, untouched_cost, untouched_pas, _ = of["published settings", "test, without fitted ones"]
    _, own_cost, own_pas, own_order = of["own defaults", "all"]
    page, readme = prose(PAGE), prose(ROOT / "README.md")
    for text, sentence in (
        (
            page,
            f"Over all {number} published cells, planned cost differs by {cost} and planned PAS by {pas} on average,",
        ),
        (page, f"and {order} rows are in the published order"),
        (
            page,
            f"Over the {untouched} cells that no parameter was chosen on, cost differs by {untouched_cost} and PAS by",
        ),
        (page, f"by {untouched_cost} and PAS by {untouched_pas}."),
        (page, f"cost differs by {own_cost} and PAS by {own_pas}, and {own_order} rows are in the published order"),
        (readme, f"compares all {number} published cells"),
        (readme, f"On average, cost differs by {cost} and PAS by {figure(pas):.1f}."),
        (readme, f"cost differs by {test_cost} and PAS by {figure(test_pas):.1f} ("),
        (
            readme,
            f"({untouched_cost} and {figure(untouched_pas):.1f} without two cells to which a parameter was",
        ),
        (readme, f"in {order} rows"),
    ):
        assert sentence in text
    worst = max(abs(figure(row[8])) for row in rows(details["Published cells beside ours"]))
    assert f"no PAS is more than {worst:.2f} off" in page


def test_the_first_page_says_what_the_headline_says(details: dict[str, str]) -> None:
    def least_and_most(column: int, *pipelines: str) -> list[str]:
        """Of what is gained on the loads of some pipelines, or of all."""
        cells = [row[column] for row in rows(details["The headline, measured"]) if not pipelines or row[0] in pipelines]
        return span(cell.removeprefix("≈ ").split()[0] for cell in cells if cell != NO_MATCH).split(" to ")

    page = prose(PAGE)
    most, dearer = (abs(round(figure(text))) for text in least_and_most(5))
    assert f"It is up to {most} % cheaper than RIM, but up to {dearer} % dearer where RIM's replicas just fit" in page
    measured = {row[0]: row[1:] for row in gains(details)}
    violations = measured["video"][3].rsplit("+", 1)[1].rstrip(")")
    assert f"on video has up to {violations} percentage points more SLA violations" in page
    least, most_pas = least_and_most(2, "audio-qa", "audio-sent", "sum-qa")
    on_video = least_and_most(2, "video")[1]
    assert f"it gains {least[1:]} to {most_pas[1:]} PAS on three pipelines and up to {on_video[1:]} on video;" in page
    assert {row[2] for row in rows(details["The headline, measured"]) if row[0] == "nlp"} == {NO_MATCH}
    assert "Compared with FA2-high, the difference is between {} and {} PAS.".format(*least_and_most(3)) in page
    planned = {row[0]: row[1:] for row in gains(details, "planned")}
    most = planned["video"][0].split(" (")[0].rsplit("+", 1)[1]
    assert f"IPA gains up to {most} PAS on video at FA2-low's cost" in page


def test_the_first_page_says_what_the_tables_of_all_systems_say(details: dict[str, str]) -> None:
    page = prose(PAGE)
    four = ("audio-qa", "audio-sent", "sum-qa", "nlp")

    def column(setting: str, index: int) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for row in rows(details[f"Every system, {setting}"]):
            if row[0] in four:
                found.setdefault(row[1], []).append(figure(row[index]))
        return found

    violations, own = column("published settings", 4), column("own defaults", 4)
    said = (min(violations["HPA"]), max(violations["HPA"]), min(own["HPA"]), max(own["HPA"]))
    assert "SLA most: {:.0f} to {:.0f} %, and {:.0f} to {:.0f} % with own defaults".format(*said) in page
    losing = [system for system, shares in own.items() if any(shares)]
    assert f"With own defaults, only {', '.join(losing[:-1])} and {losing[-1]} violate the SLA on the last four" in page
    cost, own_cost = column("published settings", 2), column("own defaults", 2)
    assert cost["HPA"] == [min(each) for each in zip(*cost.values(), strict=True)]
    assert violations["HPA"] == [max(each) for each in zip(*violations.values(), strict=True)]
    more = [100 * (kpa / low - 1) for kpa, low in zip(cost["KPA"], cost["FA2-low"], strict=True)]
    assert f"it costs {min(more):.0f} to {max(more):.0f} % more than FA2-low" in page
    less = [100 * (1 - kpa / low) for kpa, low in zip(own_cost["KPA"], own_cost["FA2-low"], strict=True)]
    assert min(less) > -0.5
    assert f"With own defaults it costs up to {max(less):.0f} % less" in page
    less = [100 * (1 - one / low) for one, low in zip(cost["InferLine"], cost["FA2-low"], strict=True)]
    assert f"costs {min(less):.0f} to {max(less):.0f} % less than FA2-low on them" in page
    every = {
        system: [
            [figure(cell) for cell in row[2:5]]
            for row in rows(details["Every system, own defaults"])
            if row[1] == system
        ]
        for system in ("InferLine", "Faro", "Planner", "Ray Serve")
    }
    times = {
        name: [one[0] / lean[0] for one, lean in zip(of, every["InferLine"], strict=True)] for name, of in every.items()
    }
    assert not any(violations for *_, violations in every["Faro"])
    more = [100 * (each - 1) for each in times["Faro"]]
    assert f"it costs {min(more):.0f} to {max(more):.0f} % more than InferLine" in page
    assert max(abs(each - 1) for each in times["Planner"]) < 0.04
    lost = [violations for *_, violations in every["Planner"]]
    assert f"violates the SLA for {min(lost):.1f} to {max(lost):.1f} % of the requests" in page
    lost = [violations for *_, violations in every["Ray Serve"]]
    costs = f"it costs {min(times['Ray Serve']):.1f} to {max(times['Ray Serve']):.1f} times as much as InferLine"
    assert f"{costs}, with up to {max(lost):.1f} % violations" in page
    infeasible = max(
        figure(row[8])
        for setting in ("published settings", "own defaults")
        for row in rows(details[f"Every system, {setting}"])
        if row[1] == "RIM"
    )
    assert f"up to {infeasible:.1f} % of its decisions on a pipeline are infeasible" in page


def test_the_first_page_says_how_near_the_oracle_is_and_how_well_loads_are_forecast(details: dict[str, str]) -> None:
    page = prose(PAGE)
    nearest = {}
    for setting in ("published settings", "own defaults"):
        found = rows(details[f"What bounds them, {setting}"])
        row = max(found, key=lambda row: max(figure(text.rstrip("*†")) for text in row[6:-1]))  # the last is foresight
        distances = [figure(text.rstrip("*†")) for text in row[6:-1]]
        assert (row[:2], distances.index(max(distances))) == (["video", "steady-high"], 6)
        nearest[setting] = -max(distances)
        shares = [figure(row[4]) for row in found if row[0].startswith("audio") and row[1] in ("bursty", "fluctuating")]
        if setting == "published settings":
            assert f"for {min(shares):.1f} to {max(shares):.1f} % of the requests" in page
    assert "{:.2f} and {:.2f} below".format(*nearest.values()) in page
    errors = [figure(row[1]) for row in rows(details["Forecast errors"])]
    assert f"SMAPE of our forecasts is {min(errors)} to {max(errors)} %" in page


@needs_real_trace
def test_what_hangs_on_the_fitted_parameter_is_what_a_run_gives(cells: list[Compared]) -> None:
    """RIM's beta on audio-qa's bursty and fluctuating as on the other loads, at seed 1."""
    fitted = {
        (cell.workload, cell.system): cell for cell in cells if cell.pipeline == "audio-qa" and cell.system == "rim"
    }
    changed = [cell for cell in cells if cell.workload in CALIBRATED or cell not in fitted.values()]
    ((_, runs),) = course.prepare("paper", ["audio-qa"], 1).studies
    for run in runs:
        if (run.system, run.setting) == ("rim", "published") and run.workload in ("bursty", "fluctuating"):
            summary = simulate(run.scenario.with_values({"policy.beta": 0.5})).summary
            ours = PublishedFigures(cores=summary["planned_cost_mean_cores"], pas=summary["planned_pas_mean"])
            given = fitted[run.workload, "rim"].published
            changed.append(Compared("audio-qa", "published", run.workload, "rim", given, ours))
    bursty, fluctuating = changed[-2:]
    found = score(changed)
    assert found is not None
    assert (found.cells, bursty.workload, fluctuating.workload) == (32, "bursty", "fluctuating")
    for path in (PAGE, DETAILS):
        text = prose(path)
        cheap = f"{-100 * bursty.cost_error:.0f} and {-100 * fluctuating.cost_error:.0f} % too cheap"
        assert f"{cheap} and {-bursty.pas_error:.1f} and {-fluctuating.pas_error:.1f} PAS too low" in text
        assert f"{found.rows_in_order} of {found.rows} rows are in the published order (seed 1)" in text


WAYS = {
    "as published": "forecasts",
    "starts 40 s longer": "forecasts-slow-starts",
    "removed replicas lose what they hold": "forecasts-losing",
}
"""As the page says it -> the sweep."""


@needs_real_trace
def test_what_forecasts_are_worth_is_what_runs_give() -> None:
    """Exactly where the network's arithmetic is that of the machine that wrote the page; within 3 % anywhere."""
    rows = table_rows("paper-details.md", "Lost with each forecast", "| pipeline |")
    said = {(row[0], row[2]): row[3:6] for row in rows}
    assert list(said) == [(pipeline, way) for pipeline in course.shipped() for way in WAYS]
    for study, runs in course.prepare("paper", ["video", "audio-qa"], SEEDS).studies:
        for way, sweep in WAYS.items():
            for of_page, point in zip(said[study.pipeline, way], study.sweeps[sweep].points, strict=True):
                found = [
                    simulate(run.scenario).summary
                    for run in runs
                    if (run.system, run.point, run.workload) == (sweep, point, "bursty")
                ]
                assert len(found) == SEEDS
                lost, cost = (figure(part) for part in of_page.rstrip(")").split(" ("))
                assert fmean(each["dropped"] + each["failed"] for each in found) == pytest.approx(lost, rel=0.03, abs=5)
                assert fmean(each["cost_mean_cores"] for each in found) == pytest.approx(cost, rel=0.01)


@needs_real_trace
def test_with_one_queue_none_of_the_bursty_requests_of_video_is_lost() -> None:
    ((_, runs),) = course.prepare("paper", ["video"], SEEDS).studies
    central = [run for run in runs if (run.system, run.point) == ("dynamics", "central dispatch")]
    assert [simulate(run.scenario).summary["dropped"] for run in central if run.workload == "bursty"] == [0] * SEEDS


def test_the_text_on_forecasts_is_that_of_its_tables(details: dict[str, str]) -> None:
    page, found = prose(PAGE), rows(details["Lost with each forecast"])
    in_order = {way: [row[0] for row in found if row[2] == way and row[7] == "yes"] for way in WAYS}
    assert [len(each) for each in in_order.values()] == [1, 3, 5]
    assert in_order["starts 40 s longer"] == ["video", "sum-qa", "nlp"]
    assert "the published order of the forecasts comes out on all five pipelines" in page
    assert "where containers start 40 s later, on three" in page
    lost = {(row[0], row[2]): [figure(cell.split(" (")[0]) for cell in row[3:6]] for row in found}
    assert lost["video", "as published"][:2] == lost["audio-qa", "as published"][:2] == [0, 0]


OTHERWISE = "What a live system may do otherwise"
HELD = "what removed replicas hold"


def test_the_text_on_what_a_live_system_loses_is_that_of_its_tables(details: dict[str, str]) -> None:
    found = {row[0]: row[1:] for row in rows(details[OTHERWISE])}
    video, _, is_video, audio, _, is_audio = found[f"decisions of 0.2 s; lost: {HELD}"]
    assert is_video == is_audio == "yes"
    lost = " requests on video and ".join(" and ".join(cell.rsplit(", ", 1)) for cell in (video, audio))
    assert f"{lost} on audio-qa" in prose(DETAILS)
    both = {name for name, row in found.items() if row[2] == row[5] == "yes"}
    assert all("lost" in name or "starts of" in name for name in both)


@needs_real_trace
@pytest.mark.parametrize("name", ["starts of 30 s, not 8 s", f"decisions of 0.2 s; lost: {HELD}"])
def test_what_a_live_system_loses_is_what_runs_give(details: dict[str, str], name: str) -> None:
    (said,) = (row[1:] for row in rows(details[OTHERWISE]) if row[0] == name)
    for pipeline, cell in zip(PIPELINES, (said[0], said[3]), strict=True):
        (setting,) = (each for each in settings() if each.name == name)
        for forecast, count in zip(FORECASTS, cell.split(", "), strict=True):
            assert lost(pipeline, forecast, setting, 3).requests == pytest.approx(figure(count), rel=0.03, abs=5)


def test_the_text_on_what_makes_requests_late_is_that_of_its_table(details: dict[str, str]) -> None:
    found = rows(details["IPA's SLA violations without each of these"])
    of = {(row[0], row[1]): [figure(cell) for cell in row[2:]] for row in found}
    one, two = of["video", "bursty"], of["video", "fluctuating"]
    page = prose(PAGE)
    said = "IPA's violations fall from {:.1f} and {:.1f} % to {:.1f} and {:.1f} % with one queue"
    assert said.format(one[0], two[0], one[2], two[2]) in page
    assert f"to {one[5]:.1f} and {two[5]:.1f} % with decisions that take no time" in page
    cold = [each[0] for (_, load), each in of.items() if load.startswith("steady") and each[0]]
    assert f"{min(cold):.1f} to {max(cold):.1f} %: started warm, IPA violates nothing there" in page
    assert all(each[1] == 0 for (_, load), each in of.items() if load.startswith("steady"))


def test_a_refreshed_page_takes_over_the_sections_that_both_have() -> None:
    page = "# P\n\n### A\n\nold\n\n## Other\n\ntext\n\n### B\n\nmine\n"
    fresh = "# T\n\n### A\n\nnew\n\n### C\n\nnot wanted\n"
    assert sections(fresh) == {"A": "\nnew\n\n", "C": "\nnot wanted\n"}
    assert refreshed(page, fresh) == "# P\n\n### A\n\nnew\n\n## Other\n\ntext\n\n### B\n\nmine\n"
