"""How many tokens the requests of a stage have: drawn once, keyed by seed, stage and request, never by policy.

A stage has *rounds* of rows, one row a request in each: row r of round j is that of the j-th item, from 0, of request r
that comes to the stage. In a chain, all rows are of round 0.
"""

from __future__ import annotations

import numpy as np

from ipa.errors import InputError
from ipa.profiles import StageTokens, TokenLaw
from ipa.sim import streams
from ipa.sim.model import FloatArray, IntArray, RunInput
from ipa.sim.normal import normal_quantiles


class TokenRows:
    """The rows of all stages of language models of a run; further rounds are drawn when they are needed.

    Raises InputError, when they are first drawn, for columns that the load does not have.
    """

    def __init__(self, run_input: RunInput) -> None:
        self._run = run_input
        self._position = {name: position for position, name in enumerate(run_input.names)}
        self._rows: dict[int, tuple[IntArray, IntArray]] = {}

    def of(self, position: int, rounds: int = 1) -> tuple[IntArray, IntArray]:
        """Input and output tokens of a stage's rows, at least `rounds` rounds of them; shape (rounds x requests,)."""
        requests = len(self._run.arrivals_s)
        if position not in self._rows or len(self._rows[position][0]) < rounds * requests:
            self._rows[position] = self._drawn(position, rounds)
        return self._rows[position]

    def of_items(self, position: int, request: IntArray) -> tuple[IntArray, IntArray]:
        """Those of a stage's items in the order in which they came; `request`: of each, shape (items,)."""
        order = np.argsort(request, kind="stable")
        first = np.flatnonzero(np.diff(request[order], prepend=-1))
        number = np.empty(len(request), dtype=np.int64)
        number[order] = np.arange(len(request)) - np.repeat(first, np.diff(first, append=len(request)))
        rows = number * len(self._run.arrivals_s) + request
        prompts, outputs = self.of(position, 1 + int(number.max(initial=0)))
        return prompts[rows], outputs[rows]

    def _drawn(self, position: int, rounds: int) -> tuple[IntArray, IntArray]:
        tokens = self._run.models[position].tokens
        assert tokens is not None
        if tokens.columns is not None:
            for name in tokens.columns:
                if name not in self._run.columns:
                    stage = self._run.names[position]
                    raise InputError(f"{stage}: tokens: the load has no column {name!r}; a trace with it is needed")
            prompts, outputs = (np.tile(self._run.columns[name], rounds) for name in tokens.columns)
            return prompts, outputs
        requests = len(self._run.arrivals_s)
        uniforms = streams.stream(self._run.seed, "tokens", position).random((rounds * requests, 2))
        prompts, outputs = tokens_at(tokens, uniforms)
        if tokens.input.after:
            before = self.of(self._position[tokens.input.after], rounds)[1][: rounds * requests]
            prompts = before + tokens.input.plus
        return prompts, outputs


def tokens_at(tokens: StageTokens, uniforms: FloatArray) -> tuple[IntArray, IntArray]:
    """Input and output tokens of requests by the stage's pairs or laws, at these levels; shape (requests, 2)."""
    if tokens.pairs:
        pairs = np.array(tokens.pairs, dtype=np.int64)[(uniforms[:, 0] * len(tokens.pairs)).astype(np.int64)]
        return pairs[:, 0], pairs[:, 1]
    return _lognormal(tokens.input, uniforms[:, 0]), _lognormal(tokens.output, uniforms[:, 1])


def _lognormal(law: TokenLaw, uniforms: FloatArray) -> IntArray:
    """The law's quantiles at these levels, to the nearest whole number and at least 1."""
    sigma = streams.lognormal_sigma(law.p99 / law.mean)
    normals = normal_quantiles(np.maximum(uniforms, streams.SMALLEST_UNIFORM))
    return np.maximum(1.0, np.rint(law.mean * np.exp(sigma * normals - 0.5 * sigma * sigma))).astype(np.int64)
