"""A table of runs by setting: keys, levels, seeds, loads, failed runs, and what is refused."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from ipa.studies import ScenarioError, answer
from ipa.studies.many.answers import Outcome, keys_of
from ipa.studies.many.answers.settings import over_loads
from tests.studies.answers.tables import runs

TABLE = runs(
    [
        {"policy.alpha": 2.0, "policy.predictor.name": "max", "cost_mean_cores": [1.0, 3.0]},
        {"policy.alpha": 0.5, "policy.predictor.name": "max", "cost_mean_cores": [2.0, 2.0]},
    ],
    seeds=2,
)


def test_a_setting_is_one_value_of_every_key_and_its_figure_the_mean_over_its_seeds() -> None:
    settings = answer(TABLE).settings
    assert settings.means["cost_mean_cores"].tolist() == [2.0, 2.0]
    assert [settings.title(place) for place in range(2)] == ["alpha 2", "alpha 0.5"]
    assert settings.keys[0].levels == (0.5, 2.0)
    assert answer(TABLE).ran == "4 runs: 2 settings with 2 seeds"


def test_keys_are_the_columns_of_a_scenario_or_a_study_that_vary() -> None:
    table = TABLE.assign(requests=[1, 2, 3, 4], engine=list("abab"), scale=[1.0, 2.0, 1.0, 2.0])
    assert keys_of(table) == ("policy.alpha", "scale")
    # The trace of a workload says what the workload says.
    both = TABLE.assign(workload=["a", "b", "a", "b"], trace=["x", "y", "x", "y"])
    assert keys_of(both) == ("policy.alpha", "workload")


def test_numbers_that_differ_in_every_setting_are_keys_of_their_own() -> None:
    table = runs([{"hop_s": n / 10, "policy.alpha": float(9 - n), "cost_mean_cores": 1.0 * n} for n in range(4)])
    assert keys_of(table) == ("hop_s", "policy.alpha")


def test_text_truth_values_and_what_is_not_set_are_levels_too() -> None:
    table = runs(
        [
            {"policy": "ipa", "policy.alpha": 2.0, "guards.x": True, "cost_mean_cores": 1.0},
            {"policy": "rate", "policy.alpha": float("nan"), "guards.x": False, "cost_mean_cores": 2.0},
        ]
    )
    settings = answer(table, ["policy", "policy.alpha", "guards.x"]).settings
    assert [settings.title(place) for place in range(2)] == [
        "policy ipa, alpha 2, x true",
        "policy rate, alpha –, x false",
    ]


def test_loads_are_met_and_not_chosen() -> None:
    """Over both loads alpha 1 costs (1 + 5) / 2, alpha 2 (2 + 2) / 2."""
    rows = [(1.0, "low", 1.0), (1.0, "high", 5.0), (2.0, "low", 2.0), (2.0, "high", 2.0)]
    table = runs([{"policy.alpha": alpha, "workload": load, "cost_mean_cores": cost} for alpha, load, cost in rows])
    found = answer(table)
    assert found.ran == "4 runs: 2 settings on 2 loads with 1 seed"
    assert found.settings.means["cost_mean_cores"].tolist() == [3.0, 2.0]
    assert len(found.all_settings) == 4


def test_settings_that_met_different_loads_are_not_compared() -> None:
    table = runs([{"policy.alpha": 1.0 * n, "scale": 1.0 + n, "cost_mean_cores": 1.0 * n} for n in range(4)])
    found = answer(table)
    assert over_loads(found.all_settings) is None
    assert found.headline[0] == "The settings met different loads, and so none of them is compared with another."
    assert not found.winners
    with pytest.raises(ScenarioError, match="met different loads"):
        found.differences("cost_mean_cores")


def test_failed_runs_are_left_out_and_counted() -> None:
    errors: list[Any] = ["", None, "PolicyError: no", None]
    table = TABLE.assign(error=errors)
    found = answer(table)
    assert found.ran == "3 runs: 2 settings with 2 seeds; 1 more failed"
    assert found.settings.means["cost_mean_cores"].tolist() == [2.0, 2.0]
    with pytest.raises(ScenarioError, match="no finished run; 4 failed"):
        answer(TABLE.assign(error="no"), ["policy.alpha"])


@pytest.mark.parametrize(
    ("keys", "outcomes", "text"),
    [
        (["policy.alhpa"], None, "no column 'policy.alhpa'; did you mean 'policy.alpha'?"),
        (None, ["cost_mean_core"], "'cost_mean_core' is none that is known; did you mean 'cost_mean_cores'?"),
        (None, ["pas_mean"], "the table has no column 'pas_mean'"),
        (None, [], "outcomes: none is given"),
        (["policy.predictor.name"], None, "two runs have the same values of them and the same seed"),
    ],
)
def test_what_is_not_there_is_said(keys: list[str] | None, outcomes: list[str] | None, text: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        answer(TABLE, keys, outcomes)
    assert text in str(refused.value)


def test_a_table_in_which_nothing_varies_is_refused() -> None:
    with pytest.raises(ScenarioError, match="no key varies in the table"):
        answer(TABLE[:2])
    with pytest.raises(ScenarioError, match="no column 'seed'"):
        answer(pd.DataFrame({"policy.alpha": [1.0, 2.0], "cost_mean_cores": [1.0, 2.0]}))


def test_any_column_is_an_outcome_once_it_is_said_what_is_better() -> None:
    profit = Outcome("profit", "profit", "more", "EUR", is_rate=False)
    table = TABLE.assign(profit=[-1.0, -3.0, 4.0, 6.0])
    assert answer(table, outcomes=[profit]).headline[0].startswith("Highest profit: alpha 0.5 with 5.00 ± 12.71 EUR")
