"""The kinds of replica of a run as arrays for the kernel: they depend on the stages alone, so runs share them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from math import exp
from typing import NamedTuple

import numpy as np

from ipa.sim.compiled.memory import OPTION, SERVICE, RecordArray
from ipa.sim.model import FloatArray, ServiceTime, StageModel

_LEAST_NORMAL = -8.3
"""A bound below the normal quantile of the smallest uniform draw, 2^-54."""

MOST_KEPT = 64
"""The layouts that a process keeps, some 100 KB each."""


class Option(NamedTuple):
    """A kind of replica. The kernel knows it by its number among the options of all stages."""

    stage: int
    variant: str
    cores: int


class Layout(NamedTuple):
    """The options of all stages, one stage after the other, and their figures; the kernel only reads the arrays.

    For each stage, `numbers` holds those of its options by (variant, cores), `variant_numbers` those of its variants
    among the variants of all stages, and `first_variants` the first of these. `shortest_s`: what no batch can take less
    than, in doubles.
    """

    options: tuple[Option, ...]
    numbers: tuple[Mapping[tuple[str, int], int], ...]
    variant_numbers: tuple[Mapping[str, int], ...]
    first_variants: tuple[int, ...]
    variants: int
    rows: RecordArray  # OPTION (options,)
    service: RecordArray  # SERVICE (options, largest batch + 1)
    beside: FloatArray  # (options, most busy cores + 1)
    shortest_s: float


def layout_of(models: Sequence[StageModel]) -> Layout:
    """The layout of these stages."""
    return _layout(tuple(models))


@lru_cache(maxsize=MOST_KEPT)
def _layout(models: tuple[StageModel, ...]) -> Layout:
    options = tuple(Option(stage, *key) for stage, model in enumerate(models) for key in model.service)
    services = [service for model in models for service in model.service.values()]
    first_variants = (0, *accumulate(len(model.start_up_s) for model in models))
    variant_numbers = tuple(
        {name: number for number, name in enumerate(model.start_up_s, first)}
        for model, first in zip(models, first_variants, strict=False)
    )
    rows = np.zeros(len(options), OPTION)
    table = np.zeros((len(options), max(service.max_batch for service in services) + 1), SERVICE)
    beside = np.ones((len(options), max(len(service.beside) for service in services)))
    for number, (option, service) in enumerate(zip(options, services, strict=True)):
        start_up_s = models[option.stage].start_up_s[option.variant]
        place = variant_numbers[option.stage][option.variant]
        most_busy = len(service.beside) - 1
        rows[number] = (start_up_s, place, service.max_batch, service.sigma is not None, option.cores, most_busy)
        beside[number, : most_busy + 1] = service.beside
        figures = table[number, : service.max_batch + 1]
        figures["latency_s"] = service.latency_s
        if service.sigma is not None:
            figures["sigma"] = service.sigma
    return Layout(
        options=options,
        numbers=tuple(
            {(each.variant, each.cores): number for number, each in enumerate(options) if each.stage == stage}
            for stage in range(len(models))
        ),
        variant_numbers=variant_numbers,
        first_variants=first_variants[:-1],
        variants=first_variants[-1],
        rows=rows,
        service=table,
        beside=beside,
        shortest_s=min(map(_shortest_s, services)),
    )


def _shortest_s(service: ServiceTime) -> float:
    """No batch takes less: no draw is below `_LEAST_NORMAL`."""
    sigmas = service.sigma or (0.0,) * len(service.latency_s)
    return min(
        latency_s * exp(sigma * _LEAST_NORMAL - 0.5 * sigma * sigma)
        for latency_s, sigma in zip(service.latency_s[1:], sigmas[1:], strict=True)
    )
