"""Whose rows are whose: each request of a batch gets what it would get alone, or the batch is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipa.live.serving.rows import RowsError, shared
from ipa.live.serving.tensors import Tensor, of_array, to_array

NOTHING: Mapping[str, int | str] = {}
COUNTED = {"boxes": "counts"}


def outputs(**arrays: Any) -> list[Tensor]:
    return [of_array(name, np.asarray(array)) for name, array in arrays.items()]


def parts(
    made: list[Tensor], requests: int, rows: int = 1, declared: Mapping[str, int | str] = NOTHING
) -> list[dict[str, Any]]:
    """What each request gets, as lists."""
    return [
        {tensor.name: to_array(tensor).tolist() for tensor in part} for part in shared(made, requests, {rows}, declared)
    ]


def test_an_output_with_the_rows_of_the_input_is_cut_in_equal_parts() -> None:
    assert parts(outputs(y=[1, 2, 3, 4]), 2, rows=2) == [{"y": [1, 2]}, {"y": [3, 4]}]


def test_an_output_has_the_rows_of_any_one_input() -> None:
    """Each request has an image of two rows and one word."""
    made = outputs(image=[1, 2, 3, 4], word=[5, 6])
    assert [[to_array(each).tolist() for each in part] for part in shared(made, 2, {1, 2}, {})] == [
        [[1, 2], [5]], [[3, 4], [6]],
    ]  # fmt: skip


def test_an_output_has_the_multiple_that_is_declared() -> None:
    assert parts(outputs(y=[1, 2, 3, 4]), 2, declared={"y": 2}) == [{"y": [1, 2]}, {"y": [3, 4]}]
    with pytest.raises(RowsError, match="output 'y' has 4 rows; a batch of 2 requests of 1 row each should give 6"):
        parts(outputs(y=[1, 2, 3, 4]), 2, declared={"y": 3})


def test_rows_that_are_counted_go_to_those_whose_they_are() -> None:
    """3 + 1 boxes: equal parts would give the second request a box of the first."""
    made = outputs(boxes=[10, 11, 12, 20], counts=[3, 1])
    assert parts(made, 2, declared=COUNTED) == [
        {"boxes": [10, 11, 12], "counts": [3]}, {"boxes": [20], "counts": [1]},
    ]  # fmt: skip
    with pytest.raises(RowsError, match="output 'boxes' has 4 rows; a batch of 2 requests of 1 row each should give 2"):
        parts(made, 2)


def test_a_request_of_several_rows_gets_what_is_counted_for_all_of_them() -> None:
    made = outputs(boxes=[1, 2, 3, 4], counts=[[0], [1], [3], [0]])
    assert [part["boxes"] for part in parts(made, 2, rows=2, declared=COUNTED)] == [[1], [2, 3, 4]]


def test_a_request_alone_obeys_the_same_rule() -> None:
    with pytest.raises(RowsError, match="output 'boxes' has 3 rows; a request of 1 row should give 1 "):
        parts(outputs(boxes=[1, 2, 3]), 1)
    assert parts(outputs(boxes=[1, 2, 3], counts=[3]), 1, declared=COUNTED) == [{"boxes": [1, 2, 3], "counts": [3]}]


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ([3, 2], r"output 'boxes' has 4 rows; by 'counts' it should have 3 \+ 2"),
        ([5, -1], r"output 'boxes' has 4 rows; by 'counts' it should have 5 \+ -1"),
        ([4], "output 'counts' has 1 row; a batch of 2 requests of 1 row each should give 2"),
        ([3.0, 1.0], r"output 'counts' is FP64 of shape \[2\]; it should have one integer for each row of the input"),
        ([[3, 0], [1, 0]], r"output 'counts' is INT64 of shape \[2, 2\]; it should have one integer for each row"),
        (np.array([2**64 - 1, 5], dtype=np.uint64), r"it should have 18446744073709551615 \+ 5"),
    ],
)
def test_counts_that_cannot_be_right_are_refused(counts: Any, why: str) -> None:
    with pytest.raises(RowsError, match=why):
        parts(outputs(boxes=[1, 2, 3, 4], counts=counts), 2, declared=COUNTED)


def test_a_missing_count_is_refused_and_an_output_that_is_not_there_is_not() -> None:
    with pytest.raises(RowsError, match="no output 'counts', which should count the rows of 'boxes'; outputs: boxes"):
        parts(outputs(boxes=[1, 2]), 2, declared=COUNTED)
    assert parts(outputs(other=[1, 2]), 2, declared=COUNTED) == [{"other": [1]}, {"other": [2]}]


def test_requests_without_rows_get_outputs_without_rows() -> None:
    made = outputs(y=np.zeros((0, 2)), t=np.empty(0, dtype=object))
    assert parts(made, 2, rows=0) == [{"y": [], "t": []}] * 2


@given(st.integers(1, 5), st.integers(1, 3), st.data())
def test_each_request_gets_what_the_model_gives_it_alone(requests: int, rows: int, data: st.DataObject) -> None:
    """The model repeats each number n so many times as its last digit says, tells how often, and negates it."""
    given_numbers = data.draw(st.lists(st.integers(0, 999), min_size=requests * rows, max_size=requests * rows))

    def model(numbers: list[int]) -> list[Tensor]:
        array = np.array(numbers, dtype=np.int64)
        counts = array % 10
        texts = np.array([str(n) for n in array.repeat(counts)], dtype=object)
        return outputs(ragged=array.repeat(counts), texts=texts, counts=counts, plain=-array, twice=array.repeat(2))

    declared: Mapping[str, int | str] = {"ragged": "counts", "texts": "counts", "twice": 2}
    together = shared(model(given_numbers), requests, {rows}, declared)
    alone = [model(given_numbers[start : start + rows]) for start in range(0, requests * rows, rows)]
    assert together == alone
