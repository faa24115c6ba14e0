"""`ipa predictor ...`: scores in the terminal, as JSON and in files; a list."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import answer, ipa, refusal

CONSTANT = ("predictor", "evaluate", "--trace", "constant:8:60")
"""A forecast at 0, 10, 20, 30, 40: 8 requests in each second, before and after."""

HALF = """
class Half:
    def __init__(self, share=0.5):
        self.share = share

    def predict(self, observation):
        return self.share * observation.load_rps[-1]


class Late:
    reads = ("latency",)

    def predict(self, observation):
        return 1.0
"""


def test_a_class_of_ones_own_that_says_nothing_of_what_it_reads_is_scored(here: Path) -> None:
    own = "class Own:\n    def forecast(self, observation, horizon_s):\n        return Forecast(horizon_s, 8.0)\n"
    (here / "my.py").write_text(f"from ipa.policies import Forecast\n\n{own}")
    [score] = answer(*CONSTANT, "--predictor", "my.py:Own", "--json")["scores"]
    assert score["smape_percent"] == 0.0


def test_predictors_are_scored_side_by_side_ones_own_too(here: Path) -> None:
    """4 or 6 for 8 have SMAPE 2 x 4 / 12 and 2 x 2 / 14, pinball losses at 0.95 of 0.95 x 4 and 0.95 x 2."""
    (here / "my.py").write_text(HALF)
    found = answer(
        *CONSTANT,
        *("--predictor", "mean factor=1", "--predictor", "my.py:Half", "--predictor", "my.py:Half share=0.75"),
        *("--quantile", 0.95, "--json"),
    )
    assert (found["forecasts"], found["horizon_s"], found["quantiles"]) == (5, 20, [0.95])
    scores = {each["name"]: each for each in found["scores"]}
    assert list(scores) == ["mean factor=1", "my.py:Half", "my.py:Half share=0.75"]
    assert [each["smape_percent"] for each in scores.values()] == pytest.approx([0, 200 / 3, 200 / 7])
    assert [each["pinball_rps"] for each in scores.values()] == [[0], [pytest.approx(3.8)], [pytest.approx(1.9)]]
    assert [each["quantile_under_share"] for each in scores.values()] == [[0], [1], [1]]
    assert all(each["forecast_ms"] > 0 for each in scores.values())


def test_the_table_has_a_row_for_each_and_can_be_written(here: Path) -> None:
    command = (*CONSTANT, "--predictor", "reactive", "--predictor", "holt", "--windows", "0:30,30:60")
    printed = ipa(*command, "--to", "scores.md")
    assert printed.exit_code == 0
    assert "constant:8:60, 0:30,30:60: 4 forecasts of the busiest of 20 s" in printed.stdout
    head, line, reactive, holt = (here / "scores.md").read_text().splitlines()
    assert head.split(" | ")[:3] == ["| predictor", "SMAPE %", "under %"]
    assert line.count("--:") == head.count("|") - 2
    assert reactive.startswith("| reactive | 0.00 | 0.0 | 0.000 | 0.000 | 0.0 | 0.0 | - | ")
    assert holt.startswith("| holt | 0.00 | 0.0 | 0.000 | 0.000 | 0.0 | 0.0 | 100.0 | ")
    assert ipa(*command, "--to", "scores.csv").exit_code == 0
    assert (here / "scores.csv").read_text().splitlines()[1].startswith("reactive,0.00,0.0,")


def test_without_a_choice_all_are_scored_that_do_not_know_the_future() -> None:
    names = [each["name"] for each in answer(*CONSTANT, "--json")["scores"]]
    assert {"reactive", "mean", "poisson"} <= set(names)
    assert "oracle" not in names


def test_the_list_names_every_predictor_with_its_parameters() -> None:
    found = {each["name"]: each for each in answer("predictor", "list", "--json")}
    assert found["mean"]["parameters"] == {"windows": "4", "factor": "1.04", "window_s": "10", "of": "'max'"}
    assert found["mean"]["summary"].startswith("`factor` x the mean load")
    assert "window_s=10" in ipa("predictor", "list").stdout


def test_who_reads_more_than_the_load_is_refused(here: Path) -> None:
    (here / "my.py").write_text(HALF)
    assert "reads latency, which a load alone does not give" in refusal(*CONSTANT, "--predictor", "my.py:Late")
