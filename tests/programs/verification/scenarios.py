"""Both engines beside the literal simulators of the rules, on random scenarios that no test has seen.

The literal simulators, of chains (`oracle.py`), of graphs (`graph_oracle.py`) and of language models in either
(`token_oracle.py`), are written from the text of docs/model.md and share no code with the engines; the draws, too, are
made from the text (`text_draws.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipa.sim.tables import served_accuracy
from tests.sim import engine_runs, graph_oracle, graph_runs, oracle, token_oracle, token_runs
from tests.sim.random_scenarios import scenario, ways, with_limit

FIRST = 1_000_000
"""The first seed; the tests' are below 100,000."""

MODES = [(dispatch, drop) for drop in ("request", "batch", "deadline") for dispatch in ("central", "eager")]


@dataclass(frozen=True)
class Kind:
    """A kind of random scenarios; `differs(seed, engine)`: whether an engine differs from the literal simulator."""

    name: str
    count: int
    differs: Callable[[int, str], bool]

    def differing(self, engine: str, first: int) -> list[int]:
        """The seeds of the scenarios in which an engine differs from the literal simulator."""
        return [seed for seed in range(first, first + self.count) if self.differs(seed, engine)]


def chain_differs(dispatch: str, drop: str) -> Callable[[int, str], bool]:
    """In any number of any request or replica of a chain; one scenario in four has a limit of cores."""

    def differs(seed: int, engine: str) -> bool:
        drawn = scenario(seed, dispatch=dispatch, drop=drop, **ways(seed))
        if seed % 4 == 3:
            drawn = with_limit(drawn, seed)
        drawn = engine_runs.with_engine_draws(drawn, seed)
        records, expected = engine_runs.run(drawn, seed, engine), oracle.simulate(drawn)
        return engine_runs.difference(records, expected) is not None or records.run_end_s != expected["end_s"]

    return differs


def graph_differs(dispatch: str, drop: str) -> Callable[[int, str], bool]:
    """In any number of any request, item or replica of a graph, or in a request's accuracy by more than rounding.

    One graph in three has a limit of cores.
    """

    def differs(seed: int, engine: str) -> bool:
        kind = ("plain", "plain", "limited")[seed % 3]
        drawn = graph_runs.scenario(seed, dispatch=dispatch, drop=drop, kind=kind)
        drawn = graph_runs.with_accuracies(drawn, seed)
        records, expected = graph_runs.run(drawn, seed, engine), graph_oracle.simulate(drawn)
        if graph_runs.difference(records, expected) is not None or records.run_end_s != expected["end_s"]:
            return True
        accuracies = served_accuracy(graph_runs.pipeline_of(drawn), records)
        return not np.allclose(accuracies, graph_oracle.accuracies(drawn, expected), rtol=1e-12, atol=0.0)

    return differs


def language_differs(
    draw: Callable[[str, str, str, int], dict[str, Any]], dispatch: str, drop: str
) -> Callable[[int, str], bool]:
    """In any number of any request, item, token or replica of a chain or graph with language models.

    One scenario in three has a limit of cores.
    """

    def differs(seed: int, engine: str) -> bool:
        drawn = draw(("plain", "plain", "limited")[seed % 3], dispatch, drop, seed)
        records, expected = token_runs.run(drawn, seed, engine), token_oracle.simulate(drawn)
        return token_runs.difference(records, expected) is not None or records.run_end_s != expected["end_s"]

    return differs


LANGUAGE = {"chains": token_runs.drawn_for, "graphs": token_runs.graph_for}


def kinds() -> Iterator[Kind]:
    """All kinds of scenarios."""
    for shape, draw in LANGUAGE.items():
        for dispatch, drop in MODES:
            name = f"{shape} with language models: {dispatch} dispatch, drops by {drop}"
            yield Kind(name, 30, language_differs(draw, dispatch, drop))
    for dispatch, drop in MODES:
        yield Kind(f"graphs: {dispatch} dispatch, drops by {drop}", 40, graph_differs(dispatch, drop))
    for dispatch, drop in MODES:
        yield Kind(f"chains: {dispatch} dispatch, drops by {drop}", 50, chain_differs(dispatch, drop))
