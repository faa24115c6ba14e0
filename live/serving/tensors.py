"""Tensors as the protocol carries them: raw bytes with a name, a datatype and a shape; and their shares of a batch.

Data stay in the binary form of the protocol's extension (little-endian, row-major; each BYTES element after its length
in 4 bytes), so that batches are joined and split without decoding. JSON numbers are converted at the edge.

The outputs of a batch are shared out among its requests, or refused: an output has the rows of the input, or those
that the pipeline file declares for it (`output_rows`). Anything else is refused whole, since a wrong cut gives one
client the rows of another.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from math import prod
from struct import Struct, pack
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from ipa.errors import InputError


class TensorError(InputError):
    """A tensor is not what it claims to be; the text names it, what was given and what is allowed."""


DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}
"""The numeric datatypes that have a JSON form."""

SIZES: Mapping[str, int] = {**{name: dtype.itemsize for name, dtype in DTYPES.items()}, "BF16": 2}
"""Bytes per element of the datatypes of fixed size."""

DATATYPES = (*SIZES, "BYTES")
"""Every datatype of the protocol."""

MOST_AXES = 16

_JSON_TYPES: Mapping[str, frozenset[type]] = {"B": frozenset({bool}), "U": frozenset({int}), "I": frozenset({int})}
_LENGTH = Struct("<I")


class Tensor(NamedTuple):
    """One tensor: `data` holds its elements in the protocol's binary form."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes
    parameters: Mapping[str, Any] = {}

    @property
    def texts(self) -> int:
        """How many BYTES elements it has, which cost time one by one."""
        return prod(self.shape) if self.datatype == "BYTES" else 0

    @property
    def kind(self) -> tuple[Any, ...]:
        """What must be equal for two requests to share a batch."""
        if not self.parameters:
            return self.name, self.datatype, self.shape
        return self.name, self.datatype, self.shape, parameters_kind(self.parameters)


def parameters_kind(parameters: Mapping[str, Any]) -> bytes:
    """What is equal for equal parameters alone: their JSON, as Python takes 1, 1.0 and true for equal."""
    return orjson.dumps(parameters, option=orjson.OPT_SORT_KEYS)


def from_binary(name: str, datatype: str, shape: tuple[int, ...], data: bytes, parameters: Mapping[str, Any]) -> Tensor:
    """A tensor of binary data. Raises TensorError unless the size is what datatype and shape imply."""
    count = prod(shape)
    if datatype == "BYTES":
        _offsets(name, data, count)
    elif len(data) != count * SIZES[datatype]:
        right = count * SIZES[datatype]
        raise TensorError(f"input {name!r}: {len(data)} bytes of data; {datatype} of shape {list(shape)} has {right}")
    return Tensor(name, datatype, shape, data, parameters)


def from_json(name: str, datatype: str, shape: tuple[int, ...], data: object, parameters: Mapping[str, Any]) -> Tensor:
    """A tensor of JSON values, flat or nested as the shape says. Raises TensorError for what does not fit."""
    values = _flattened(name, shape, data)
    if datatype == "BYTES":
        return Tensor(name, datatype, shape, _packed_texts(name, values), parameters)
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise TensorError(f"input {name!r}: {datatype} has no JSON form; send binary data")
    allowed = _JSON_TYPES.get(datatype[0], _NUMBERS)
    found = set(map(type, values))
    if not found <= allowed:
        odd = next(value for value in values if type(value) not in allowed)
        raise TensorError(f"input {name!r}: {_shown(odd)} is not a valid {datatype}")
    try:
        with np.errstate(over="raise"):
            array = np.array(values, dtype=dtype)
    except (OverflowError, FloatingPointError):
        raise TensorError(f"input {name!r}: a value is outside the range of {datatype}") from None
    return Tensor(name, datatype, shape, array.tobytes(), parameters)


_NUMBERS = frozenset({int, float})


def to_json(tensor: Tensor) -> Any:
    """The elements as a flat list, or an array that orjson writes as one (NaN and infinities as null)."""
    if tensor.datatype == "BYTES":
        return _texts(tensor)
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise TensorError(f"output {tensor.name!r}: {tensor.datatype} has no JSON form; ask for binary data")
    return np.frombuffer(tensor.data, dtype=dtype)


def to_array(tensor: Tensor) -> np.ndarray[Any, Any]:
    """The tensor as a NumPy array (read-only); BYTES as an array of `bytes` objects."""
    if tensor.datatype == "BYTES":
        values = np.empty(prod(tensor.shape), dtype=object)
        values[:] = _elements(tensor)
        return values.reshape(tensor.shape)
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise TensorError(f"tensor {tensor.name!r}: NumPy has no {tensor.datatype}")
    return np.frombuffer(tensor.data, dtype=dtype).reshape(tensor.shape)


def of_array(name: str, array: np.ndarray[Any, Any]) -> Tensor:
    """The tensor of a NumPy array; strings and bytes become BYTES. Raises TensorError for any other kind of array."""
    if array.dtype.kind in "OSU":
        values = [_as_bytes(name, value) for value in array.ravel().tolist()]
        return Tensor(name, "BYTES", array.shape, b"".join(pack("<I", len(value)) + value for value in values))
    datatype = _NAMES.get(array.dtype.newbyteorder("<"))
    if datatype is None:
        raise TensorError(f"tensor {name!r}: no datatype of the protocol for NumPy's {array.dtype}")
    return Tensor(name, datatype, array.shape, np.ascontiguousarray(array, dtype=DTYPES[datatype]).tobytes())


_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def kind(tensors: Sequence[Tensor]) -> tuple[Any, ...]:
    """What must be equal for two requests to share a batch: names, datatypes, shapes and parameters, in order."""
    return tuple([tensor.kind for tensor in tensors])


