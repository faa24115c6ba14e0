"""Keyed random streams: one per (seed, purpose, stage), so that a change in one place shifts no draws elsewhere.

The k-th batch started at a stage takes the k-th draw of that stage's service stream, whatever the policy or engine:
compared runs get the same draws.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import chain
from math import log, sqrt

import numpy as np

from ipa.sim.normal import FloatArray, normal_quantiles

PURPOSES = {
    "arrivals": 0,
    "service": 1,
    "scaling": 3,
    "workload": 4,
    "sample": 5,
    "windows": 6,
    "items": 8,
    "tokens": 9,
}
"""Purpose -> its number, which is part of the key: a new purpose takes the next one, and none is given twice."""

BLOCK = 4096
"""How many draws are made at once."""

SMALLEST_UNIFORM = 2.0**-54  # the normal quantile of an exact zero would be minus infinity
_NORMAL_P99 = 2.3263478740408408  # the standard normal's 99 % quantile


def stream(seed: int, purpose: str, stage: int = 0) -> np.random.Generator:
    """The generator for a purpose (one of `PURPOSES`) at a stage, for a run with this seed."""
    key = (PURPOSES[purpose], stage)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def normal_blocks(
    generator: np.random.Generator, quantiles: Callable[[FloatArray], FloatArray] = normal_quantiles
) -> Iterator[FloatArray]:
    """Endless blocks of standard normal draws, shape (BLOCK,); each draw is the normal quantile of one uniform draw.

    `quantiles` is `normal_quantiles`, or scipy's `ndtri` where scipy is loaded anyway: the same bits in a fifth of the
    time.
    """
    while True:
        yield quantiles(np.maximum(generator.random(BLOCK), SMALLEST_UNIFORM))


def standard_normals(generator: np.random.Generator) -> Iterator[float]:
    """The same draws one by one."""
    return chain.from_iterable(block.tolist() for block in normal_blocks(generator))


def lognormal_sigma(p99_over_mean: float) -> float:
    """The sigma of the lognormal whose 99 % quantile is `p99_over_mean` times its mean.

    It is the smaller root of quantile / mean = exp(z sigma - sigma^2 / 2), where z is the standard normal's 99 %
    quantile. Raises ValueError outside [1, exp(z^2 / 2)] = [1, 14.97], where no lognormal fits.
    """
    discriminant = _NORMAL_P99**2 - 2.0 * log(p99_over_mean) if p99_over_mean >= 1.0 else -1.0
    if discriminant < 0.0:
        raise ValueError(f"no lognormal has p99 / mean = {p99_over_mean}; allowed: 1 to 14.97")
    return _NORMAL_P99 - sqrt(discriminant)


class _Indexed(ABC):
    """Draws by number, in any order, without computing those in between."""

    def __init__(self, generator: np.random.Generator) -> None:
        """`generator`: new from `stream`, and not used elsewhere."""
        bits = generator.bit_generator
        assert isinstance(bits, np.random.PCG64)
        self._bits = bits
        self._start = bits.state
        self._blocks: dict[int, list[float]] = {}

    def __getitem__(self, number: int) -> float:
        block, place = divmod(number, BLOCK)
        if block not in self._blocks:
            if len(self._blocks) >= 4:
                self._blocks.pop(next(iter(self._blocks)))
            self._bits.state = self._start
            self._bits.advance(block * BLOCK)  # a uniform draw takes one step of the generator
            self._blocks[block] = self._made(np.random.Generator(self._bits))
        return self._blocks[block][place]

    @abstractmethod
    def _made(self, generator: np.random.Generator) -> list[float]:
        """The next block of draws, each from one uniform draw."""


class IndexedNormals(_Indexed):
    """The draws of `standard_normals` by number."""

    def _made(self, generator: np.random.Generator) -> list[float]:
        drawn: list[float] = next(normal_blocks(generator)).tolist()
        return drawn


class IndexedUniforms(_Indexed):
    """The draws of the generator's `random` by number."""

    def _made(self, generator: np.random.Generator) -> list[float]:
        drawn: list[float] = generator.random(BLOCK).tolist()
        return drawn
