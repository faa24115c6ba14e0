"""Random streams: keyed, apart from each other, the k-th draw always the same; and the lognormal fitted to a p99."""

from __future__ import annotations

from itertools import islice
from math import exp, sqrt

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import lognorm

from ipa.sim import streams
from ipa.sim.normal import normal_quantiles
from ipa.sim.streams import lognormal_sigma, standard_normals, stream


def first(count: int, seed: int, purpose: str, stage: int = 0) -> list[float]:
    return list(islice(standard_normals(stream(seed, purpose, stage)), count))


def test_every_key_has_draws_of_its_own() -> None:
    keys = [(seed, purpose, stage) for seed in (0, 1, 2**40) for purpose in streams.PURPOSES for stage in range(3)]
    opening = {first(1, *key)[0] for key in keys}
    assert len(opening) == len(keys)


def test_streams_do_not_correlate() -> None:
    """Of 10,000 independent pairs the correlation has a standard deviation of 0.01."""
    one, *others = (
        first(10_000, *key) for key in [(1, "service", 0), (1, "service", 1), (1, "arrivals", 0), (2, "service", 0)]
    )
    for other in others:
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.04


def test_reading_one_stream_does_not_move_another() -> None:
    undisturbed = first(10, 3, "service", 1)
    ours = standard_normals(stream(3, "service", 1))
    theirs = standard_normals(stream(3, "service", 0))
    interleaved = []
    for _ in range(10):
        next(theirs)
        interleaved.append(next(ours))
    assert interleaved == undisturbed


def test_the_draws_of_a_key_are_fixed_for_good() -> None:
    """A change here changes every published result: the first uniform of three streams, as SeedSequence makes them."""
    expected = [
        np.random.Generator(np.random.PCG64(np.random.SeedSequence(1, spawn_key=key))).random()
        for key in [(0, 0), (1, 0), (1, 2)]
    ]
    assert [
        stream(1, "arrivals").random(),
        stream(1, "service").random(),
        stream(1, "service", 2).random(),
    ] == expected
    assert streams.PURPOSES == {
        "arrivals": 0,
        "service": 1,
        "scaling": 3,
        "workload": 4,
        "sample": 5,
        "windows": 6,
        "items": 8,
        "tokens": 9,
    }


@pytest.mark.parametrize("block", [1, 7, 100])
def test_the_kth_draw_does_not_depend_on_how_many_are_drawn_at_once(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_shipped = first(300, 5, "service")
    monkeypatch.setattr(streams, "BLOCK", block)
    assert first(300, 5, "service") == as_shipped


def test_the_kth_draw_is_the_quantile_of_the_kth_uniform() -> None:
    """Across the end of a block of 4096 as well."""
    uniforms = stream(5, "service").random(5000)
    assert first(5000, 5, "service") == ndtri(uniforms).tolist()


def test_quantiles_are_those_of_scipy_bit_by_bit_also_far_out() -> None:
    bounds = [0.5, exp(-2), 1 - exp(-2)]
    beside = [np.nextafter(bound, end) for bound in bounds for end in (0.0, 1.0)]
    far_out = 2.0 ** -np.linspace(1.0, 54.0, 10_000)
    levels = np.concatenate(
        [bounds, beside, far_out, 1.0 - far_out[far_out > 2.0**-53], stream(3, "service").random(10**5)]
    )
    assert normal_quantiles(levels).tobytes() == ndtri(levels).tobytes()


def test_an_exact_zero_has_a_finite_quantile() -> None:
    class Zeros:
        def random(self, count: int) -> np.ndarray:
            return np.zeros(count)

    assert next(standard_normals(Zeros())) == pytest.approx(-8.2, abs=0.1)  # type: ignore[arg-type]


def test_the_purpose_must_be_known() -> None:
    with pytest.raises(KeyError, match="weather"):
        stream(1, "weather")


# ---- the lognormal ----


def test_no_spread_is_no_lognormal() -> None:
    assert lognormal_sigma(1.0) == 0.0


def test_the_fitted_lognormal_has_the_mean_and_the_p99_asked_for() -> None:
    """exp(sigma z - sigma^2 / 2) has mean 1 and, by scipy, the 99 % quantile asked for; sigma is the smaller root."""
    p99_over_mean = np.append(1.0 + np.logspace(-5.0, 0.0, 1000), np.linspace(2.0, 14.9, 1000))
    sigma = np.array([lognormal_sigma(ratio) for ratio in p99_over_mean.tolist()])
    assert sigma.min() > 1e-6
    assert sigma.max() <= 2.3263478740408408
    fitted = lognorm(s=sigma, scale=np.exp(-0.5 * sigma * sigma))
    np.testing.assert_allclose(fitted.mean(), 1.0, rtol=1e-9)
    np.testing.assert_allclose(fitted.ppf(0.99), p99_over_mean, rtol=1e-9)


def test_draws_of_the_fitted_lognormal_have_that_mean_and_p99() -> None:
    """p99 / mean = 2: sigma = 2.326 - sqrt(2.326^2 - 2 ln 2) = 0.320; tolerances are 4 sd of 100,000 draws."""
    sigma, count = lognormal_sigma(2.0), 100_000
    factors = np.exp(sigma * np.array(first(count, 11, "service")) - 0.5 * sigma * sigma)
    sd = sqrt(exp(sigma * sigma) - 1.0)
    assert sigma == pytest.approx(0.320, abs=5e-4)
    assert factors.mean() == pytest.approx(1.0, abs=4.0 * sd / sqrt(count))
    density = lognorm(s=sigma, scale=exp(-0.5 * sigma * sigma)).pdf(2.0)
    assert np.quantile(factors, 0.99) == pytest.approx(2.0, abs=4.0 * sqrt(0.99 * 0.01 / count) / density)


@pytest.mark.parametrize("p99_over_mean", [0.999, 0.0, -1.0, 15.0, float("inf"), float("nan")])
def test_what_no_lognormal_has_is_refused(p99_over_mean: float) -> None:
    with pytest.raises(ValueError, match=r"allowed: 1 to 14\.97"):
        lognormal_sigma(p99_over_mean)
