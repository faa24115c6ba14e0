"""Tensors as the protocol carries them: raw bytes with a name, a datatype and a shape; and their shares of a batch.

Data stay in the binary form of the protocol's extension (little-endian, row-major; each BYTES element after its length
in 4 bytes), so that batches are joined and split without decoding. JSON numbers are converted at the edge.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate, chain, pairwise
from math import prod
from struct import Struct, pack
from typing import Any, NamedTuple

import msgspec
import numpy as np
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

MOST_AXES = 16

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
    """A key that is equal only for equal parameters: their JSON, as Python takes 1, 1.0 and true for equal."""
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


def from_json(
    name: str, datatype: str, shape: tuple[int, ...], data: bytes, parameters: Mapping[str, Any]
) -> Generator[None, None, Tensor]:
    """A tensor of a JSON value, a list that is flat or nested as the shape says. Raises TensorError for another.

    Between two yields it takes some milliseconds.
    """
    if not data.startswith(b"["):
        raise TensorError(f"input {name!r}: data {_shown(data)}; allowed: a list, flat or nested like the shape")
    if datatype == "BYTES":
        return Tensor(name, datatype, shape, _packed_texts(name, shape, data), parameters)
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise TensorError(f"input {name!r}: {datatype} has no JSON form; send binary data")
    is_bool, parts = dtype.kind == "b", []
    values = (b"truefals" if is_bool else b"0123456789+-.eE") + b" \t\r\n"
    for start in range(0, len(data), _PIECE_BYTES):
        yield
        parts.append(data[start : start + _PIECE_BYTES].translate(None, values))
        if odd := parts[-1].lstrip(b"[],"):
            at = data.index(odd[0])
            start = max(data.rfind(b",", 0, at), data.rfind(b"[", 0, at)) + 1
            raise TensorError(f"input {name!r}: {_shown(_value(data[start : start + 60]))} is not a valid {datatype}")
    _check_shape(name, shape, b"".join(parts))
    yield
    if is_bool:
        data = data.replace(b"true", b"1").replace(b"false", b"0")
    array = yield from _numbers(name, datatype, data if prod(shape) else data.replace(b",", b" "))
    if len(array) != prod(shape) * dtype.itemsize:
        raise TensorError(f"input {name!r}: its data do not have the {prod(shape)} elements of the shape {list(shape)}")
    return Tensor(name, datatype, shape, array, parameters)


_FLAT = bytes.maketrans(b"[]", b"  ")
_PIECE_BYTES = 32 * 2**10
_INTEGERS, _FLOATS = msgspec.json.Decoder(list[int]), msgspec.json.Decoder(list[float])


def _value(text: bytes) -> bytes:
    """The first value of a text of values with commas between them, for a message."""
    return text.split(b",")[0].strip(b" []\t\r\n")


def _check_shape(name: str, shape: tuple[int, ...], skeleton: bytes) -> None:
    """Raise TensorError unless the brackets and commas of data are those of a list that is flat, or nested like it."""
    elements, commas = prod(shape), skeleton.count(b",")
    if len(skeleton) == 2 + commas:
        if commas != max(elements - 1, 0):
            raise TensorError(f"input {name!r}: {commas + 1} elements of data; the shape {list(shape)} has {elements}")
        return
    nested = b""
    if prod(size or 1 for size in shape) <= len(skeleton):  # otherwise it cannot match, and could take any memory
        for size in reversed(shape):
            nested = b"[%b]" % ((nested + b",") * size)[:-1]
    if nested != skeleton:
        raise TensorError(f"input {name!r}: nested data does not have the shape {list(shape)}")


def _numbers(name: str, datatype: str, data: bytes) -> Generator[None, None, bytes]:
    """Numbers with commas between them, and brackets anywhere, in the protocol's binary form."""
    dtype, at, parts = DTYPES[datatype], 0, []
    decoder: msgspec.json.Decoder[Any] = _FLOATS if dtype.kind == "f" else _INTEGERS
    while at < len(data):
        end = data.find(b",", at + _PIECE_BYTES)
        piece, at = (data[at:], len(data)) if end < 0 else (data[at:end], end + 1)
        try:
            with np.errstate(over="raise"):
                parts.append(np.array(decoder.decode(b"[%b]" % piece.translate(_FLAT)), dtype=dtype).tobytes())
        except msgspec.DecodeError as error:
            place = re.search(r"\$\[(\d+)\]", str(error))
            value = _value(piece.split(b",")[int(place[1])] if place else piece)
            raise TensorError(f"input {name!r}: {_shown(value)} is not a valid {datatype}") from None
        except (OverflowError, FloatingPointError):
            raise TensorError(f"input {name!r}: a value is outside the range of {datatype}") from None
        if at < len(data):
            yield
    return b"".join(parts)


