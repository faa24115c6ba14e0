"""Which setting to take: the rules on small tables, and what is said."""

from __future__ import annotations

from math import nan

import pytest

from ipa.studies import Answers, answer
from ipa.studies.many.answers import Recommendation
from ipa.studies.pages import html_of
from ipa.studies.pages.answers import page
from tests.studies.answers.tables import runs
from tests.studies.made import made, page_of

Figure = float | list[float]


def table(*rows: tuple[str, Figure, Figure, Figure], seeds: int = 1) -> Answers:
    """Policies with their cost, PAS and share of late requests, of 100,000 in a run of 10,000 s."""
    names = ("policy", "cost_mean_cores", "pas_mean", "sla_violation_rate")
    sizes = {"requests": 100_000, "duration_s": 10_000.0}
    return answer(runs([dict(zip(names, row, strict=True)) | sizes for row in rows], seeds), ["policy"])


def recommended(found: Answers, late_at_most: float = 0.01) -> Recommendation:
    taken = found.recommend(late_at_most)
    assert taken is not None
    return taken


THREE = (("cheap", 2.0, 30.0, 0.05), ("middle", 3.0, 35.0, 0.004), ("dear", 6.0, 40.0, 0.0))


def test_the_cheapest_that_keeps_the_limit_is_taken_and_the_most_accurate_named() -> None:
    assert recommended(table(*THREE)).sentences == [
        "Take middle, the cheapest of 2 that keep at most 1 % late: 3.00 cores, PAS 35.00, 0.40 % late.",
        "The most accurate that keeps it is dear: 6.00 cores, PAS 40.00, 0.00 % late.",
        "Above the limit: cheap (5.00 %).",
        "By one seed, without intervals.",
    ]


def test_the_limit_decides() -> None:
    assert (
        recommended(table(*THREE), 0.05).sentences[0].startswith("Take cheap, the cheapest of 3 that keep at most 5 %")
    )
    only = recommended(table(*THREE), 0.001)
    assert only.sentences[0].startswith("Take dear, the only one that keeps at most 0.1 % late")
    assert [each.name for each in only.late] == ["middle", "cheap"]


def test_where_none_keeps_the_limit_the_nearest_is_named_and_by_how_much() -> None:
    found = recommended(table(("a", 2.0, 30.0, 0.05), ("b", 9.0, 35.0, 0.025)))
    assert (found.cheapest, found.most_accurate) == (None, None)
    assert found.sentences[0] == (
        "None keeps at most 1 % late; the nearest is b: 9.00 cores, PAS 35.00, 2.50 % late, 1.50 percentage points "
        "above it."
    )


def test_one_policy_keeps_the_limit_or_does_not() -> None:
    assert recommended(table(THREE[1])).sentences == [
        "middle keeps at most 1 % late: 3.00 cores, PAS 35.00, 0.40 % late."
    ]
    assert recommended(table(THREE[0])).sentences[0].startswith("cheap does not keep at most 1 % late: 2.00")


def test_what_has_no_figure_of_late_requests_is_not_known_to_keep_the_limit() -> None:
    found = table(THREE[0], THREE[1], ("odd", 1.0, 50.0, nan))
    taken = recommended(found)
    assert taken.sentences == [
        "Take middle, the only one that keeps at most 1 % late: 3.00 cores, PAS 35.00, 0.40 % late.",
        "Above the limit: cheap (5.00 %).",
        "Not known to keep at most 1 % late, for want of a figure: odd.",
        "By one seed, without intervals.",
    ]
    assert taken.as_dict()["unknown"] == ["odd"]
    assert found.headline[0] == (
        "2 of 3 settings break the limit of 1 % late requests or have no figure of them (1), and none of these is "
        "called the best or counted among its others."
    )
    none = recommended(table(("odd", 1.0, 50.0, nan), ("other", 2.0, 40.0, nan)))
    assert none.cheapest is None
    assert none.sentences[0] == "Not known to keep at most 1 % late, for want of a figure: odd, other."


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
    assert [each.name for each in found.tied_in_cost] == ["c"]
    assert found.sentences[1].startswith("Not told apart from a in cost, by intervals that hold together: c.")


def test_an_interval_that_reaches_beyond_the_limit_is_said() -> None:
    found = recommended(table(("a", 2.0, 30.0, [0.001, 0.012]), ("b", 3.0, 20.0, [0.0, 0.0]), seeds=2))
    assert found.sentences[-1] == "Not shown to keep the limit, as their intervals reach beyond it: a."


def test_of_many_settings_five_are_named() -> None:
    found = recommended(table(*((f"p{n}", 2.0 + n, 30.0, 0.02 + 0.01 * n) for n in range(8)), ("kept", 9.0, 9.0, 0.0)))
    assert found.sentences[1] == (
        "Above the limit: p0 (2.00 %), p1 (3.00 %), p2 (4.00 %), p3 (5.00 %), p4 (6.00 %) and 3 more."
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
        "1 of 3 settings breaks the limit of 1 % late requests, and none of these is called the best or counted among "
        "its others."
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
    assert html.index("Which to take") < html.index("Take a") < html.index("Headline")
    assert "Which to take" not in html_of(page_of(made("a")))
