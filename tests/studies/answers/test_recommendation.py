"""Which setting to take: the rules on small tables, and what is said."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest

from ipa.studies import Answers, Scenario, answer, compare, find
from ipa.studies.many import requirements
from ipa.studies.many.answers import Recommendation, demand_of, demand_of_points
from ipa.studies.pages import html_of
from ipa.studies.pages.answers import page
from tests.studies.answers.tables import runs
from tests.studies.made import made, page_of

Figure = float | list[float]


def table(*rows: tuple[str, Figure, Figure, Figure], seeds: int = 1, run_s: float = 10_000.0, **asked: Any) -> Answers:
    """Policies with their cost, PAS and share of late requests, of ten a second."""
    names = ("policy", "cost_mean_cores", "pas_mean", "sla_violation_rate")
    sizes = {"requests": round(10 * run_s), "duration_s": run_s}
    return answer(runs([dict(zip(names, row, strict=True)) | sizes for row in rows], seeds), ["policy"], **asked)


def recommended(found: Answers, late_at_most: float | None = None) -> Recommendation:
    taken = found.recommend(late_at_most)
    assert taken is not None
    return taken


THREE = (("cheap", 2.0, 30.0, 0.05), ("middle", 3.0, 35.0, 0.004), ("dear", 6.0, 40.0, 0.0))
HOUR = 3600.0


# ---- which settings meet what is asked, and which of them is taken ----


def test_the_cheapest_that_keeps_the_limit_is_taken_and_the_most_accurate_named() -> None:
    assert recommended(table(*THREE, run_s=HOUR)).sentences == [
        "Take middle, the cheapest of 2 that keep at most 1 % late: 3.00 cores, PAS 35.00, 0.40 % late.",
        "The most accurate of them is dear: 6.00 cores, PAS 40.00, none of 36,000 requests late.",
        "Left out: cheap (5.00 % late).",
        "By one seed, without intervals.",
    ]


def test_the_limit_decides() -> None:
    assert recommended(table(*THREE), 0.05).sentences[0].startswith("Take cheap, the cheapest of 3 that keep at most 5")
    only = recommended(table(*THREE), 0.001)
    assert only.sentences[0].startswith("Take dear, the only one that keeps at most 0.1 % late")
    assert [missed.choice.name for missed in only.missed] == ["middle", "cheap"]


@pytest.mark.parametrize(
    ("goal", "name", "left_out"),
    [
        ({"min": "cost", "accuracy_at_least": 36}, "dear", ["middle"]),
        ({"min": "cost", "accuracy_at_least": 35}, "middle", []),
        ({"max": "accuracy"}, "dear", []),
        ({"max": "accuracy", "cores_at_most": 5}, "middle", ["dear"]),
        ({"min": "cost", "late_at_most": 0.05}, "cheap", []),
        ({"late_at_most": 0.001}, "dear", ["middle"]),
    ],
)
def test_the_goal_of_the_question_says_what_is_taken(goal: dict[str, Any], name: str, left_out: list[str]) -> None:
    taken = recommended(table(*THREE, goal=goal))
    assert taken.choice is not None
    assert taken.choice.name == name
    assert {missed.choice.name for missed in taken.missed} - {"cheap"} == set(left_out)


def test_for_an_aim_only_what_it_asks_for_is_said() -> None:
    cheap, accurate = (recommended(table(*THREE, goal=goal)) for goal in ({"min": "cost"}, {"max": "accuracy"}))
    assert cheap.sentences[0].startswith("Take middle, the cheapest of 2 that keep at most 1 % late")
    assert accurate.sentences[0].startswith("Take dear, the most accurate of 2 that keep at most 1 % late")
    assert not [line for taken in (cheap, accurate) for line in taken.sentences if line.startswith("The most accurate")]


def test_every_limit_that_is_missed_is_said_with_its_figure() -> None:
    taken = recommended(table(*THREE, run_s=HOUR, goal={"min": "cost", "accuracy_at_least": 38, "cores_at_most": 7}))
    assert taken.sentences[0] == (
        "Take dear, the only one that keeps PAS at least 38, at most 7 cores and at most 1 % late: 6.00 cores, PAS "
        "40.00, none of 36,000 requests late, so at most 1.02 % (97.5 % sure); 2 seeds would show 1 %."
    )
    assert taken.sentences[1] == "Left out: middle (PAS 35.00); cheap (PAS 30.00, 5.00 % late)."
    low = "PAS at least 38"
    assert taken.as_dict()["missed"] == {"middle": [low], "cheap": [low, "at most 1 % late"]}


def test_where_none_meets_it_the_nearest_is_named_and_by_how_much() -> None:
    found = recommended(table(("a", 2.0, 30.0, 0.05), ("b", 9.0, 35.0, 0.025), run_s=HOUR))
    assert (found.choice, found.cheapest, found.most_accurate) == (None, None, None)
    assert found.sentences[0] == (
        "None keeps at most 1 % late; the nearest is b: 9.00 cores, PAS 35.00, 2.50 % late, which misses at most 1 % "
        "late by 1.50 percentage points."
    )
    both = recommended(
        table(("a", 2.0, 30.0, 0.05), ("b", 9.0, 35.0, 0.0), goal={"min": "cost", "accuracy_at_least": 38})
    )
    assert "which misses PAS at least 38 by 3.00." in both.sentences[0]


def test_one_policy_keeps_the_limit_or_does_not() -> None:
    assert recommended(table(THREE[1], run_s=HOUR)).sentences == [
        "middle keeps at most 1 % late: 3.00 cores, PAS 35.00, 0.40 % late."
    ]
    assert recommended(table(THREE[0], run_s=HOUR)).sentences == [
        "cheap misses at most 1 % late by 4.00 percentage points: 2.00 cores, PAS 30.00, 5.00 % late."
    ]


def test_what_has_no_figure_is_not_known_to_keep_the_limit() -> None:
    found = table(THREE[0], THREE[1], ("odd", 1.0, 50.0, nan), run_s=HOUR)
    taken = recommended(found)
    assert taken.sentences == [
        "Take middle, the only one that keeps at most 1 % late: 3.00 cores, PAS 35.00, 0.40 % late.",
        "Left out: cheap (5.00 % late).",
        "Not known to keep at most 1 % late, for want of a figure: odd.",
        "By one seed, without intervals.",
    ]
    assert taken.as_dict()["unknown"] == ["odd"]
    assert found.headline[0] == (
        "2 of 3 settings do not keep at most 1 % late (1 for want of a figure), and none of these is called the best "
        "or counted among its others."
    )
    none = recommended(table(("odd", 1.0, 50.0, nan), ("other", 2.0, 40.0, nan), run_s=HOUR))
    assert none.choice is None
    assert none.sentences[0] == "Not known to keep at most 1 % late, for want of a figure: odd, other."


def test_the_accuracy_of_a_stage_is_judged_by_what_served_there() -> None:
    """With PAS alone, both would do."""
    row = {"cost_mean_cores": 1.0, "pas_mean": 40.0, "sla_violation_rate": 0.0, "requests": 9, "duration_s": 9e4}
    accuracies = {"low": '{"detect": 45.7, "sort": 70.0}', "high": '{"detect": 64.1, "sort": 69.0}'}
    rows = [{"policy": name, **row, "stage_accuracy_mean": text} for name, text in accuracies.items()]
    goal = {"min": "cost", "accuracy_at_least": {"detect": 60}}
    taken = recommended(answer(runs([{**each, "requests": 90_000} for each in rows]), ["policy"], goal=goal))
    assert taken.sentences[0].startswith("Take high, the only one that keeps accuracy of detect at least 60")
    assert taken.sentences[1] == "Left out: low (accuracy of detect 45.70)."


# ---- a bound is no choice ----


def with_bound(*rows: tuple[str, Figure, Figure, Figure], seeds: int = 1) -> Answers:
    """As `table`; what is named oracle knows the load to come."""
    names = ("policy", "cost_mean_cores", "pas_mean", "sla_violation_rate")
    made_rows = [dict(zip(names, row, strict=True)) | {"requests": 100_000, "duration_s": 10_000.0} for row in rows]
    return answer(runs([{**row, "knows_future": row["policy"] == "oracle"} for row in made_rows], seeds), ["policy"])


def test_what_knows_the_future_is_a_bound_and_no_choice() -> None:
    found = with_bound(("oracle", 1.0, 50.0, 0.0), ("a", 2.0, 30.0, 0.0), ("b", 3.0, 40.0, 0.0))
    taken = recommended(found)
    assert taken.sentences[0].startswith("Take a, the cheapest of 2 that keep")
    assert taken.sentences[1].startswith("The most accurate of them is b")
    assert (
        "A bound and no choice, as it knows the load to come: oracle (1.00 cores, PAS 50.00, none of"
        in taken.sentences[2]
    )
    assert (taken.dominated, taken.as_dict()["bounds"]) == ({}, ["oracle"])
    assert found.headline[0] == (
        "Bounds, as they know the load to come, and compared with none of the others: policy oracle."
    )
    assert not [line for line in found.headline[1:] if "oracle" in line]
    assert found.front("cost_mean_cores", "pas_mean")["policy"].tolist() == ["a", "b"]
    assert found.differences("cost_mean_cores", against={"policy": "oracle"})["difference"].tolist() == [0.0, 1.0, 2.0]


def test_where_all_know_the_future_nothing_is_recommended() -> None:
    taken = recommended(with_bound(("oracle", 1.0, 50.0, 0.0)))
    assert taken.sentences[0] == "Nothing is recommended: all that is compared knows the load to come."
    one = recommended(with_bound(("oracle", 1.0, 50.0, 0.0), ("a", 2.0, 30.0, 0.004)))
    assert one.sentences[0].startswith("a keeps at most 1 % late")


# ---- what is known ----


def test_three_seeds_of_twenty_minutes_do_not_show_one_per_cent_and_four_do() -> None:
    """With none late, 360 bursts of 10 s bound the share by 1.02 %, 480 by .77 %."""
    rows = (("a", 2.0, 30.0, 0.0), ("b", 3.0, 40.0, 0.0))
    three, four = (recommended(table(*rows, seeds=seeds, run_s=1200.0)).sentences[0] for seeds in (3, 4))
    assert three.endswith("none of 36,000 requests late, so at most 1.02 % (97.5 % sure); 4 seeds would show 1 %.")
    assert four.endswith("none of 48,000 requests late, so at most 0.77 % (97.5 % sure).")


@pytest.mark.parametrize(
    ("requests", "run_s", "seeds", "sentence"),
    [
        (0, 1200.0, 1, "Nothing is recommended: no request arrived."),
        (1, 86_400.0, 1, "1 request in 1 run of 86,400 s cannot tell at most 1 % late in any hour; more than 1,000"),
        (720, 60.0, 2, "1,440 requests in 2 runs of 60 s cannot tell at most 1 % late; 62 seeds would show 1 %."),
    ],
)
def test_nothing_is_recommended_on_nothing_and_the_reason_is_said(
    requests: int, run_s: float, seeds: int, sentence: str
) -> None:
    row = {"cost_mean_cores": 1.0, "pas_mean": 40.0, "sla_violation_rate": 0.0}
    rows = [{"policy": name, **row, "requests": requests, "duration_s": run_s} for name in ("a", "b")]
    taken = recommended(answer(runs(rows, seeds), ["policy"]))
    assert taken.choice is None
    assert sentence in taken.sentences[0]
    assert taken.sentences[0].startswith("Nothing is recommended: ")
    assert len(taken.sentences) == 1


def test_little_is_enough_for_a_limit_that_it_shows() -> None:
    """Twelve bursts without a late request are at most 26 %."""
    rows = (("a", 2.0, 30.0, 0.0), ("b", 3.0, 40.0, 0.0))
    taken = recommended(table(*rows, seeds=2, run_s=60.0, late_at_most=0.5))
    assert taken.sentences[0].startswith("Take a, the cheapest of 2 that keep at most 50 % late")


def test_an_interval_that_reaches_beyond_a_limit_is_said_in_the_same_sentence() -> None:
    late = recommended(table(("a", 2.0, 30.0, [0.001, 0.012]), ("b", 3.0, 20.0, [0.0, 0.0]), seeds=2, run_s=HOUR))
    assert late.sentences[0].startswith("Take a, the cheapest and most accurate of 2")
    assert "seeds would show 1 %." in late.sentences[0]
    goal = {"min": "cost", "accuracy_at_least": 30}
    accuracy = recommended(table(("a", 2.0, [29.0, 32.0], 0.0), ("b", 3.0, 40.0, 0.0), seeds=2, goal=goal))
    assert accuracy.sentences[0].endswith("; PAS at least 30 is not shown, as its interval reaches beyond.")


def test_the_worst_hour_is_judged_and_stands_beside_the_mean() -> None:
    """Both have .4 % late in the day; a has 1.07 % in its worst hour."""
    rows = [
        {
            "policy": name,
            "cost_mean_cores": cost,
            "pas_mean": 40.0,
            "sla_violation_rate": 0.004,
            "sla_violation_worst_hour_rate": worst,
            "requests": 864_000,
            "duration_s": 86_400.0,
        }
        for name, cost, worst in (("a", 1.0, 0.0107), ("b", 2.0, 0.008))
    ]
    taken = recommended(answer(runs(rows), ["policy"]))
    assert taken.sentences[0] == (
        "Take b, the only one that keeps at most 1 % late in any hour: 2.00 cores, PAS 40.00, 0.40 % late, 0.80 % in "
        "the worst hour."
    )
    assert taken.sentences[1] == "Left out: a (1.07 % late in the worst hour)."


# ---- ties and domination ----


def test_of_equal_costs_the_more_accurate_is_taken_and_the_other_is_dominated() -> None:
    found = recommended(table(("a", 2.0, 30.0, 0.0), ("b", 2.0, 31.0, 0.0), ("c", 2.5, 31.0, 0.0)))
    assert found.sentences[0].startswith("Take b, the cheapest and most accurate of 3")
    assert found.dominated == {"a": "b", "c": "b"}
    assert found.tied_in_cost == ()


def test_what_breaks_the_limit_dominates_nothing() -> None:
    found = recommended(table(("late", 1.0, 50.0, 0.5), ("kept", 2.0, 40.0, 0.0)))
    assert found.dominated == {}


def test_differences_are_paired_by_seed_and_only_what_they_show_is_dominated() -> None:
    """b costs 0.1 more than a with every seed, although both vary by 10; c costs 0.1 more, give or take 5."""
    found = recommended(
        table(
            ("a", [1.0, 6.0, 11.0], 30.0, 0.0),
            ("b", [1.1, 6.1, 11.1], 30.0, 0.0),
            ("c", [6.1, 1.1, 11.1], 30.0, 0.0),
            seeds=3,
        )
    )
    assert found.cheapest is not None
    assert found.cheapest.name == "a"
    assert found.dominated == {"b": "a"}
    assert [choice.name for choice in found.tied_in_cost] == ["c"]
    assert found.sentences[1].startswith("Not told apart from a in cost, by intervals widened for so many: c.")


def test_of_many_settings_five_are_named() -> None:
    found = recommended(table(*((f"p{n}", 2.0 + n, 30.0, 0.02 + 0.01 * n) for n in range(8)), ("kept", 9.0, 9.0, 0.0)))
    assert found.sentences[1] == (
        "Left out: p0 (2.00 % late), p1 (3.00 % late), p2 (4.00 % late), p3 (5.00 % late), p4 (6.00 % late) and 3 more."
    )


def test_over_several_loads_it_is_said_that_figures_are_means_over_them() -> None:
    """1.6 % and 0.2 % are 0.9 % together."""
    figures = {"cost_mean_cores": 2.0, "pas_mean": 30.0}
    rows = [{"policy": p, "workload": w, **figures} for p in ("a", "b") for w in ("one", "two")]
    for row, late in zip(rows, (0.016, 0.002, 0.03, 0.04), strict=True):
        row["sla_violation_rate"] = late
    found = recommended(answer(runs(rows)))
    assert found.sentences[0].startswith("Take a, the only one that keeps at most 1 % late: 2.00 cores")
    assert found.sentences[-1] == "All figures are means over 2 loads."


def test_without_late_requests_in_the_table_nothing_is_recommended() -> None:
    found = answer(runs([{"policy": "a", "cost_mean_cores": 1.0}, {"policy": "b", "cost_mean_cores": 2.0}]))
    assert found.recommend() is None
    assert found.headline[0].startswith("Lowest cost: policy a")


def test_no_setting_that_breaks_the_limit_is_called_the_best() -> None:
    found = table(*THREE)
    assert found.headline[0] == (
        "1 of 3 settings does not keep at most 1 % late, and none of these is called the best or counted among its "
        "others."
    )
    assert found.headline[1].startswith("Lowest cost: policy middle with 3.00 cores")
    assert found.differences("cost_mean_cores")["shown"].tolist() == ["not shown", "compared with", "not shown"]
    none = table(THREE[0], ("worse", 9.0, 50.0, 0.9))
    assert not none.winners
    assert not [sentence for sentence in none.headline if sentence.startswith(("Lowest", "Highest"))]


def test_the_pages_begin_with_it() -> None:
    pytest.importorskip("plotly")
    drawn = html_of(page(table(*THREE)))
    assert drawn.index("Which to take") < drawn.index("Take middle") < drawn.index("What was found")
    html = html_of(page_of(made("a", sla_violation_rate=0.0), made("b", sla_violation_rate=0.02)))
    assert html.index("Which to take") < html.index("Nothing is recommended") < html.index("Accuracy against cost")
    assert (
        html.index("Accuracy against cost")
        < html.index("Figures of each policy")
        < html.index("Differences seed by seed")
    )
    assert "Which to take" not in html_of(page_of(made("a")))


# ---- what is asked of some scenarios ----


def scenario(policy: str, **values: Any) -> Scenario:
    return find("video", {"policy": policy, **values})


def asked(*scenarios: Scenario, **further: Any) -> list[str]:
    return [limit.text for limit in demand_of(scenarios, **further).limits]


def test_goals_limits_and_requirements_are_asked_of_all() -> None:
    goal = "goal={min: cost, accuracy_at_least: 38, cores_at_most: 9}"
    both = scenario(f"ipa {goal}"), scenario("rate")
    assert asked(*both) == ["PAS at least 38", "at most 9 cores", "at most 1 % late"]
    assert demand_of(both).aim == "cost"
    limited = [each.with_values({"limit_cores": 5, "price_per_core": 0.5}) for each in both]
    assert asked(*limited) == ["PAS at least 38", "at most 5 cores", "at most 1 % late"]
    required = [requirements.parse(text) for text in ("pas>=40", "p99<=2", "late<=0.002")]
    assert asked(*both, required=required)[0] == "PAS at least 40"
    assert asked(*both, required=required)[2:] == [
        "latency p99 at most 2 s",
        "SLA violations at most 0.2 %",
        "at most 1 % late",
    ]
    stage = scenario("ipa goal={min: cost, accuracy_at_least: {object-detection: 60}, late_at_most: 0.02}")
    assert asked(stage) == ["accuracy of object-detection at least 60", "at most 2 % late"]
    assert asked(stage, late_at_most=0.005)[-1] == "at most 0.5 % late"
    assert asked(stage, late_at_most=0.5)[-1] == "at most 2 % late"


def test_what_differs_is_compared_and_not_asked() -> None:
    goals = [scenario(f"ipa goal={{min: cost, accuracy_at_least: {least}}}") for least in (35, 38)]
    assert asked(*goals) == ["at most 1 % late"]
    assert demand_of(goals).notes == ("Goals differ, so none of them is asked of all.",)
    one = (goals[0], scenario("scale-only:low"))
    assert asked(*one)[0] == "PAS at least 35"
    assert demand_of(one).notes == ("The goal is asked of all, also of those that take one and did not plan for it.",)
    limits = [scenario("ipa", limit_cores=cores) for cores in (4, 5)]
    assert asked(*limits) == ["at most 1 % late"]
    assert demand_of(limits).notes == ("Limits of cores differ, so none of them is asked of all.",)


def test_the_points_of_a_sweep_ask_by_their_scenario_and_by_what_varies() -> None:
    base = scenario("ipa goal={max: accuracy, cores_at_most: 8}")
    assert demand_of_points(base, {"policy.alpha": [1, 2]}).text == "at most 8 cores and at most 1 % late"
    varied = demand_of_points(scenario("ipa"), {"policy": ["rate", "ipa goal={min: cost, accuracy_at_least: 33}"]})
    assert varied.text == "PAS at least 33 and at most 1 % late"


def test_the_goal_of_a_comparison_is_that_of_its_recommendation() -> None:
    """As README's: scale-only:low is the cheapest, and misses the goal."""
    base = Scenario(pipeline="video", trace="constant:5:1200")
    goal = {"goal": {"min": "cost", "accuracy_at_least": 38}}
    found = compare(base, ["ipa", "scale-only:low", "rate", "oracle"], 1, parameters=goal, jobs=1)
    taken = found.recommend()
    assert taken.sentences[0].startswith("Take ipa, the only one that keeps PAS at least 38 and at most 1 % late: ")
    assert {missed.choice.name for missed in taken.missed} == {"scale-only:low", "rate"}
    assert [bound.name for bound in taken.bounds] == ["oracle"]
