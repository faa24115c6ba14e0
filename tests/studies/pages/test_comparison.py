"""The report: its numbers are the summary's, its page needs nothing else, and it bears any finished run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa.studies import Comparison, Scenario, ScenarioError, simulate
from ipa.studies.intervals import estimate, paired_change_percent, paired_difference
from ipa.studies.many.comparison import by_policy, merged_latencies
from ipa.studies.pages.colours import DARK, ON_DARK, ON_LIGHT
from ipa.studies.pages.comparison import comparisons, headline, plots_of, render
from ipa.studies.pages.decisions import Reasons, bands
from ipa.studies.runs.results import read_runs, write_run
from tests.studies.made import Made, decisions_of, made, requests_of
from tests.studies.page_rules import check_page

pytest.importorskip("plotly")


def cells(html: str) -> list[list[str]]:
    """The texts of a table's body, row by row, without their tags; an interval after its mean."""
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", html, re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", "", cell.replace("<small>", " ")) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in rows
    ]


# ---- the numbers ----


def test_the_headline_shows_the_figures_of_the_summary() -> None:
    (row,) = cells(render([made(pas_mean=33.456, cost_mean_cores=2.994, dropped=1234)], "One run"))
    assert row == ["ipa", "33.46", "2.99", "66.67", "0.05", "1.500", "2.480", "1,234", "1"]


def test_an_interval_is_that_of_student() -> None:
    """1, 2, 3: mean 2, s = 1, t(0.975, 2) = 4.302653, half width 4.302653 / sqrt(3) = 2.484138."""
    found = estimate([1.0, 2.0, 3.0])
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, -0.484138, 4.484138), abs=1e-6)


def test_the_headline_shows_the_mean_over_seeds_with_its_interval() -> None:
    runs = [made(seed=seed, pas_mean=float(30 + seed)) for seed in (1, 2, 3)]
    (row,) = cells(render(runs, "Seeds"))
    assert row[1] == "32.00 ± 2.48"
    assert row[2] == "2.50"


def test_a_figure_that_one_seed_lacks_is_the_mean_of_the_others() -> None:
    found = estimate([None, 4.0])
    assert found is not None
    assert found.mean == 4.0
    assert not found.has_interval
    assert estimate([None]) is None


def test_a_quantile_of_all_seeds_requests_stands_beside_the_mean_of_quantiles() -> None:
    """0.5 and 2.5 s in one run, 4.5 and 8.5 in the other: 3.5 s is the median of all four, also of counts."""
    slow = made(seed=2, requests=requests_of([1.0, 11.0], [4.5, 8.5]))
    (group,) = by_policy([made(seed=1), slow])
    found = group.merged_latency_s((0.5, 1.0))
    assert found is not None
    assert found.tolist() == [3.5, 8.5]
    counted = replace(slow, tables={"latencies": pd.DataFrame({"latency_s": [4.5, 8.5], "requests": [1, 1]})})
    (group,) = by_policy([made(seed=1), counted])
    assert merged_latencies([group]) == "p50 and p99 of the requests of all seeds together, in s: ipa 3.50 and 8.38."


def test_differences_are_taken_seed_by_seed() -> None:
    """Far apart between the seeds, but always 1 apart, and 10 % apart: the interval has no width."""
    difference = paired_difference({1: 11.0, 2: 91.0, 3: 5.0}, {2: 90.0, 1: 10.0})
    change = paired_change_percent({1: 11.0, 2: 99.0}, {1: 10.0, 2: 90.0})
    assert difference is not None
    assert change is not None
    assert (difference.mean, difference.low, difference.high) == pytest.approx((1.0, 1.0, 1.0))
    assert (change.mean, change.low, change.high) == pytest.approx((10.0, 10.0, 10.0))


