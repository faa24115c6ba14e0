"""The outputs of a batch, shared out among its requests, or refused.

An output has the rows of the input, or those that the pipeline file declares for it (`output_rows`). Anything else is
refused whole, since a wrong cut gives one client the rows of another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.live.serving.tensors import Tensor, TensorError, cut, to_array


class RowsError(TensorError):
    """An output of a batch has other rows than it should have."""


def shared(
    outputs: Sequence[Tensor], requests: int, input_rows: Collection[int], output_rows: Mapping[str, int | str]
) -> list[list[Tensor]]:
    """The outputs of each request of a batch, in order.

    `requests` of one kind are in the batch; `input_rows` are the rows along axis 0 of each one's inputs, which may
    differ from input to input. `output_rows` says of some outputs how many rows each row of the input has there: a
    number, or the name of the output that has the number for each; 0: any number, of a request alone.

    Raises RowsError unless every output has the rows that it should have, whatever the number of requests: a wrong
    declaration shows at once, not only under load.
    """
    by_name = {tensor.name: tensor for tensor in outputs}
    columns = []
    for tensor in outputs:
        rows = output_rows.get(tensor.name, 1)
        if rows == 0:
            if requests > 1:
                raise RowsError(
                    f"output {tensor.name!r} may have any number of rows, so a batch has no more than one request"
                )
            shares = [tensor.shape[0]]
        elif isinstance(rows, str):
            shares = _counted(tensor, rows, by_name, requests, input_rows)
        else:
            shares = _equal(tensor, rows, requests, input_rows)
        columns.append(cut(tensor, shares) if requests > 1 else [tensor])
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(requests)]


def _equal(tensor: Tensor, multiple: int, requests: int, input_rows: Collection[int]) -> list[int]:
    for rows in input_rows:
        if tensor.shape[0] == requests * rows * multiple:
            return [rows * multiple] * requests
    right = " or ".join(str(requests * rows * multiple) for rows in sorted(input_rows))
    raise RowsError(
        f"output {tensor.name!r} has {_rows(tensor.shape[0])}; {_asked(requests, input_rows)} should give {right} "
        "(if that is as it should be, declare output_rows in the pipeline file)"
    )


def _counted(
    tensor: Tensor, name: str, by_name: Mapping[str, Tensor], requests: int, input_rows: Collection[int]
) -> list[int]:
    counts = by_name.get(name)
    if counts is None:
        raise RowsError(f"no output {name!r}, which should count the rows of {tensor.name!r}; outputs: {_all(by_name)}")
    _equal(counts, 1, requests, input_rows)
    if counts.datatype[:3] not in ("INT", "UIN") or (len(counts.shape) > 1 and set(counts.shape[1:]) != {1}):
        raise RowsError(
            f"output {name!r} is {counts.datatype} of shape {list(counts.shape)}; "
            "it should have one integer for each row of the input"
        )
    numbers = to_array(counts).reshape(requests, -1)
    total = tensor.shape[0]
    if not ((numbers >= 0) & (numbers <= total)).all() or int(numbers.sum(dtype=np.int64)) != total:
        raise RowsError(f"output {tensor.name!r} has {_rows(total)}; by {name!r} it should have {_sum(numbers)}")
    return [int(share) for share in numbers.sum(axis=1, dtype=np.int64)]


def _asked(requests: int, input_rows: Collection[int]) -> str:
    rows = " and ".join(map(str, sorted(input_rows)))
    if requests == 1:
        return f"a request of {rows} {'row' if rows == '1' else 'rows'}"
    return f"a batch of {requests} requests of {rows} {'row' if rows == '1' else 'rows'} each"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _sum(numbers: npt.NDArray[Any]) -> str:
    shown = numbers.ravel().tolist()
    return " + ".join(map(str, shown[:8])) + (" + ..." if len(shown) > 8 else "")


def _all(by_name: Mapping[str, Tensor]) -> str:
    return ", ".join(by_name)
