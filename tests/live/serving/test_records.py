"""Records of ended requests are bounded by their items and bytes, and read in pages."""

from __future__ import annotations

from typing import Any

import pytest

from ipa.live.serving.counts import MOST_ROWS, RECORD_BYTES, EndedRequests
from ipa.live.serving.request import Batch, Item, Request, RoutedReplica, Visit, WholeRequest

MB = 2**20


def of_items(count: int, name: str = "") -> WholeRequest:
    """A request of a graph that has ended with so many items."""
    whole = WholeRequest(name, 1.0, outcome="completed", end_s=2.0)
    for number in range(count):
        item = Item(name, 1.0, whole=whole, outcome="completed", end_s=2.0, place=number)
        item.visits.append(Visit(1.0, Batch(number, 0, RoutedReplica(0, "only", 1), [item], 1.5), 2.0))
        whole.items.append(item)
    return whole


def pages(ended: EndedRequests) -> list[list[dict[str, Any]]]:
    """All that is kept, as a caller reads it that always asks for more."""
    found: list[list[dict[str, Any]]] = []
    number = 0
    while True:
        number, page = ended.after(number, 10**6)
        if not page:
            return found
        found.append(page)


@pytest.mark.long
def test_records_are_bounded_by_the_items_in_them() -> None:
    """Before, 200 requests of 999 items were 60 MB, and one answer of 68 MB."""
    ended = EndedRequests(50_000, ("only",), 8 * MB)
    for number in range(200):
        ended.add(of_items(999, str(number)))
    read = [record for page in pages(ended) for record in page]
    fit = 8 * MB // (1000 * RECORD_BYTES + 100)
    assert [record["id"] for record in read] == [str(number) for number in range(200 - fit, 200)]
    assert (ended.count, ended.lost) == (200, 200 - fit)


def test_records_are_bounded_by_their_texts() -> None:
    ended = EndedRequests(50_000, ("only",), MB)
    for number in range(2000):
        ended.add(Request(f"{number:0256}", 1.0, outcome="failed", problem="x" * 1000))
    (page,) = pages(ended)
    assert len(page) == ended.count - ended.lost
    assert 400 < len(page) < MB // (RECORD_BYTES + 1256)


def test_a_page_has_as_many_rows_as_are_written_in_a_moment_and_one_record_at_least() -> None:
    ended = EndedRequests(50_000, ("only",), 2**30)
    sizes = [999, 999, 1, 5000, 3, 0, 1500, 400]
    for size in sizes:
        ended.add(of_items(size))
    read = [[len(record["stages"]) for record in page] for page in pages(ended)]
    assert read == [[999, 999], [1], [5000], [3, 0, 1500, 400]]
    assert MOST_ROWS == 2000
    assert [size for page in read for size in page] == sizes


def test_the_number_and_the_limit_count_records() -> None:
    ended = EndedRequests(3, ("only",), 2**20)
    for number in range(5):
        ended.add(Request(str(number), 1.0, outcome="completed"))
    assert [record["id"] for record in ended.after(0, 2)[1]] == ["2", "3"]
    assert ended.after(0, 2)[0] == 4
    assert [record["id"] for record in ended.after(4, 2)[1]] == ["4"]
    assert ended.after(5, 2) == (5, [])
