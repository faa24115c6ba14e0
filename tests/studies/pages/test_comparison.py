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
from ipa.studies.many.comparison import by_policy, merged_latencies
from ipa.studies.pages import html_of
from ipa.studies.pages.colours import DARK, ON_DARK, ON_LIGHT
from ipa.studies.runs.results import read_run, write_run
from tests.studies.browser import Browser, needs_chromium
from tests.studies.made import Made, decisions_of, drawn, made, page_of, requests_of
from tests.studies.page_rules import check_page

pytest.importorskip("plotly")


def body(*runs: Any) -> str:
    """A page without its style and plotly.js."""
    return html_of(page_of(*runs)).partition("</head>")[2]


def cells(html: str) -> list[list[str]]:
    """The texts of a table's body, row by row, without their tags; an interval after its mean."""
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", html, re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", "", cell.replace("<small>", " ")) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in rows
    ]


def many(*policies: str, seeds: int = 3) -> list[Made]:
    return [
        made(policy, seed, pas_mean=30.0 + seed)
        for policy in policies or ("ipa", "low", "high")
        for seed in range(1, seeds + 1)
    ]


# ---- the numbers ----


def test_the_headline_shows_the_figures_of_the_summary() -> None:
    (row,) = cells(body(made(pas_mean=33.456, cost_mean_cores=2.994, dropped=1234)))
    assert row == ["ipa", "33.46", "2.99", "66.67", "0.05", "1.500", "2.480", "1,234", "1"]


def test_the_headline_shows_the_mean_over_seeds_with_its_interval() -> None:
    """31, 32, 33: s = 1, t(0.975, 2) = 4.302653, half width 4.302653 / sqrt(3) = 2.48."""
    (row,) = cells(body(*many("ipa")))
    assert row[1:3] == ["32.00 ± 2.48", "2.50"]


def test_a_quantile_of_all_seeds_requests_stands_beside_the_mean_of_quantiles() -> None:
    """0.5 and 2.5 s in one run, 4.5 and 8.5 in the other: 3.5 s is the median of all four, also of counts."""
    slow = made(seed=2, requests=requests_of([1.0, 11.0], [4.5, 8.5]))
    assert "all seeds together, in s: ipa 3.50 and 8.38." in body(made(seed=1), slow)
    counted = replace(slow, tables={"latencies": pd.DataFrame({"latency_s": [4.5, 8.5], "requests": [1, 1]})})
    groups = by_policy([made(seed=1), counted])
    assert merged_latencies(groups) == "p50 and p99 of the requests of all seeds together, in s: ipa 3.50 and 8.38."


def test_the_first_policy_is_compared_with_each_of_the_others() -> None:
    runs = [made("ipa", seed, pas_mean=34.0 + seed, cost_mean_cores=2.2, sla_violation_rate=0.02) for seed in (1, 2)]
    runs += [made("low", seed, pas_mean=32.0 + seed, cost_mean_cores=2.0, sla_violation_rate=0.03) for seed in (1, 2)]
    assert (
        "ipa against low: +2.00 [2.00, 2.00] PAS at +10.0 [10.0, 10.0] % cost "
        "and −1.00 [−98.02, 97.05] percentage points of SLA violations"  # there are six requests
    ) in re.sub("<[^>]+>", "", body(*runs))
    assert "no seed in common" in body(made("ipa", 1), made("low", 2))


def test_only_what_is_better_beyond_the_interval_is_bold() -> None:
    """PAS: a has 1 more with every seed. Cost: a is cheaper in the mean, but not with every seed. One seed: nothing."""
    costs = {"a": (1.0, 2.0, 3.0), "b": (3.0, 2.5, 2.0)}
    runs = [
        made(policy, seed, pas_mean=30.0 + seed + (policy == "a"), cost_mean_cores=costs[policy][seed - 1])
        for policy in costs
        for seed in (1, 2, 3)
    ]
    assert re.findall("<td><b>(.*?)</b>", body(*runs)) == ["33.00"]
    alone = body(*(run for run in runs if run.summary["seed"] == 1))
    assert "<td><b>" not in alone
    assert "none is shown to be the best" in alone


def test_columns_for_what_rarely_happens_appear_where_it_happened() -> None:
    assert "Unfinished" not in body(made())
    assert "Unfinished" in body(made(), made("b", unfinished=3))


def test_the_title_says_pipeline_load_and_what_was_varied() -> None:
    assert page_of(made()).title == "video on bursty: policy ipa"
    assert page_of(made(), made("low")).title == "video on bursty: ipa and low compared"
    assert page_of(*many(*"abc", seeds=1)).title == "video on bursty: 3 policies compared"


# ---- what the plots draw ----


def variants(run: Made) -> list[str]:
    return [trace["name"] for trace in drawn(run)["bands"].traces]