def test_the_first_policy_is_compared_with_each_of_the_others() -> None:
    runs = [made("ipa", seed, pas_mean=34.0 + seed, cost_mean_cores=2.2, sla_violation_rate=0.02) for seed in (1, 2)]
    runs += [made("low", seed, pas_mean=32.0 + seed, cost_mean_cores=2.0, sla_violation_rate=0.03) for seed in (1, 2)]
    text = re.sub("<[^>]+>", "", comparisons(by_policy(runs)))
    assert (
        "ipa against low: +2.00 [2.00, 2.00] PAS at +10.0 [10.0, 10.0] % cost "
        "and −1.00 [−98.02, 97.05] percentage points of SLA violations"  # there are six requests
    ) in text


def test_policies_without_a_common_seed_are_not_compared() -> None:
    assert "no seed in common" in comparisons(by_policy([made("ipa", 1), made("low", 2)]))


def test_the_best_value_of_a_column_is_marked_and_ties_all_are() -> None:
    runs = [made("a", cost_mean_cores=3.0), made("b", cost_mean_cores=2.0), made("c", cost_mean_cores=2.001)]
    html = headline(by_policy(runs))
    assert html.count("<b>2.00</b>") == 2
    assert "<b>3.00</b>" not in html
    assert "<b>33.00</b>" not in html, "all policies have the same PAS: none is best"


def test_columns_for_what_rarely_happens_appear_where_it_happened() -> None:
    assert "Unfinished" not in headline(by_policy([made()]))
    assert "Unfinished" in headline(by_policy([made(), made("b", unfinished=3)]))


# ---- what the plots draw ----


def drawn_bands(run: Made) -> list[dict[str, Any]]:
    groups = by_policy([run])
    return bands(groups, [Reasons(group) for group in groups], 20.0, "").traces


def test_variants_go_from_light_to_heavy() -> None:
    run = made()
    run.tables["decisions"] = decisions_of((0.0, "resnet101", 1, 1), (5.0, "resnet18", 1, 1), (10.0, "resnet50", 1, 1))
    drawn = drawn_bands(run)
    assert [trace["name"] for trace in drawn] == ["resnet18", "resnet50", "resnet101"]


def test_what_is_light_is_told_by_accuracy_where_cores_and_names_say_otherwise() -> None:
    run = made()
    run.tables["decisions"] = decisions_of((0.0, "a-large", 1, 1), (5.0, "b-base", 1, 1), (10.0, "c-small", 1, 1))
    run.accuracies = {"detect": {"a-large": 0.9, "b-base": 0.8, "c-small": 0.7}}
    drawn = drawn_bands(run)
    assert [trace["name"] for trace in drawn] == ["c-small", "b-base", "a-large"]


def test_the_load_s_caption_says_what_forecasts_are_of_and_calls_no_gap_spare_capacity() -> None:
    page = render([made()], "One run")
    assert "forecast the busiest second to come, which lies above the mean" in page
    assert "spare capacity" not in page


def test_which_plots_a_page_has() -> None:
    """A plane with one point says nothing; without requests there is nothing to go down to."""
    eight = ["load", "cores", "bands", "latency", "violations", "distribution", "mean-latency", "slowest"]
    assert [plot.name for plot in plots_of(by_policy([made()]))] == eight
    assert [plot.name for plot in plots_of(by_policy([made(), made(seed=2)]))] == ["plane", *eight]
    kept = [name for name in eight if name != "violations"]
    assert [plot.name for plot in plots_of(by_policy([made(requests=requests_of([], []))]))] == kept[:-2]


def test_an_sla_that_nobody_violated_is_said_and_not_drawn() -> None:
    run = made(requests=requests_of([1.0, 2.0], [0.1, 0.2]))
    drawn = {plot.name: plot for plot in plots_of(by_policy([run]))}
    assert "violations" not in drawn
    assert drawn["latency"].reading.endswith("No request was late, dropped or failed.")
    assert "No request was late" not in plots_of(by_policy([made()]))[3].reading