def joined(parts: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Join the tensors of requests of one kind along axis 0, in order, into those of a batch."""
    if len(parts) == 1:
        return list(parts[0])
    count = len(parts)
    return [
        first._replace(
            shape=(first.shape[0] * count, *first.shape[1:]),
            data=b"".join([part[position].data for part in parts]),
        )
        for position, first in enumerate(parts[0])
    ]


def cut(tensor: Tensor, rows: Sequence[int]) -> list[Tensor]:
    """Cut a tensor along axis 0 into parts of so many rows each, in order; they must add up to its rows."""
    name, datatype, shape, data, parameters = tensor
    per_row = prod(shape[1:])
    edges: Iterable[int] = accumulate(rows, initial=0)
    if datatype == "BYTES":
        offsets = _offsets(name, data, prod(shape))
        edges = [offsets[edge * per_row] for edge in edges]
    else:
        size = per_row * SIZES[datatype]
        edges = [edge * size for edge in edges]
    return [
        Tensor(name, datatype, (count, *shape[1:]), data[start:end], parameters)
        for count, (start, end) in zip(rows, pairwise(edges), strict=True)
    ]


# ---- BYTES and nested lists ----


def _offsets(name: str, data: bytes, count: int) -> list[int]:
    """Where each of `count` BYTES elements begins, and where the last one ends; they must fill all of `data`."""
    offsets, at, total = [0], 0, len(data)
    while at < total and len(offsets) <= count:
        if at + 4 > total:
            break
        at += 4 + _LENGTH.unpack_from(data, at)[0]
        offsets.append(at)
    if at != total or len(offsets) != count + 1:
        raise TensorError(
            f"tensor {name!r}: {total} bytes of data are not {count} BYTES elements, each after its length of 4 bytes"
        )
    return offsets


def _elements(tensor: Tensor) -> list[bytes]:
    offsets = _offsets(tensor.name, tensor.data, prod(tensor.shape))
    return [tensor.data[start + 4 : end] for start, end in pairwise(offsets)]


def _texts(tensor: Tensor) -> list[str]:
    try:
        return [element.decode() for element in _elements(tensor)]
    except UnicodeDecodeError:
        raise TensorError(f"tensor {tensor.name!r}: its bytes are not UTF-8 text; ask for binary data") from None


def _packed_texts(name: str, values: Sequence[object]) -> bytes:
    parts = []
    for value in values:
        if type(value) is not str:
            raise TensorError(f"input {name!r}: {_shown(value)} is not a string, which is the JSON form of BYTES")
        encoded = value.encode()
        parts += [_LENGTH.pack(len(encoded)), encoded]
    return b"".join(parts)


def _as_bytes(name: str, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise TensorError(f"tensor {name!r}: {_shown(value)} is neither bytes nor a string")


def _flattened(name: str, shape: tuple[int, ...], data: object) -> list[Any]:
    if not isinstance(data, list):
        raise TensorError(f"input {name!r}: data {_shown(data)}; allowed: a list, flat or nested like the shape")
    values = data
    if data and isinstance(data[0], list):
        values = [data]
        for size in shape:
            if not all(type(row) is list and len(row) == size for row in values):
                raise TensorError(f"input {name!r}: nested data does not have the shape {list(shape)}")
            values = list(chain.from_iterable(values))
    if len(values) != prod(shape):
        raise TensorError(f"input {name!r}: {len(values)} elements of data; the shape {list(shape)} has {prod(shape)}")
    return values


def _shown(value: object) -> str:
    text = reprlib.repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


class RowsError(TensorError):
    """An output of a batch has other rows than it should have."""


def shared(
    outputs: Sequence[Tensor], requests: int, input_rows: Collection[int], output_rows: Mapping[str, int | str]
) -> list[list[Tensor]]:
    """The outputs of each request of a batch, in order.

    `requests` of one kind are in the batch; `input_rows` are the rows along axis 0 of each one's inputs, which may
    differ from input to input. `output_rows` says of some outputs how many rows each row of the input has there: a
    number, or the name of the output that has the number for each.

    Raises RowsError unless every output has the rows that it should have, whatever the number of requests: a wrong
    declaration shows at once, not only under load.
    """
    by_name = {tensor.name: tensor for tensor in outputs}
    columns = []
    for tensor in outputs:
        rows = output_rows.get(tensor.name, 1)
        if isinstance(rows, str):
            shares = _counted(tensor, rows, by_name, requests, input_rows)
        else:
            shares = _equal(tensor, rows, requests, input_rows)
        columns.append(cut(tensor, shares) if requests > 1 else [tensor])
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(requests)]


def mapped(outputs: Sequence[Tensor], wanted: Mapping[str, str], stage: str) -> Sequence[Tensor]:
    """The inputs that a stage takes from the outputs of the one before it: input -> output, or all by their names.

    Raises TensorError for an output that there is not.
    """
    if not wanted:
        return outputs
    by_name = {tensor.name: tensor for tensor in outputs}
    missing = [source for source in wanted.values() if source not in by_name]
    if missing:
        raise TensorError(f"no output {missing[0]!r} for {stage!r}; outputs: {', '.join(by_name)}")
    return [by_name[source]._replace(name=name) for name, source in wanted.items()]


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
    each = " and ".join(map(str, sorted(input_rows)))
    if requests == 1:
        return f"a request of {each} {'row' if each == '1' else 'rows'}"
    return f"a batch of {requests} requests of {each} {'row' if each == '1' else 'rows'} each"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _sum(numbers: npt.NDArray[Any]) -> str:
    shown = numbers.ravel().tolist()
    return " + ".join(map(str, shown[:8])) + (" + ..." if len(shown) > 8 else "")


def _all(by_name: Mapping[str, Tensor]) -> str:
    return ", ".join(by_name)