def test_variants_go_from_light_to_heavy() -> None:
    """By name with its numbers in order, or by accuracy where that is known."""
    run = made()
    run.tables["decisions"] = decisions_of((0.0, "resnet101", 1, 1), (5.0, "resnet18", 1, 1), (10.0, "resnet50", 1, 1))
    assert variants(run) == ["resnet18", "resnet50", "resnet101"]
    run.accuracies = {"detect": {"resnet18": 0.9, "resnet50": 0.8, "resnet101": 0.7}}
    assert variants(run) == ["resnet101", "resnet50", "resnet18"]


def test_which_plots_a_page_has() -> None:
    """A plane with one point says nothing; without requests there is nothing to go down to."""
    eight = ["load", "cores", "bands", "latency", "violations", "distribution", "mean-latency", "slowest"]
    assert list(drawn(made())) == eight
    assert list(drawn(made(), made(seed=2))) == ["plane", *eight]
    assert list(drawn(made(requests=requests_of([], [])))) == [*eight[:4], "distribution"]


def test_an_sla_that_nobody_violated_is_said_and_not_drawn() -> None:
    found = drawn(made(requests=requests_of([1.0, 2.0], [0.1, 0.2])))
    assert "violations" not in found
    assert found["latency"].note.endswith("No request was late, dropped or failed.")
    assert "No request was late" not in drawn(made())["latency"].note


@pytest.mark.parametrize(("policies", "several"), [(4, False), (9, True)])
def test_many_policies_are_drawn_in_panels_of_their_own(policies: int, several: bool) -> None:
    runs = [made(f"p{place}") for place in range(policies)]
    for place, run in enumerate(runs):
        run.tables["decisions"] = decisions_of((0.0, "small", 1, 2), forecast=5.0 + place)
    found = drawn(*runs)
    for name in ("load", "distribution"):
        assert (f"xaxis{policies}" in found[name].layout) == several


def test_the_names_of_those_that_share_a_plan_fit_a_narrow_page() -> None:
    sharing, other = [made(f"scale-only:{place}") for place in range(4)], made("ipa")
    other.tables["decisions"] = decisions_of((0.0, "small", 1, 2), forecast=9.0)
    names = [str(trace["name"]) for trace in drawn(*sharing, other)["load"].traces]
    (named,) = (name for name in names if name.startswith("forecast: scale-only"))
    assert named.replace("<br>", " ") == "forecast: scale-only:0, scale-only:1, scale-only:2, scale-only:3"
    assert max(map(len, named.split("<br>"))) <= 48


def test_every_colour_of_a_layout_has_its_counterpart_for_the_dark() -> None:
    for plot in drawn(*many()).values():
        found = set(re.findall(r"#[0-9a-f]{6}\b", json.dumps(plot.layout)))
        assert found <= {*DARK, ON_LIGHT, ON_DARK}, plot.name


def test_a_log_with_a_clock_is_drawn_on_it() -> None:
    run = made()
    run.starts_at = datetime.fromisoformat("2018-04-03T08:59:50")
    found = drawn(run)
    for name in ("load", "cores", "latency", "violations"):
        assert found[name].layout["xaxis"]["title"]["text"] == "time on 3 April 2018", name
    spans = {about[1] for trace in found["bands"].traces for about in trace["customdata"]}
    assert spans == {"08:59:50 to 09:00:00", "09:00:00 to 09:00:10"}
    assert "arrived at 08:59:51" in found["slowest"].traces[0]["customdata"][0]
    assert found["slowest"].layout["xaxis"]["title"]["text"] == "time since the arrival (s)"


# ---- the page ----


