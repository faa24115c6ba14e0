"""Who has most is known at once, however many peers there are."""

from __future__ import annotations

import random
from collections import Counter

from ipa.live.serving.peers import Holdings


def test_the_peer_that_has_most_comes_first_and_one_that_has_nothing_is_forgotten() -> None:
    draws, holdings, expected = random.Random(4), Holdings(), Counter[str]()
    for _ in range(2000):
        peer, more = f"10.0.0.{draws.randrange(9)}", draws.choice([1, 1, 2, -1, -2])
        more = max(more, -expected[peer])
        holdings.add(peer, more)
        expected[peer] += more
        found = list(holdings.largest_first())
        assert [holdings[each] for each in found] == sorted((+expected).values(), reverse=True)
        assert set(found) == set(+expected)


def test_one_more_connection_is_not_compared_with_those_of_all_peers() -> None:
    compared = 0

    class Name(str):
        __slots__ = ()

        def __lt__(self, other: str) -> bool:
            nonlocal compared
            compared += 1
            return str.__lt__(self, other)

    holdings = Holdings()
    for number in range(4096):
        holdings.add(Name(f"10.0.{number // 256}.{number % 256}"), 1)
    compared = 0
    holdings.add(Name("10.0.7.7"), 1)
    assert next(holdings.largest_first()) == "10.0.7.7"
    assert 0 < compared < 40
