"""Where items go at the edges of floating point: both engines and the oracle agree to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from math import nextafter
from typing import Any

import numpy as np
import pytest

from ipa.sim.graph import draws
from tests.sim import graph_oracle, graph_runs
from tests.sim.test_engines import differences
from tests.sim.test_graphs import _world
from tests.sim.text_draws import with_draws

pytest.importorskip("numba")

SEED = 7
SMALLEST = 5e-324
COUNT = 40


def made_of(edges: Sequence[dict[str, Any]], arrivals: Sequence[float] = ()) -> dict[str, Any]:
    """Stage 0 before stages 1 and 2 with these keys on its edges, each with room for all at once."""
    made = _world([0.25, 0.25, 0.25][: len(edges) + 1], list(arrivals) or [float(n) / 4 for n in range(COUNT)])
    made["initial"] = [stage | {"replicas": 60} for stage in made["initial"]]
    made["edges"] = [graph_runs.plain_edge(made, 0, n + 1) | edge for n, edge in enumerate(edges)]
    return with_draws(made, SEED, graph_runs.MOST_DRAWS)


def drawn(made: dict[str, Any], request: int, edge: int = 0) -> float:
    """What decides whether a request's item at stage 0 takes an edge."""
    key = draws.key_of(draws.key_of(draws.base_key(SEED), request), 0)
    return draws.uniform(draws.key_of(key, len(made["edges"]) + edge))


def came(made: dict[str, Any]) -> list[list[int]]:
    """The requests of the items at each stage after the first, the same by all three."""
    expected = graph_oracle.simulate(made)
    simpy, compiled = graph_runs.run(made, SEED, "simpy"), graph_runs.run(made, SEED, "compiled")
    assert graph_runs.difference(simpy, expected) is None
    assert list(differences(simpy, compiled)) == []
    return [part.request.tolist() for part in compiled.items[1:]]


@pytest.mark.parametrize(("towards", "takes"), [(0.0, False), (None, False), (1.0, True)])
def test_a_draw_equal_to_the_share_does_not_take_the_edge(towards: float | None, takes: bool) -> None:
    at = drawn(made_of([{"share": 0.5}]), request=3)
    share = at if towards is None else nextafter(at, towards)
    (found,) = came(made_of([{"share": share}]))
    assert (3 in found) is takes
    assert 0 < len(found) < COUNT


@pytest.mark.parametrize(("share", "all_take_it"), [(SMALLEST, False), (2.0**-53, False), (nextafter(1.0, 0.0), True)])
def test_shares_next_to_none_and_to_all(share: float, all_take_it: bool) -> None:
    assert came(made_of([{"share": share}])) == [list(range(COUNT)) if all_take_it else []]


@pytest.mark.parametrize("off", [-9e-10, 0.0, 9e-10])
def test_each_item_takes_one_way_of_a_switch_whose_shares_sum_to_nearly_one(off: float) -> None:
    one, other = came(made_of([{"share": 0.7 + off, "switch": "kind"}, {"share": 0.3, "switch": "kind"}]))
    assert sorted([*one, *other]) == list(range(COUNT))
    assert one
    assert other


@pytest.mark.parametrize("towards", [0.0, None, 1.0])
def test_a_draw_at_the_border_of_two_ways_of_a_switch_takes_one(towards: float | None) -> None:
    at = drawn(made_of([{"share": 0.5}, {"share": 0.5}]), request=5)
    border = at if towards is None else nextafter(at, towards)
    one, other = came(made_of([{"share": border, "switch": "kind"}, {"share": 1.0 - border, "switch": "kind"}]))
    assert sorted([*one, *other]) == list(range(COUNT))
    assert (5 in one) is (towards == 1.0)


@pytest.mark.parametrize("items", [SMALLEST, nextafter(1.0, 0.0), nextafter(1.0, 2.0), nextafter(3.0, 0.0), 2.5])
@pytest.mark.parametrize("spread", [0.0, SMALLEST, nextafter(1.0, 0.0), 1.0, 1.001])
def test_means_and_spreads_next_to_whole_numbers(items: float, spread: float) -> None:
    (found,) = came(made_of([{"items": {"a": items}, "spread": spread}]))
    if spread == 0.0:
        assert set(np.bincount(found, minlength=COUNT).tolist()) <= {int(items), int(items) + 1}


def test_very_many_items_of_one_request_among_requests_without_any() -> None:
    """More than there was room made for, in one go."""
    made = made_of([{"counts": {"a": (0,) * (COUNT - 1) + (1_000,)}}], np.linspace(0.0, 5.0, COUNT).tolist())
    (found,) = came(made)
    assert len(found) in (0, 1_000, 2_000, 3_000)
    assert len(found) == 1_000 * len(set(found))


@pytest.mark.parametrize("persist_s", [SMALLEST, 1e-9, 86_400.0, 1e300])
def test_numbers_persist_over_no_time_and_for_ever(persist_s: float) -> None:
    """Requests that come together, an instant apart and seconds apart."""
    arrivals = [0.0, 0.0, SMALLEST, 1.0, nextafter(1.0, 2.0), 5.0]
    normals, apart_s = np.linspace(-3.0, 3.0, len(arrivals)), np.diff(arrivals)
    from ipa.sim.compiled import graph_memory

    expected = draws.persistent(normals, apart_s, persist_s)
    assert graph_memory.persist(normals.copy(), apart_s, persist_s).tolist() == expected.tolist()
    assert expected[1] == expected[0]  # no time has passed
    assert np.isfinite(expected).all()
    if persist_s < 1.0:
        assert expected[5] == normals[5]  # independent again
    elif persist_s == 1e300:
        assert len(set(expected.tolist())) == 1
    came(made_of([{"items": {"a": 1.5}, "spread": 1.0, "persist_s": persist_s}], arrivals))