class Links(HTMLParser):
    """What a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset", "action")]


def test_the_page_fetches_nothing_and_sends_nothing() -> None:
    page, links = html_of(page_of(*many())), Links()
    links.feed(page)
    assert links.found == []
    assert "@import" not in page.split("</style>")[0]
    assert page.count('"showSendToCloud":false,"plotlyServerURL":""') == 1  # for all figures
    assert page.count("* plotly.js v") == 1
    assert len(page.encode()) < 6e6


def test_names_are_escaped() -> None:
    """Also those of stages and variants, in a page of several policies, whose names stand in texts and in figures."""
    runs = [made(f"<script>alert({n})</script> & <b>co</b>", pipeline="<i>p</i>", trace="<img src=x>") for n in (1, 2)]
    for run in runs:
        run.tables["decisions"] = decisions_of((0.0, "<u>v</u>", 1, 1), stage="</script><s>")
    page = body(*runs)
    for harmful in ("<img", "<script>alert", "<i>p", "<b>co", "<u>", "<s>", "&amp;amp;"):
        assert harmful not in page, harmful
    assert "&lt;img src=x&gt;" in page
    specs = re.findall(r'-spec">(.*?)</script>', page)
    assert page.count("<script") == page.count("</script>") == 1 + len(specs)  # the page's
    assert len(specs) == len(drawn(*runs))
    for spec in map(json.loads, specs):
        shown = json.dumps([spec["data"], spec["layout"].get("annotations")])
        assert not re.search("<(script|u|s|i|img)\\b", shown), spec["layout"]


def test_a_policy_from_a_file_is_shown_without_its_folder() -> None:
    assert [group.label for group in by_policy([made("/home/me/my.py:Mine"), made("ipa")])] == ["my.py:Mine", "ipa"]
    with_more = by_policy([made("/home/me/my.py:Mine level=2 of=a/b"), made("ipa alpha=2")])
    assert [group.label for group in with_more] == ["my.py:Mine level=2 of=a/b", "ipa alpha=2"]
    both = [made("/a/my.py:Mine"), made("/b/my.py:Mine")]
    assert [group.label for group in by_policy(both)] == ["/a/my.py:Mine", "/b/my.py:Mine"]


def test_write_replaces_a_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.html"
    Comparison((made(),)).write_report(path)
    Comparison((made("low"),)).write_report(path)
    assert path.read_bytes().decode() == html_of(page_of(made("low")))
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
        page_of(*runs)


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
    page = page_of(*runs)
    html = html_of(page)
    assert html.count('class="plot"') == len(page.plots)
    check_page(html)
    assert len(Comparison(tuple(runs)).figures()) == len(page.plots)  # plotly refuses what it does not know


def test_a_run_read_back_gives_the_same_page_byte_for_byte(tmp_path: Path) -> None:
    run = simulate(Scenario(pipeline="video", window=((400.0, 440.0),)))
    write_run(run, tmp_path / "run")
    page = body(run)
    assert body(read_run(tmp_path / "run")) == page
    assert cells(page)[0][1:3] == [f"{run.summary['pas_mean']:.2f}", f"{run.summary['cost_mean_cores']:.2f}"]


# ---- what a reader picks, and what is said beside the figures ----


def test_differences_are_shown_against_the_policy_that_is_picked() -> None:
    page = body(made("a", pas_mean=30.0), made("b", pas_mean=32.0), made("c", pas_mean=33.0))
    assert '<select data-choice="against"><option value="0">a</option><option value="1">b</option>' in page
    (of_b,) = re.findall(r'<div data-against="1">.*?</div>', page, re.DOTALL)
    assert re.findall("<li><b>(.)</b> against <b>b</b>: (.*?) PAS", of_b) == [("a", "−2.00"), ("c", "+1.00")]
    assert "<select" not in body(made("a"))


@needs_chromium
def test_one_list_of_differences_is_shown_at_a_time(tmp_path: Path, shown: Browser) -> None:
    (tmp_path / "page.html").write_text(html_of(page_of(made("a"), made("b"), made("c"))))
    lists = "[...document.querySelectorAll('[data-against]')]"
    picked = f"{lists}.filter(each => !each.hidden).map(each => each.dataset.against)"
    shown.open(tmp_path / "page.html")
    assert shown.run(picked) == ["0"]
    shown.run(
        "(choice => { choice.value = '2'; choice.dispatchEvent(new Event('change')); })"
        "(document.querySelector('[data-choice]'))"
    )
    assert shown.run(picked) == ["2"]
    assert shown.run("errors") == []


@needs_chromium
def test_on_a_phone_the_first_three_figures_are_in_sight(tmp_path: Path, shown: Browser) -> None:
    (tmp_path / "page.html").write_text(html_of(page_of(*many("ipa", "scale-only:high"))))
    shown.open(tmp_path / "page.html", width=390)
    assert shown.run("document.querySelectorAll('thead th')[3].textContent").startswith("SLA violations")
    assert shown.run("document.querySelectorAll('thead th')[3].getBoundingClientRect().right") <= 390


def test_bold_is_what_all_differences_show_together() -> None:
    """The first is cheaper by 1.0, give or take 0.3: shown at 95 % for one difference, not 99.2 % for six."""
    costs = {f"p{n}": (3.0, 3.0, 3.0) for n in range(6)} | {"first": (1.7, 2.0, 2.3)}
    runs = [made(policy, seed, cost_mean_cores=costs[policy][seed - 1]) for policy in costs for seed in (1, 2, 3)]
    assert "<td><b>" not in body(*runs)
    assert "<td><b>2.00</b>" in body(*(run for run in runs if run.summary["policy"] in ("first", "p0")))


def test_the_state_of_a_policy_is_defined_where_it_stands() -> None:
    late = made(requests=requests_of([1.0, 2.0], [9.0, 9.0]))
    assert "Overloaded: during at least 5 % of the time" in body(late)
    assert "Stable: " not in body(late)
    on_time = body(made(requests=requests_of([1.0], [0.5])))
    assert "Stable: requests were in the system for longer than the SLA during less than 5 % of the time" in on_time


def test_intervals_on_one_log_say_that_they_hold_it_fixed() -> None:
    def runs(trace: str, seeds: int) -> list[Made]:
        scenario = Scenario(pipeline="video", trace=trace)
        return [replace(made(seed=seed), scenario=scenario) for seed in range(1, seeds + 1)]

    said = "A log is the same load with every seed"
    assert said in body(*runs("access.log", 2))
    assert said in body(*runs("twitter:bursty", 2))
    for trace, seeds in (("bursty", 2), ("constant:5:20", 2), ("access.log", 1)):
        assert said not in body(*runs(trace, seeds))
