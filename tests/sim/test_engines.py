"""Random hard scenarios: the SimPy engine equals the oracle in every request and replica, the compiled engine the SimPy
engine bit by bit, and every law holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from ipa.sim import Records, laws
from ipa.sim.records import ReplicaRecords
from tests.sim import engine_runs, oracle
from tests.sim.blocks import blocks
from tests.sim.random_scenarios import DEADLINE, scenario, ways, with_limit

MODES = [("central", "request"), ("central", "batch"), ("eager", "request"), ("eager", "batch"), *DEADLINE]
BLOCK = 25
KINDS = {"plain": 40, "limited": 10}
"""How many blocks of scenarios: plain, and with a limit of cores."""


def kinds_and_blocks(kinds: dict[str, int]) -> list[Any]:
    """A twentieth of each kind always, the others in `make test-all`."""
    return [
        pytest.param(kind, *(each.values if hasattr(each, "values") else [each]), marks=getattr(each, "marks", ()))
        for kind, count in kinds.items()
        for each in blocks(count)
    ]


def drawn_for(kind: str, dispatch: str, drop: str, seed: int) -> dict[str, Any]:
    """A scenario with the engines' draws in it."""
    drawn = scenario(seed, dispatch=dispatch, drop=drop, **ways(seed))
    return engine_runs.with_engine_draws(with_limit(drawn, seed) if kind == "limited" else drawn, seed)


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """The fields in which two records, or parts of such, are not the same to the bit."""
    if isinstance(one, Records | ReplicaRecords):
        for field in fields(one):
            yield from differences(getattr(one, field.name), getattr(other, field.name), f"{where} {field.name}")
    elif isinstance(one, tuple):
        if len(one) != len(other):
            yield where
        for number, parts in enumerate(zip(one, other, strict=False)):
            yield from differences(*parts, where=f"{where} {number}")
    elif isinstance(one, np.ndarray):
        is_float = one.dtype.kind == "f"
        if one.dtype != other.dtype or not np.array_equal(one, other, equal_nan=is_float):
            yield where
    elif one != other:
        yield where


@pytest.mark.parametrize(("kind", "block"), kinds_and_blocks(KINDS))
@pytest.mark.parametrize(("dispatch", "drop"), MODES)
def test_both_engines_equal_the_oracle(dispatch: str, drop: str, kind: str, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = drawn_for(kind, dispatch, drop, seed)
        records, expected = engine_runs.run(drawn, seed), oracle.simulate(drawn)
        assert engine_runs.difference(records, expected) is None, f"seed {seed}"
        assert records.run_end_s == expected["end_s"]
        assert records.integral_s.tolist() == pytest.approx(expected["queue_integral"], rel=1e-9, abs=1e-9)
        oldest_s = laws.oldest_s(engine_runs.parts(drawn, seed)[0])
        assert list(laws.violations(records, eager=dispatch == "eager", oldest_s=oldest_s)) == [], f"seed {seed}"
        if find_spec("numba"):
            compiled = engine_runs.run(drawn, seed, "compiled")
            assert list(differences(records, compiled)) == [], f"seed {seed}"


def test_a_difference_of_one_bit_is_seen() -> None:
    records = engine_runs.run(scenario(1), 1)
    records.finish_s[0, 0] = np.nextafter(records.finish_s[0, 0], np.inf)
    assert list(differences(records, engine_runs.run(scenario(1), 1))) == [" finish_s"]
