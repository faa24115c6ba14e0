"""A figure over time is a line of steps, or an envelope where the steps are too many to be told apart."""

from __future__ import annotations

import numpy as np
import pytest

from ipa.studies.pages.clock import ORIGIN_MS, Clock, LineLook, course, envelope, is_long
from ipa.studies.series import StepLine

WAVE = StepLine(np.arange(86401.0), np.arange(86400.0) % 2 + 10.0)
"""A day of 10 and 11, second by second."""


def test_an_envelope_has_the_least_the_mean_and_the_greatest_of_each_bin() -> None:
    """0 for 150 s, 6 for 90 s, 3 to the end: in the bin from 100 to 200 s the mean is 50 x 6 / 100."""
    found = envelope(StepLine(np.array([0.0, 150.0, 240.0, 48000.0]), np.array([0.0, 6.0, 3.0])))
    assert found.edges_s[:4].tolist() == [0.0, 100.0, 200.0, 300.0]
    assert found.low[:4].tolist() == [0.0, 0.0, 3.0, 3.0]
    assert found.high[:4].tolist() == [0.0, 6.0, 6.0, 3.0]
    assert found.mean[:4] == pytest.approx([0.0, 3.0, (40 * 6 + 60 * 3) / 100, 3.0])


def test_an_envelope_keeps_the_integral() -> None:
    rng = np.random.default_rng(1)
    edges_s = np.append(0.0, np.cumsum(rng.uniform(0.1, 40.0, 5000)))
    figure = StepLine(edges_s, rng.integers(0, 20, 5000).astype(float))
    found = envelope(figure)
    assert np.sum(found.mean * np.diff(found.edges_s)) == pytest.approx(np.sum(figure.value * np.diff(edges_s)))
    assert (found.low.min(), found.high.max()) == (figure.value.min(), figure.value.max())


def test_a_day_of_seconds_is_a_band_and_a_mean() -> None:
    assert is_long(WAVE)
    low, band, mean = course(Clock(86400.0), WAVE, "load", LineLook("#0b62a4", area="#eeeeee"), "rps")
    assert (set(low["y"]), set(band["y"]), set(mean["y"])) == ({10.0}, {11.0}, {10.5})
    assert band["fill"] == "tonexty"
    assert len(mean["x"]) < 500
    assert (mean["x"][0], mean["x"][-1]) == (ORIGIN_MS, ORIGIN_MS + 86_400_000)


def test_twenty_minutes_of_seconds_are_a_line() -> None:
    short = StepLine(np.arange(1201.0), np.arange(1200.0) % 2)
    (line,) = course(Clock(1200.0), short, "load", LineLook("#0b62a4"), "rps")
    assert len(line["x"]) == 1201


def test_a_long_run_with_few_steps_is_a_line() -> None:
    assert not is_long(StepLine(np.array([0.0, 1.0, 2.0, 86400.0]), np.array([1.0, 2.0, 3.0])))


def test_each_step_tells_its_reason() -> None:
    figure = StepLine(np.array([0.0, 10.0, 20.0]), np.array([2.0, 3.0]))
    (line,) = course(Clock(20.0), figure, "decided", LineLook("#000000"), "cores", "ab")
    assert line["text"] == ["a", "b", "b"]
    assert "%{text}" in line["hovertemplate"]