@pytest.mark.parametrize(("policies", "several"), [(4, False), (9, True)])
def test_many_policies_are_drawn_in_panels_of_their_own(policies: int, several: bool) -> None:
    runs = [made(f"p{place}") for place in range(policies)]
    for place, run in enumerate(runs):
        run.tables["decisions"] = decisions_of((0.0, "small", 1, 2), forecast=5.0 + place)
    drawn = {plot.name: plot for plot in plots_of(by_policy(runs))}
    for name in ("load", "distribution"):
        assert (f"xaxis{policies}" in drawn[name].layout) == several


def test_the_names_of_those_that_share_a_plan_fit_a_narrow_page() -> None:
    sharing = [made(f"scale-only:{place}") for place in range(4)]
    other = made("ipa")
    other.tables["decisions"] = decisions_of((0.0, "small", 1, 2), forecast=9.0)
    (load,) = (plot for plot in plots_of(by_policy([*sharing, other])) if plot.name == "load")
    (named,) = (trace["name"] for trace in load.traces if str(trace.get("name", "")).startswith("forecast: scale-only"))
    assert named.replace("<br>", " ") == "forecast: scale-only:0, scale-only:1, scale-only:2, scale-only:3"
    assert max(map(len, named.split("<br>"))) <= 48


def test_every_colour_of_a_layout_has_its_counterpart_for_the_dark() -> None:
    for drawn in plots_of(by_policy(many())):
        found = set(re.findall(r"#[0-9a-f]{6}\b", json.dumps(drawn.layout)))
        assert found <= {*DARK, ON_LIGHT, ON_DARK}, drawn.name


def test_a_log_with_a_clock_is_drawn_on_it() -> None:
    run = made()
    run.starts_at = datetime.fromisoformat("2018-04-03T08:59:50")
    drawn = {plot.name: plot for plot in plots_of(by_policy([run]))}
    for name in ("load", "cores", "latency", "violations"):
        assert drawn[name].layout["xaxis"]["title"]["text"] == "time on 3 April 2018", name
    spans = {about[1] for trace in drawn["bands"].traces for about in trace["customdata"]}
    assert spans == {"08:59:50 to 09:00:00", "09:00:00 to 09:00:10"}
    assert "arrived at 08:59:51" in drawn["slowest"].traces[0]["customdata"][0]
    assert drawn["slowest"].layout["xaxis"]["title"]["text"] == "time since the arrival (s)"


# ---- the page ----