def to_json(tensor: Tensor) -> Iterator[bytes]:
    """The elements as JSON values with commas between them (NaN and infinities as null), some thousands at a time.

    Raises TensorError if they have no such form.
    """
    values: Any
    if tensor.datatype == "BYTES":
        values = _texts(tensor)
    else:
        dtype = DTYPES.get(tensor.datatype)
        if dtype is None:
            raise TensorError(f"output {tensor.name!r}: {tensor.datatype} has no JSON form; ask for binary data")
        values = np.frombuffer(tensor.data, dtype=dtype)
    for start in range(0, len(values), _PIECE):
        yield orjson.dumps(values[start : start + _PIECE], option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]


_PIECE = 2**14


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
        return of_texts(name, [_as_bytes(name, value) for value in array.ravel().tolist()])._replace(shape=array.shape)
    datatype = _NAMES.get(array.dtype.newbyteorder("<"))
    if datatype is None:
        raise TensorError(f"tensor {name!r}: no datatype of the protocol for NumPy's {array.dtype}")
    return Tensor(name, datatype, array.shape, np.ascontiguousarray(array, dtype=DTYPES[datatype]).tobytes())


def of_texts(name: str, texts: Sequence[bytes]) -> Tensor:
    """The tensor of one axis of these texts."""
    return Tensor(name, "BYTES", (len(texts),), b"".join(pack("<I", len(text)) + text for text in texts))


_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def kind(tensors: Sequence[Tensor], parameters: Mapping[str, Any] = {}) -> tuple[Any, ...]:
    """What must be equal for two requests to share a batch: names, datatypes, shapes and parameters, in order, and the
    parameters of the request."""
    kinds = tuple([tensor.kind for tensor in tensors])
    return (*kinds, parameters_kind(parameters)) if parameters else kinds


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


def _packed_texts(name: str, shape: tuple[int, ...], data: bytes) -> bytes:
    """The elements of a list of strings in JSON, flat or nested like the shape."""
    # How many strings there are, within a factor of two, and how many lists, before any is made.
    if data.count(b'"') - data.count(b'\\"') > 2 * max(prod(shape), 1):
        raise TensorError(f"input {name!r}: more elements of data than the {prod(shape)} of the shape {list(shape)}")
    is_nested = data[1:].lstrip().startswith(b"[")
    if is_nested and data.count(b"[") > MOST_LISTS:
        raise TensorError(f"input {name!r}: more than {MOST_LISTS} lists; allowed: a flat list, or binary data")
    try:
        values: list[Any] = _text_decoder(len(shape) if is_nested else 1).decode(data)
        if is_nested:
            values = [values]
            for size in shape:
                if any(len(row) != size for row in values):
                    raise TensorError(f"input {name!r}: nested data does not have the shape {list(shape)}")
                values = list(chain.from_iterable(values))
        packed = bytearray()
        for value in values:
            encoded = value.encode()
            packed += _LENGTH.pack(len(encoded)) + encoded
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise TensorError(f"input {name!r}: not strings, which are the JSON form of BYTES: {error}") from None
    if len(values) != prod(shape):
        raise TensorError(f"input {name!r}: {len(values)} elements of data; the shape {list(shape)} has {prod(shape)}")
    return bytes(packed)


MOST_LISTS = 2**17


@cache
def _text_decoder(levels: int) -> msgspec.json.Decoder[Any]:
    """A decoder of lists of strings, nested `levels` deep."""
    kind: Any = str
    for _ in range(levels):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def _as_bytes(name: str, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise TensorError(f"tensor {name!r}: {_shown(value)} is neither bytes nor a string")


def _shown(value: object) -> str:
    text = value[:40].decode(errors="replace") if isinstance(value, bytes) else reprlib.repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def mapped(outputs: Sequence[Tensor], sources: Mapping[str, str], stage: str) -> Sequence[Tensor]:
    """The inputs that a stage takes from the outputs of the one before it: input -> output, or all by their names.

    Raises TensorError for an output that is missing.
    """
    if not sources:
        return outputs
    by_name = {tensor.name: tensor for tensor in outputs}
    missing = [source for source in sources.values() if source not in by_name]
    if missing:
        raise TensorError(f"no output {missing[0]!r} for {stage!r}; outputs: {', '.join(by_name)}")
    return [by_name[source]._replace(name=name) for name, source in sources.items()]
