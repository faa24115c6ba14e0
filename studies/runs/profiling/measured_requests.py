"""Measured requests to a language model: what the step of one is fitted to, and how a table of them is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ipa import profiles
from ipa.profiles import StageTokens
from ipa.sim import FloatArray, IntArray

TIMES = ("ttft_s", "tpot_s", "latency_s")
"""Time to first token, time per further token, end to end."""


@dataclass(frozen=True, eq=False)
class MeasuredRequests:
    """Requests that one replica has served, sorted by arrival: when each came, had its first token and its last one, on
    one clock [s], and its tokens. Shape (requests,) each.
    """

    name: str
    queued_s: FloatArray
    first_s: FloatArray
    last_s: FloatArray
    input_tokens: IntArray
    output_tokens: IntArray

    @property
    def times_s(self) -> FloatArray:
        """`TIMES` of each request, shape (3, requests)."""
        further = np.maximum(1, self.output_tokens - 1)
        generated_s = self.last_s - self.first_s
        return np.array([self.first_s - self.queued_s, generated_s / further, self.last_s - self.queued_s])

    def at_once(self, moments_s: FloatArray) -> IntArray:
        """How many requests are between their first and last token at each moment [s]; shape of `moments_s`."""
        begun = np.searchsorted(np.sort(self.first_s), moments_s, side="right")
        return begun - np.searchsorted(np.sort(self.last_s), moments_s, side="right")

    @property
    def most_at_once(self) -> int:
        """The most requests that are ever between their first and last token; at least 1."""
        return max(1, int(self.at_once(self.first_s).max()))

    @property
    def laws(self) -> StageTokens:
        """Laws with the mean and p99 of its tokens."""
        exact = StageTokens.of_pairs(list(zip(self.input_tokens.tolist(), self.output_tokens.tolist(), strict=True)))
        return StageTokens(exact.input, exact.output)


def sequences_shown(tables: Sequence[MeasuredRequests]) -> tuple[int, bool]:
    """The most requests at once in any of these tables, and whether an engine was seen to be full with as many: a
    request came meanwhile. Otherwise the engine may be able to serve more."""
    most = max(requests.most_at_once for requests in tables)
    return most, any((requests.at_once(requests.queued_s) >= most).any() for requests in tables)


# ---- reading ----

COLUMNS = ("queued_s", "first_token_s", "last_token_s", "input_tokens", "output_tokens")
"""Of a table of measured requests; others are not read."""


def read(path: Path) -> MeasuredRequests:
    """A CSV table of measured requests. Raises ProfileError, with file, line and column, for what is none."""
    table = profiles.read_numbers(path, COLUMNS)
    for line, row in table.items():
        problem = _problem(dict(zip(COLUMNS, row, strict=True)))
        if problem:
            raise profiles.ProfileError(f"{path}:{line}: {problem}")
    columns = np.array(list(table.values()))
    columns = columns[np.argsort(columns[:, 0], kind="stable")]
    queued_s, first_s, last_s = columns[:, :3].T - columns[0, 0]
    tokens = columns[:, 3:].astype(np.int64).T
    return MeasuredRequests(path.name, queued_s, first_s, last_s, tokens[0], tokens[1])


def _problem(row: Mapping[str, float]) -> str:
    for name in COLUMNS[3:]:
        if not (row[name] >= 1 and row[name].is_integer()):
            return f"{name}: should be a whole number from 1; given {row[name]:g}"
    for before, after in (COLUMNS[:2], COLUMNS[1:3]):
        if row[after] < row[before]:
            return f"{after}: should be at least {before}, {row[before]:g}; given {row[after]:g}"
    return ""