class Links(HTMLParser):
    """What a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset", "action")]


def many() -> list[Made]:
    return [made(policy, seed, pas_mean=30.0 + seed) for policy in ("ipa", "low", "high") for seed in (1, 2, 3)]


def test_the_page_fetches_nothing_and_sends_nothing() -> None:
    page = render(many(), "Offline")
    links = Links()
    links.feed(page)
    assert links.found == []
    assert "@import" not in page.split("</style>")[0]
    assert page.count('"showSendToCloud":false,"plotlyServerURL":""') == 1  # for all figures
    assert page.count("* plotly.js v") == 1
    assert len(page.encode()) < 6e6


def test_names_are_escaped() -> None:
    policy = "<script>alert(1)</script> & <b>co</b>"
    page = render([made(policy, pipeline="<i>p</i>")], "<img src=x> & more", {"<u>": "</script>"})
    ours = page.replace(page.split("<script>", 1)[1].split("</script>", 1)[0], "")
    for harmful in ("<img", "<script>alert", "<i>p", "<b>co", "<u>", "&amp;amp;"):
        assert harmful not in ours, harmful
    assert "<title>&lt;img src=x&gt; &amp; more</title>" in ours
    assert (
        ours.count("<script") == ours.count("</script>") == 13
    )  # plotly, the page's three, a spec a figure, the colours


def test_a_policy_from_a_file_is_shown_without_its_folder() -> None:
    assert [group.label for group in by_policy([made("/home/me/my.py:Mine"), made("ipa")])] == ["my.py:Mine", "ipa"]
    with_more = by_policy([made("/home/me/my.py:Mine level=2 of=a/b"), made("ipa alpha=2")])
    assert [group.label for group in with_more] == ["my.py:Mine level=2 of=a/b", "ipa alpha=2"]
    both = [made("/a/my.py:Mine"), made("/b/my.py:Mine")]
    assert [group.label for group in by_policy(both)] == ["/a/my.py:Mine", "/b/my.py:Mine"]


def test_the_same_runs_give_the_same_bytes() -> None:
    assert render(many(), "Same") == render(many(), "Same")


def test_time_plots_show_the_first_seed_and_say_so() -> None:
    page = render(many(), "Seeds")
    assert page.count("Seed 1 only.") == 7
    assert "only." not in render([made()], "One").split("</style>")[1].split("Load and forecast")[1]


def test_what_was_run_holds_the_facts() -> None:
    page = render([made()], "Facts", {"numpy": "2.4.6"})
    assert "<dt>numpy</dt><dd>2.4.6</dd>" in page
    assert "<dt>SLA, end to end</dt><dd>2 s</dd>" in page


def test_write_replaces_a_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.html"
    Comparison((made(),)).write_report(path)
    Comparison((made("low"),)).write_report(path)
    assert path.read_bytes().decode() == render([made("low")], "low on video, bursty")
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_an_unusable_path_is_answered_by_name(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ScenarioError, match="folder: cannot be written"):
        Comparison((made(),)).write_report(tmp_path / "folder")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ([], "at least one run"),
        ([made(), made("low", trace="steady-low")], "trace is 'bursty' and 'steady-low'"),
        ([made(), made("low", sla_s=3.0)], "sla_s is 2.0 and 3.0"),
        ([made(), made()], "policy 'ipa' appears twice with the same seed"),
    ],
)
def test_runs_that_make_no_report_are_refused(runs: list[Made], text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        render(runs, "Refused")


# ---- any finished run ----

NOTHING: dict[str, Any] = {"pas_mean": None, "latency_p50_s": None, "latency_p99_s": None, "sla_violation_rate": 1.0}

DEGENERATE: dict[str, list[Made]] = {
    "one policy": [made()],
    "three policies, three seeds": many(),
    "ten policies": [made(f"policy-{number}") for number in range(10)],
    "no drops": [made(requests=requests_of([1.0, 2.0], [0.5, 0.6]), dropped=0, sla_violation_rate=0.0)],
    "nothing completed": [made(requests=requests_of([1.0, 2.0], ["dropped", "unfinished"]), unfinished=1, **NOTHING)],
    "no requests": [made(requests=requests_of([], []), dropped=0, **(NOTHING | {"sla_violation_rate": 0.0}))],
    "one policy completed nothing": [made(), made("b", requests=requests_of([1.0], ["dropped"]), **NOTHING)],
    "two seconds": [made(requests=requests_of([0.1, 1.9], [0.5, 2.5]), duration_s=2.0)],
    "no cost": [made(), made("free", cost_mean_cores=0.0)],
}


@pytest.mark.parametrize("runs", DEGENERATE.values(), ids=DEGENERATE.keys())
def test_any_finished_run_can_be_drawn(runs: list[Made]) -> None:
    drawn = plots_of(by_policy(runs))
    assert "NaN" not in "".join(plot.html() for plot in drawn)
    page = render(runs, "Any")
    assert page.count('class="plot"') == len(drawn)
    check_page(page)
    assert len(Comparison(tuple(runs)).figures()) == len(drawn)  # plotly refuses what it does not know


def test_a_run_read_back_gives_the_same_page(tmp_path: Path) -> None:
    run = simulate(Scenario(pipeline="video", window=((400.0, 440.0),)))
    write_run(run, tmp_path / "run")
    page = render([run], "Stored")
    assert render(read_runs(tmp_path / "run"), "Stored") == page
    assert cells(page)[0][1:3] == [f"{run.summary['pas_mean']:.2f}", f"{run.summary['cost_mean_cores']:.2f}"]
