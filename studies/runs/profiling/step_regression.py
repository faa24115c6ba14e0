"""The figures of a step by linear regression, from when requests had their tokens: without a simulation.

Between its first token and its last one, a request takes part in one step for each further token. Such a step takes
base_s, per_token_s for each token computed and per_cached_token_s for each cached one that is read, on average over
that time; both numbers follow from the tokens that all requests had by then. The time to first token of a request that
nobody else was served with is so many steps too, of its prompt. Where requests are preempted, this is approximate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from ipa.profiles import LanguageModel
from ipa.sim import FloatArray
from ipa.studies.runs.profiling.measured_requests import MeasuredRequests

REWEIGHTINGS = 10
"""Of the rows, so that least squares become least absolute errors: jitter and preemption make some rows far off."""

LEAST_SHARE = 1e-3
"""Of a mean step's time, that each figure has: the fit goes on in their logarithms."""


LEAST_ROW = 1e-9


def rows(model: LanguageModel, requests: MeasuredRequests, count: int) -> FloatArray:
    """Steps, tokens computed and cached tokens read per second of measured time; of the first so many requests, shape
    (rows, 3). A row times the figures of a step is 1 if these are right.
    """
    first_s, last_s, prompts = requests.first_s, requests.last_s, requests.input_tokens.astype(float)
    further, took_s = requests.output_tokens - 1, last_s - first_s
    instants_s = np.unique(np.concatenate([first_s, last_s]))
    first, last = np.searchsorted(instants_s, first_s), np.searchsorted(instants_s, last_s)
    widths_s = np.diff(instants_s, append=instants_s[-1])

    def present(came: FloatArray, went: FloatArray) -> FloatArray:
        """The sum at each instant, of what comes with first tokens and goes with last ones."""
        changes = np.zeros(len(instants_s))
        np.add.at(changes, first, came)
        np.subtract.at(changes, last, went)
        return np.cumsum(changes)

    def until(areas: FloatArray) -> FloatArray:
        return np.concatenate([[0.0], np.cumsum(areas)[:-1]])

    one, none = np.ones(len(prompts)), np.zeros(len(prompts))
    speeds = further / np.maximum(took_s, 1e-9)
    running_s = until(present(one, one) * widths_s)
    generating = present(speeds, speeds)
    cached = present(prompts, prompts + further) + until(generating * widths_s)
    cached_s = until(cached * widths_s + generating * widths_s**2 / 2)
    begun, prompted = present(one, none), present(prompts, none)

    own = np.flatnonzero((further > 0) & (took_s > 0))
    own = own[own < count]
    steps = further[own]
    mean_running, mean_cached = ((sums[last] - sums[first])[own] / took_s[own] for sums in (running_s, cached_s))
    computed = steps * mean_running + (prompted[last] - prompted[first])[own]
    decoding = np.column_stack([steps, computed, steps * mean_cached]) / took_s[own, np.newaxis]

    waited_s = first_s - requests.queued_s
    others_s = running_s[first] - np.interp(requests.queued_s, instants_s, running_s)
    begun_before = np.concatenate([[0.0], begun])[np.searchsorted(instants_s, requests.queued_s, side="right")]
    alone = np.flatnonzero((others_s < 1e-9) & (begun[first] - begun_before == 1) & (waited_s > 0))
    alone = alone[alone < count]
    chunks = np.ceil(prompts[alone] / model.tokens_per_step)
    read = model.tokens_per_step * chunks * (chunks - 1) / 2
    prompting = np.column_stack([chunks, prompts[alone], read]) / waited_s[alone, np.newaxis]
    return np.concatenate([decoding, prompting])


def figures(rows: Sequence[FloatArray], given: Mapping[int, float] = MappingProxyType({})) -> FloatArray:
    """The three figures of a step with which the rows of several loads are least off, all above 0.

    `given`: values of some of them, by position.
    """
    from scipy.optimize import nnls

    measured = np.concatenate(rows)
    sizes = 1 / np.maximum(measured.mean(axis=0), LEAST_ROW)  # they differ by orders of magnitude
    shares, weights = np.zeros(3), np.ones(len(measured))
    for figure, value in given.items():
        shares[figure] = value / sizes[figure]
    scaled, free = measured * sizes, [figure for figure in range(3) if figure not in given]
    rest = 1 - scaled @ shares
    for _ in range(REWEIGHTINGS):
        shares[free], _ = nnls(scaled[:, free] * weights[:, np.newaxis], rest * weights)
        weights = 1 / np.sqrt(np.maximum(np.abs(scaled @ shares - 1), LEAST_SHARE))
    shares[free] = np.maximum(shares[free], LEAST_SHARE)
    return np.asarray(shares * sizes)
