"""Main effects and maps: means over everything else."""

from __future__ import annotations

import numpy as np
import pytest

from ipa.studies import answer
from ipa.studies.many.answers.effects import bins, effect, plane
from tests.studies.answers.tables import grid, runs


def test_an_effect_is_the_mean_over_all_other_keys() -> None:
    settings = answer(grid({"policy.a": [1, 2], "policy.b": [0, 10]}, lambda a, b: a + b)).settings
    assert effect(settings, settings.outcomes[0], 0).mean.tolist() == [6.0, 7.0]
    assert effect(settings, settings.outcomes[0], 1).mean.tolist() == [1.5, 11.5]
    found = plane(settings, settings.outcomes[0], 0, 1)
    assert found.mean.tolist() == [[1.0, 2.0], [11.0, 12.0]]
    assert found.settings.tolist() == [[1, 1], [1, 1]]


def test_the_interval_of_an_effect_is_over_seeds_and_not_over_settings() -> None:
    """At each seed the mean over b is the same, however far the settings are apart."""
    rows = [{"policy.a": 1.0, "policy.b": b, "cost_mean_cores": [10 * b, 10 * b]} for b in (1.0, 2.0)]
    rows += [{"policy.a": 2.0, "policy.b": b, "cost_mean_cores": [10 * b, 10 * b + 2]} for b in (1.0, 2.0)]
    settings = answer(runs(rows, 2)).settings
    found = effect(settings, settings.outcomes[0], 0)
    assert found.mean.tolist() == [15.0, 16.0]
    assert (found.low[0], found.high[0]) == (15.0, 15.0)
    assert found.high[1] - 16.0 == pytest.approx(12.706, abs=1e-3)
    assert found.low[1] == pytest.approx(16.0 - 12.706, abs=1e-3)


def test_many_numbers_are_put_into_bins_of_equally_many_settings() -> None:
    table = runs([{"hop_s": n / 100, "policy.a": n % 2, "cost_mean_cores": 1.0 * n} for n in range(100)])
    settings = answer(table).settings
    found = bins(settings, 0)
    assert found.is_binned
    assert np.bincount(found.bin).tolist() == [10] * 10
    assert found.names[0] == "0 to 0.099"
    assert effect(settings, settings.outcomes[0], 0).mean.tolist() == [4.5 + 10 * n for n in range(10)]


def test_a_cell_without_a_setting_is_empty() -> None:
    table = runs([{"policy.a": a, "policy.b": b, "cost_mean_cores": 1.0} for a, b in ((1, 1), (1, 2), (2, 1))])
    settings = answer(table).settings
    assert np.isnan(plane(settings, settings.outcomes[0], 0, 1).mean).tolist() == [[False, False], [False, True]]
