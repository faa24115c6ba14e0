"""On which windows and seeds settings are chosen, and on which others they are judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ipa import traces
from ipa.studies import Scenario, ScenarioError
from ipa.studies.many.tuning import cases as tuning_cases
from ipa.studies.many.tuning.cases import Case, cases_of, of_case

DAY_S = 86_400


@pytest.fixture
def hours(tmp_path: Path) -> str:
    """A load of three hours, 4 to 6 requests a second."""
    path = tmp_path / "hours.csv"
    traces.write(traces.Trace.of_counts("hours", np.random.default_rng(1).integers(4, 7, 10_800)), path)
    return str(path)


def test_windows_of_the_first_two_thirds_are_for_training_and_later_ones_for_testing(hours: str) -> None:
    cases = cases_of(Scenario(pipeline="video", trace=hours), windows=3)
    assert (len(cases.train), len(cases.test)) == (3, 6)
    for case in cases.train:
        assert case.window is not None
        assert 0 <= case.window[0] < case.window[1] <= 7200
    for case in cases.test:
        assert case.window is not None
        assert case.window[0] >= 7200 + 120  # what a policy sees of the past is none of the training's
    windows = [case.window for case in (*cases.train, *cases.test)]
    assert len(set(windows)) == 9
    assert len({case.seed for case in (*cases.train, *cases.test)}) == 9


def test_the_seed_draws_the_windows(hours: str) -> None:
    def windows(seed: int) -> list[Case]:
        return list(cases_of(Scenario(pipeline="video", trace=hours, seed=seed), windows=4).train)

    assert windows(1) == windows(1)
    assert [case.window for case in windows(1)] != [case.window for case in windows(2)]


def test_runs_of_one_window_follow_each_other(hours: str) -> None:
    cases = cases_of(Scenario(pipeline="video", trace=hours), windows=2, seeds=2)
    assert [case.seed for case in cases.train] == [1, 2, 3, 4]
    assert cases.train[0].window == cases.train[1].window != cases.train[2].window
    run = of_case(cases.base, cases.train[2])
    assert (run.window, run.seed, run.records) == ((cases.train[2].window,), 3, "none")


def test_a_load_that_is_drawn_keeps_seeds_apart() -> None:
    cases = cases_of(Scenario(pipeline="video", trace="bursty", seed=5), windows=2)
    assert [(case.window, case.seed) for case in cases.train] == [(None, 5), (None, 6)]
    assert [case.seed for case in cases.test] == [7, 8, 9, 10]


def test_a_file_has_no_window_of_its_own(hours: str) -> None:
    scenario = Scenario(pipeline="video", trace=hours, window=((0.0, 100.0),))
    with pytest.raises(ScenarioError, match="the first two thirds of a log are to train on"):
        cases_of(scenario, windows=4)


def test_windows_are_shorter_where_a_log_has_not_enough_long_ones(hours: str) -> None:
    """Of an hour to test on, less the history, 3,480 s: two windows of 1,200 s, and 8 of 435 s."""
    lengths = [cases_of(Scenario(pipeline="video", trace=hours), windows=count).window_s for count in (1, 4)]
    assert lengths == [1200, 435]


def test_fewer_windows_than_asked_for_are_said(hours: str) -> None:
    said: list[str] = []
    cases = cases_of(Scenario(pipeline="video", trace=hours), windows=9, log=said.append)
    assert (len(cases.train), len(cases.test)) == (9, 11)
    assert said == ["the part of the load to test on, 7320:10800, holds 11 windows of 300 s, fewer than 18"]


# ---- the real trace ----


@pytest.fixture(scope="module")
def real_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real trace, as far as its form goes: 21 days at 40 per second, and every two hours 10 minutes at 240."""
    counts = np.full(21 * DAY_S, 40)
    for start in range(0, len(counts), 7200):
        counts[start + 5460 : start + 6060] = 240
    path = tmp_path_factory.mktemp("real") / "real.parquet"
    traces.write(traces.Trace.of_counts("real", counts), path)
    return path


@pytest.fixture
def real(real_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It is the real trace that there is."""
    monkeypatch.setenv("IPA_TRACE", str(real_file))
    return real_file


@pytest.mark.long
def test_windows_like_a_published_one_are_cut_from_the_whole_trace_scaled_as_it(
    real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`twitter:bursty` is 5 rps with ten minutes at 30: so are the windows that begin 4800 s into two hours."""
    monkeypatch.setattr(tuning_cases, "REAL_TRAIN", (0.0, 2 * DAY_S))
    monkeypatch.setattr(tuning_cases, "REAL_TEST", (2 * DAY_S, 5 * DAY_S))
    cases = cases_of(Scenario(pipeline="video", trace="twitter:bursty"), windows=10)
    assert (cases.base.trace, cases.base.scale) == (str(real), 1 / 8)
    assert [case.window[0] % 7200 for case in cases.train if case.window] == [4800.0] * 10
    assert [case.window[0] % 7200 for case in cases.test if case.window] == [4920.0] * 20  # 120 s of history later
    assert "like twitter:bursty: 10 of seconds 0 to 172,800 for training" in cases.words
