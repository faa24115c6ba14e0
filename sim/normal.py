"""The normal quantile of an array, bit by bit that of `scipy.special.ndtri`, without importing scipy, which takes
longer than a short run."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Rational approximations from Moshier, Methods and Programs for Mathematical Functions (1989), chapter 5 (Cephes), with
# the highest power first: of the middle, and of the tails by 1 / x up to x = 8 and beyond it.
_TAIL = 0.13533528323661269189  # exp(-2)
_SQRT_2PI = 2.50662827463100050242
_MIDDLE = (
    (
        -5.99633501014107895267e1,
        9.80010754185999661536e1,
        -5.66762857469070293439e1,
        1.39312609387279679503e1,
        -1.23916583867381258016e0,
    ),
    (
        1.0,
        1.95448858338141759834e0,
        4.67627912898881538453e0,
        8.63602421390890590575e1,
        -2.25462687854119370527e2,
        2.00260212380060660359e2,
        -8.20372256168333339912e1,
        1.59056225126211695515e1,
        -1.18331621121330003142e0,
    ),
)
_NEAR = (
    (
        4.05544892305962419923e0,
        3.15251094599893866154e1,
        5.71628192246421288162e1,
        4.40805073893200834700e1,
        1.46849561928858024014e1,
        2.18663306850790267539e0,
        -1.40256079171354495875e-1,
        -3.50424626827848203418e-2,
        -8.57456785154685413611e-4,
    ),
    (
        1.0,
        1.57799883256466749731e1,
        4.53907635128879210584e1,
        4.13172038254672030440e1,
        1.50425385692907503408e1,
        2.50464946208309415979e0,
        -1.42182922854787788574e-1,
        -3.80806407691578277194e-2,
        -9.33259480895457427372e-4,
    ),
)
_FAR = (
    (
        3.23774891776946035970e0,
        6.91522889068984211695e0,
        3.93881025292474443415e0,
        1.33303460815807542389e0,
        2.01485389549179081538e-1,
        1.23716634817820021358e-2,
        3.01581553508235416007e-4,
        2.65806974686737550832e-6,
        6.23974539184983293730e-9,
    ),
    (
        1.0,
        6.02427039364742014255e0,
        3.67983563856160859403e0,
        1.37702099489081330271e0,
        2.16236993594496635890e-1,
        1.34204006088543189037e-2,
        3.28014464682127739104e-4,
        2.89247864745380683936e-6,
        6.79019408009981274425e-9,
    ),
)


def normal_quantiles(levels: FloatArray) -> FloatArray:
    """The standard normal's quantile at each level, which is above 0 and below 1; any shape of one dimension."""
    is_upper = levels > 1.0 - _TAIL
    lower = np.where(is_upper, 1.0 - levels, levels)
    centred = lower - 0.5
    square = centred * centred
    quantiles = np.asarray((centred + centred * _times(square, _MIDDLE)) * _SQRT_2PI)
    tails = np.flatnonzero(lower <= _TAIL)
    x = np.sqrt(-2.0 * _log(lower[tails]))
    inverse = 1.0 / x
    correction = _times(inverse, _NEAR)
    far = np.flatnonzero(x >= 8.0)
    correction[far] = _times(inverse[far], _FAR)
    upper = x - _log(x) / x - correction
    quantiles[tails] = np.where(is_upper[tails], upper, -upper)
    return quantiles


def _times(x: FloatArray, ratio: tuple[Sequence[float], Sequence[float]]) -> FloatArray:
    """x times a ratio of two polynomials of x, rounded in this order."""
    return x * _polynomial(x, ratio[0]) / _polynomial(x, ratio[1])


def _polynomial(x: FloatArray, coefficients: Sequence[float]) -> FloatArray:
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value *= x
        value += coefficient
    return value


def _log(x: FloatArray) -> FloatArray:
    """The logarithm of the C library: numpy's own differs in the last bit on some processors."""
    return np.array(list(map(log, x.tolist())))
