"""The report: its numbers are the summary's, its page needs nothing else, and it bears any finished run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ipa.studies import Scenario, ScenarioError, simulate
from ipa.studies.intervals import estimate, paired_change_percent, paired_difference
from ipa.studies.report import render, write
from ipa.studies.report.bands import bands
from ipa.studies.report.groups import by_policy
from ipa.studies.report.headline import comparisons, table
from ipa.studies.report.names import Mark, choose_sides
from ipa.studies.report.page import plots
from ipa.studies.report.series import (
    MOST_CURVE_POINTS,
    MOST_SEGMENTS,
    MOST_STEPS,
    bin_edges,
    bin_s,
    decided,
    existing_cores,
    latency_curve,
    latency_quantiles_s,
    load_rps,
    segments,
    violation_counts,
)
from ipa.studies.results import read_runs, write_run

pytest.importorskip("plotly")

SLA_S = 2.0


@dataclass
class Made:
    """A run made by hand."""

    summary: dict[str, Any]
    tables: dict[str, pd.DataFrame]


def requests_of(arrival_s: Sequence[float], latency_s: Sequence[float | str]) -> pd.DataFrame:
    """Requests with their latencies, or how else they ended."""
    ended = [entry if isinstance(entry, str) else "completed" for entry in latency_s]
    latencies = [np.nan if isinstance(entry, str) else entry for entry in latency_s]
    kinds = ["completed", "dropped", "failed", "unfinished"]
    return pd.DataFrame(
        {
            "request": np.arange(len(ended)),
            "arrival_s": np.array(arrival_s, dtype=float),
            "outcome": pd.Categorical(ended, categories=kinds),
            "latency_s": np.array(latencies, dtype=float),
        }
    )


def decisions_of(*steps: tuple[float, str, int, int], stage: str = "detect", forecast: float = 5.0) -> pd.DataFrame:
    """Decisions for one stage of one-core variants: (time, variant, batch, replicas)."""
    rows = [
        {
            "step": step,
            "time_s": time_s,
            "stage": stage,
            "variant": variant,
            "batch": batch,
            "replicas": replicas,
            "cores": 1,
            "cost_cores": replicas,
            "accuracy": 0.5,
            "forecast_rps": forecast,
            "planned_load_rps": forecast,
        }
        for step, (time_s, variant, batch, replicas) in enumerate(steps)
    ]
    return pd.DataFrame(rows)


def replicas_of(*rows: tuple[int, float, float]) -> pd.DataFrame:
    """Replicas: (cores, created, gone)."""
    return pd.DataFrame(rows, columns=["cores", "created_s", "gone_s"])


def made(policy: str = "ipa", seed: int = 1, *, requests: pd.DataFrame | None = None, **figures: Any) -> Made:
    """A run of 20 s: three requests of which one is late and one dropped, two decisions."""
    if requests is None:
        requests = requests_of([1.0, 11.0, 12.0], [0.5, 2.5, "dropped"])
    summary = {
        "pipeline": "video",
        "policy": policy,
        "trace": "bursty",
        "seed": seed,
        "duration_s": 20.0,
        "requests": len(requests),
        "dropped": 1,
        "failed": 0,
        "unfinished": 0,
        "sla_s": SLA_S,
        "sla_violation_rate": 0.6667,
        "goodput_rps": 0.05,
        "latency_p50_s": 1.5,
        "latency_p99_s": 2.48,
        "cost_mean_cores": 2.5,
        "pas_mean": 33.0,
        "decisions": 2,
        "infeasible_decisions": 0,
        "changes": 1,
        "wall_s": np.random.default_rng().random(),  # no property of a run: it must not show
    }
    tables = {
        "requests": requests,
        "decisions": decisions_of((0.0, "small", 1, 2), (10.0, "large", 4, 3)),
        "replicas": replicas_of((1, 0.0, 15.0), (2, 0.0, np.nan)),
    }
    return Made(summary | figures, tables)


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
    assert row[1] == "32.00 [29.52, 34.48]"
    assert row[2] == "2.50 [2.50, 2.50]"


def test_a_figure_that_one_seed_lacks_is_the_mean_of_the_others() -> None:
    found = estimate([None, 4.0])
    assert found is not None
    assert found.mean == 4.0
    assert not found.has_interval
    assert estimate([None]) is None


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
        "and −1.00 [−1.00, −1.00] percentage points of SLA violations"
    ) in text


def test_policies_without_a_common_seed_are_not_compared() -> None:
    assert "no seed in common" in comparisons(by_policy([made("ipa", 1), made("low", 2)]))


def test_the_best_value_of_a_column_is_marked_and_ties_all_are() -> None:
    runs = [made("a", cost_mean_cores=3.0), made("b", cost_mean_cores=2.0), made("c", cost_mean_cores=2.001)]
    html = table(by_policy(runs))
    assert html.count("<b>2.00</b>") == 2
    assert "<b>3.00</b>" not in html
    assert "<b>33.00</b>" not in html, "all policies have the same PAS: none is best"


def test_columns_for_what_rarely_happens_appear_where_it_happened() -> None:
    assert "Unfinished" not in table(by_policy([made()]))
    assert "Unfinished" in table(by_policy([made(), made("b", unfinished=3)]))


# ---- what the plots draw ----


def test_bins_are_of_ten_seconds_and_at_most_120() -> None:
    assert [bin_s(duration_s) for duration_s in (2.0, 60.0, 1200.0, 1201.0, 86400.0)] == [0.2, 10.0, 10.0, 20.0, 1000.0]
    assert bin_edges(25.0, 10.0).tolist() == [0.0, 10.0, 20.0, 25.0]


def test_load_counts_arrivals_by_the_second() -> None:
    load = load_rps(requests_of([0.0, 0.5, 2.0, 2.2, 2.4], [1.0] * 5), 2.5)
    assert load.edges_s.tolist() == [0.0, 1.0, 2.0, 2.5]
    assert load.value.tolist() == [2.0, 0.0, 6.0]


def test_existing_cores_follow_creation_and_going() -> None:
    """1 core for 15 s, 2 for all 20 s, 4 from second 5 to after the end: none beyond the duration."""
    steps = existing_cores(replicas_of((1, 0.0, 15.0), (2, 0.0, np.nan), (4, 5.0, 21.0), (8, 20.0, 25.0)), 20.0)
    assert steps.edges_s.tolist() == [0.0, 5.0, 15.0, 20.0]
    assert steps.value.tolist() == [3.0, 7.0, 6.0]


def test_many_steps_are_thinned_to_their_means() -> None:
    """A replica of 3 cores that exists every other second of 6000: 1.5 cores in the mean of every thinned step."""
    steps = existing_cores(replicas_of(*((3, float(at), at + 1.0) for at in range(0, 6000, 2))), 6000.0)
    assert len(steps.value) == MOST_STEPS
    assert steps.value == pytest.approx(np.full(MOST_STEPS, 1.5))


def test_a_forecast_that_a_policy_does_not_make_has_no_line() -> None:
    assert decided(decisions_of((0.0, "small", 1, 1), forecast=np.nan), "forecast_rps", 20.0) is None


def test_equal_decisions_are_one_segment() -> None:
    decisions = decisions_of(
        (0.0, "a", 1, 2), (10.0, "a", 1, 2), (20.0, "b", 4, 2), (30.0, "b", 4, 2), (40.0, "b", 8, 2)
    )
    found = [(part.start_s, part.end_s, part.variant, part.batch) for part in segments(decisions, "detect", 45.0)]
    assert found == [(0.0, 20.0, "a", 1), (20.0, 40.0, "b", 4), (40.0, 45.0, "b", 8)]


def test_too_many_segments_are_thinned() -> None:
    decisions = decisions_of(*((10.0 * step, "a", 1 + step % 2, 1) for step in range(2 * MOST_SEGMENTS + 1)))
    found = segments(decisions, "detect", 20.0 * MOST_SEGMENTS + 10.0)
    assert len(found) <= MOST_SEGMENTS
    assert (found[0].start_s, found[-1].end_s) == (0.0, 20.0 * MOST_SEGMENTS + 10.0)


def test_latency_quantiles_are_by_arrival_with_gaps_where_none_completed() -> None:
    requests = requests_of([1.0, 2.0, 3.0, 15.0, 119.0], [1.0, 2.0, 6.0, "dropped", 0.5])
    middle_s, (p50_s,) = latency_quantiles_s(requests, 120.0, (0.5,))
    assert middle_s.tolist() == [5.0, 15.0, *range(25, 120, 10)]
    assert (p50_s[0], p50_s[-1]) == (2.0, 0.5)
    assert np.isnan(p50_s[1:-1]).all()


def test_a_violation_is_counted_once_by_its_kind() -> None:
    requests = requests_of([1.0, 2.0, 11.0, 11.5, 12.0, 13.0], [1.9, 2.1, "dropped", "dropped", "failed", "unfinished"])
    _, counts = violation_counts(requests, 20.0, SLA_S)
    assert {kind: int(of.sum()) for kind, of in counts.items()} == {
        "late": 1,
        "dropped": 2,
        "failed": 1,
        "unfinished": 1,
    }


def test_the_curve_at_the_sla_is_the_share_without_violation() -> None:
    """Of 10,000 requests 8,000 take 1 ms to 8 s evenly and 2,000 are dropped: 20 % are within the SLA of 2 s."""
    latency_s: list[float | str] = [0.001 * (place + 1) for place in range(8000)]
    x, y = latency_curve([requests_of(np.zeros(10000).tolist(), [*latency_s, *["dropped"] * 2000])], SLA_S)
    assert len(x) <= MOST_CURVE_POINTS
    assert y[np.searchsorted(x, SLA_S, side="right") - 1] == pytest.approx(20.0)
    assert (x[-1], y[-1]) == pytest.approx((8.0, 80.0))


def test_names_stay_clear_of_bars_and_of_each_other() -> None:
    """Bars across push a name above, the right edge pushes one to the left, neighbours take a side each."""
    across = Mark(x=5.0, y=5.0, x_half=2.0, y_half=0.0, radius=5.0, name_width=100.0)
    edge = Mark(x=9.9, y=2.0, x_half=0.0, y_half=0.0, radius=5.0, name_width=100.0)
    neighbours = [Mark(x=x, y=8.0, x_half=0.0, y_half=0.0, radius=5.0, name_width=100.0) for x in (4.0, 4.3)]
    assert choose_sides([across, edge], (0.0, 10.0), (0.0, 10.0), 400.0) == [(0, 1), (-1, 0)]
    assert choose_sides(neighbours, (0.0, 10.0), (0.0, 10.0), 400.0) == [(-1, 0), (1, 0)]


def test_variants_go_from_light_to_heavy() -> None:
    run = made()
    run.tables["decisions"] = decisions_of((0.0, "resnet101", 1, 1), (5.0, "resnet18", 1, 1), (10.0, "resnet50", 1, 1))
    drawn = bands(by_policy([run]), 20.0, "").traces
    assert [trace["name"] for trace in drawn] == ["resnet18", "resnet50", "resnet101"]


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
    assert page.count('"showSendToCloud":false,"plotlyServerURL":""') == 7
    assert page.count("* plotly.js v") == 1
    assert len(page.encode()) < 6e6


def test_names_are_escaped() -> None:
    policy = "<script>alert(1)</script> & <b>co</b>"
    page = render([made(policy, pipeline="<i>p</i>")], "<img src=x> & more", {"<u>": "</script>"})
    ours = page.replace(page.split("<script>", 1)[1].split("</script>", 1)[0], "")
    for harmful in ("<img", "<script>alert", "<i>p", "<b>co", "<u>", "&amp;amp;"):
        assert harmful not in ours, harmful
    assert "<title>&lt;img src=x&gt; &amp; more</title>" in ours
    assert ours.count("<script>") == ours.count("</script>") == 8


def test_a_policy_from_a_file_is_shown_without_its_folder() -> None:
    assert [group.label for group in by_policy([made("/home/me/my.py:Mine"), made("ipa")])] == ["my.py:Mine", "ipa"]
    both = [made("/a/my.py:Mine"), made("/b/my.py:Mine")]
    assert [group.label for group in by_policy(both)] == ["/a/my.py:Mine", "/b/my.py:Mine"]


def test_the_same_runs_give_the_same_bytes() -> None:
    assert render(many(), "Same") == render(many(), "Same")


def test_time_plots_show_the_first_seed_and_say_so() -> None:
    page = render(many(), "Seeds")
    assert page.count("Seed 1 only.") == 5
    assert "only." not in render([made()], "One").split("</style>")[1].split("Load and forecast")[1]


def test_what_was_run_holds_the_facts() -> None:
    page = render([made()], "Facts", {"numpy": "2.4.6"})
    assert "<dt>numpy</dt><dd>2.4.6</dd>" in page
    assert "<dt>SLA, end to end</dt><dd>2 s</dd>" in page


def test_write_replaces_a_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.html"
    write([made()], "First", path)
    write([made()], "Second", path)
    assert path.read_bytes().decode() == render([made()], "Second")
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_an_unusable_path_is_answered_by_name(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ScenarioError, match="folder: cannot be written"):
        write([made()], "Folder", tmp_path / "folder")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ([], "at least one run"),
        ([made(), made("low", trace="steady-low")], "trace is 'bursty' and 'steady-low'"),
        ([made(), made("low", sla_s=3.0)], "sla_s is 2.0 and 3.0"),
        ([made(), made()], "policy 'ipa' is there twice with the same seed"),
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
    import plotly.graph_objects as go

    assert "NaN" not in "".join(plot.html() for plot in plots(by_policy(runs)))
    assert render(runs, "Any").count('class="plot"') == 7
    for plot in plots(by_policy(runs)):
        go.Figure(data=plot.traces, layout=plot.layout)  # refuses what plotly does not know


def test_a_run_read_back_gives_the_same_page(tmp_path: Path) -> None:
    run = simulate(Scenario(pipeline="video", window=((400.0, 440.0),)))
    write_run(run, tmp_path / "run")
    page = render([run], "Stored")
    assert render(read_runs(tmp_path / "run"), "Stored") == page
    assert cells(page)[0][1:3] == [f"{run.summary['pas_mean']:.2f}", f"{run.summary['cost_mean_cores']:.2f}"]
