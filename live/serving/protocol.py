"""The Open Inference Protocol V2 over HTTP: inference requests and responses, JSON and binary.

https://github.com/kserve/open-inference-protocol, with the binary tensor extension: the JSON part is followed by the
data of the tensors that give a `binary_data_size`, and a header says where the JSON part ends.
"""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from math import prod
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import orjson
from msgspec import Meta, Raw, Struct

from ipa.errors import InputError
from ipa.live.serving.tensors import (
    MOST_AXES,
    Tensor,
    TensorError,
    from_binary,
    from_json,
    to_json,
)
from ipa.policies import checks
from ipa.profiles import DATATYPES

HEADER = "Inference-Header-Content-Length"
"""The HTTP header that gives the length of the JSON part if binary data follow it."""

BINARY_EXTENSION = "binary_tensor_data"
"""The extension that a server lists if it takes binary data."""


def batch_parameters(number: int, size: int, cores: int) -> dict[str, int]:
    """The parameters by which a gateway tells a replica of its batch, the `number`-th of the stage."""
    return {"batch_number": number, "batch_size": size, "replica_cores": cores}


EMULATED = "ipa_emulated"
"""The platform of an emulated model, in its metadata."""

LLAMA_CPP = "llama_cpp"
"""That of a language model that llama.cpp serves: each of its sequences has an equal share of the blocks."""

RESERVED = frozenset(batch_parameters(0, 1, 1))
"""The parameters that no client may send."""

MOST_ELEMENTS = 2**40
MOST_EMPTY_ROWS = 2**16
"""How many rows a tensor without elements may have: it has no data that bound them."""
MOST_TENSORS = 1024
"""How many inputs or outputs a message may have."""
MOST_TEXTS: Mapping[str, int] = {"inputs": 2**16, "outputs": 2**20}
"""How many BYTES elements a message may have; they are looked at one by one, which takes some 0.1 us each."""
MOST_PARAMETERS_BYTES = 64 * 2**10
"""How long the parameters of a request and its inputs may be as JSON."""
MOST_OUTPUTS_BYTES = 512 * 2**10
"""How long the list of the outputs that a request wants may be as JSON."""
MOST_LEVELS = 32
"""How deeply parameters may be nested."""
LONGEST_ID = 256
"""How many characters an id may have; a server keeps those of tens of thousands of requests."""
LONGEST_NAME = 256

_JSON = {"Content-Type": "application/json"}


LONGEST_LENGTH = 18
"""How many digits the extension's header may have."""

Buffer = bytes | bytearray

T = TypeVar("T")


class ProtocolError(InputError):
    """A message breaks the protocol; it is answered with `status` and the text.

    `retry_after_s`: when it may be worth while to ask again, in whole seconds.
    """

    def __init__(self, text: str, status: int = 400, *, retry_after_s: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after_s = retry_after_s


class Body(NamedTuple):
    """An encoded message and the HTTP headers that go with it."""

    data: bytes
    headers: Mapping[str, str]


class Wanted(NamedTuple):
    """Which outputs are wanted, and in which form; `names` None: all."""

    names: Mapping[str, bool] | None
    is_binary: bool


class InferResponse(NamedTuple):
    """The answer to an inference request."""

    outputs: Sequence[Tensor]
    parameters: Mapping[str, Any] = {}


class InferRequest(NamedTuple):
    """One inference request; `parameters` leaves out those that are empty or concern the form of the answer."""

    id: str | None
    parameters: Mapping[str, Any]
    inputs: Sequence[Tensor]
    wanted: Wanted


# ---- reading ----

Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]


class _TensorEntry(Struct):
    """A tensor in the JSON part of a message. Its data are read piece by piece, once they are known to fit."""

    name: Name
    datatype: str
    shape: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1, max_length=MOST_AXES)]
    parameters: Raw = Raw()
    data: Raw = Raw()


class _Request(Struct):
    inputs: Annotated[list[_TensorEntry], Meta(min_length=1, max_length=MOST_TENSORS)]
    id: Annotated[str, Meta(max_length=LONGEST_ID)] | None = None
    parameters: Raw = Raw()
    outputs: Raw = Raw()


class _Response(Struct):
    outputs: Annotated[list[_TensorEntry], Meta(max_length=MOST_TENSORS)]
    parameters: Raw = Raw()


class _OutputParameters(Struct):
    """The parameters of an output; `classification` and `shared_memory_region` are Triton's, which nothing here
    serves."""

    binary_data: bool | None = None
    classification: int = 0
    shared_memory_region: str = ""


class _OutputTensor(Struct):
    name: Name
    parameters: _OutputParameters | None = None


_REQUESTS, _RESPONSES = msgspec.json.Decoder(_Request), msgspec.json.Decoder(_Response)
_OUTPUTS = msgspec.json.Decoder(Annotated[list[_OutputTensor], Meta(max_length=MOST_TENSORS)] | None)
_PARAMETERS = msgspec.json.Decoder(dict[str, Any] | None)

Steps = Generator[None, None, T]
"""Reads or writes a message: between two yields it takes some milliseconds, however large the message is."""


def at_once(steps: Steps[T]) -> T:
    """What reading or writing gives, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def reading_request(body: Buffer, header_length: str | None) -> Steps[InferRequest]:
    """Read a request from an HTTP body; `header_length` is the value of the extension's header, if given."""
    message, rest = _parts(_REQUESTS, body, header_length)
    parameters = dict(_parameters("parameters", message.parameters))
    all_binary = parameters.pop("binary_data_output", False)
    if not isinstance(all_binary, bool):
        raise ProtocolError(f"binary_data_output {_shown(all_binary)}; allowed: true or false")
    if len(body) - len(rest) > MOST_PARAMETERS_BYTES:
        texts = (message.parameters, *(tensor.parameters for tensor in message.inputs))
        if (size := sum(len(memoryview(text)) for text in texts)) > MOST_PARAMETERS_BYTES:
            raise ProtocolError(f"parameters of {size} bytes; allowed: {MOST_PARAMETERS_BYTES}")
    yield
    inputs = yield from _tensors(message.inputs, "inputs", rest)
    return InferRequest(message.id, parameters, inputs, Wanted(_wanted_names(message.outputs, all_binary), all_binary))


def reading_response(body: Buffer, header_length: str | None) -> Steps[InferResponse]:
    """Read a server's answer."""
    message, rest = _parts(_RESPONSES, body, header_length)
    parameters = _parameters("parameters", message.parameters)
    yield
    return InferResponse((yield from _tensors(message.outputs, "outputs", rest)), parameters)


def json_length(header_length: str | None) -> int | None:
    """The length of the JSON part that the extension's header gives. Raises ProtocolError if it is no number."""
    if header_length is None:
        return None
    if not (header_length.isascii() and header_length.isdigit() and len(header_length) <= LONGEST_LENGTH):
        raise ProtocolError(f"{HEADER}: {_shown(header_length)}; allowed: a number up to the body's length in bytes")
    return int(header_length)


def _parts(decoder: msgspec.json.Decoder[T], body: Buffer, header_length: str | None) -> tuple[T, memoryview]:
    view = memoryview(body)
    length = json_length(header_length)
    end = len(view) if length is None else length
    if end > len(view):
        raise ProtocolError(f"{HEADER}: {end}; allowed: a number up to the body's length in bytes, {len(view)}")
    return _decoded(decoder, "the body", view[:end]), view[end:]


def _decoded(decoder: msgspec.json.Decoder[T], what: str, text: Any) -> T:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"{what}: {error}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(f"{what} is not JSON: {error}") from None


def _tensors(entries: Sequence[_TensorEntry], key: str, rest: memoryview) -> Steps[list[Tensor]]:
    tensors, at, texts = [], 0, MOST_TEXTS[key]
    for position, entry in enumerate(entries):
        try:
            tensor, at = yield from _tensor(entry, f"{key}[{position}]", rest, at, texts)
        except TensorError as error:
            raise ProtocolError(str(error)) from None
        texts -= tensor.texts
        tensors.append(tensor)
    if at != len(rest):
        raise ProtocolError(f"{len(rest)} bytes of binary data follow; the tensors announce {at}")
    if len(tensors) > 1 and len({tensor.name for tensor in tensors}) < len(tensors):
        raise ProtocolError(f"two {key} have the same name")
    return tensors


def _tensor(entry: _TensorEntry, where: str, rest: memoryview, at: int, most_texts: int) -> Steps[tuple[Tensor, int]]:
    """One tensor, with at most so many BYTES elements, and the position in the binary data after it."""
    name, datatype, shape = entry.name, entry.datatype, tuple(entry.shape)
    if datatype not in DATATYPES:
        hint = checks.nearest(datatype, DATATYPES) if len(datatype) < 16 else ""
        raise ProtocolError(f"{where}: datatype {_shown(datatype)}{hint}; allowed: {', '.join(DATATYPES)}")
    elements = prod(shape) or prod([size or 1 for size in shape])
    if elements > MOST_ELEMENTS or (0 in shape and shape[0] > MOST_EMPTY_ROWS):
        raise ProtocolError(f"{where}: shape {_shown(entry.shape)} has too many elements")
    if datatype == "BYTES" and prod(shape) > most_texts:
        raise ProtocolError(f"{where}: shape {_shown(entry.shape)} has too many BYTES elements; allowed: {most_texts}")
    parameters = _parameters(f"{where}: parameters", entry.parameters)
    if "binary_data_size" not in parameters:
        if not (data := bytes(entry.data)):
            raise ProtocolError(f"{where}: neither data nor the parameter binary_data_size")
        return (yield from from_json(name, datatype, shape, data, parameters)), at
    size = parameters.pop("binary_data_size")
    if type(size) is not int or not 0 <= size <= len(rest) - at:
        raise ProtocolError(f"{where}: binary_data_size {_shown(size)}; {len(rest) - at} bytes are left")
    return from_binary(name, datatype, shape, bytes(rest[at : at + size]), parameters), at + size


def _wanted_names(raw: Raw, all_binary: bool) -> Mapping[str, bool] | None:
    """Which outputs are wanted, each whether as binary data; None: all."""
    if not (text := memoryview(raw)):
        return None
    if len(text) > MOST_OUTPUTS_BYTES:
        raise ProtocolError(f"outputs of {len(text)} bytes; allowed: {MOST_OUTPUTS_BYTES}")
    names = {}
    for output in _decoded(_OUTPUTS, "outputs", text) or ():
        is_binary = None
        if (own := output.parameters) is not None:
            is_binary = own.binary_data
            if own.classification or own.shared_memory_region:
                which = "classification" if own.classification else "shared_memory_region"
                raise ProtocolError(f"output {output.name!r}: {which} is Triton's alone; leave it out")
        names[output.name] = all_binary if is_binary is None else is_binary
    return names or None


def _parameters(what: str, raw: Raw) -> dict[str, Any]:
    if not (text := memoryview(raw)):
        return {}
    if len(text) > MOST_PARAMETERS_BYTES:
        raise ProtocolError(f"{what} of {len(text)} bytes; allowed: {MOST_PARAMETERS_BYTES}")
    parameters = _decoded(_PARAMETERS, what, text) or {}
    if len(text) > 2 * MOST_LEVELS and _is_deep(parameters, MOST_LEVELS):  # a level takes two characters
        raise ProtocolError(f"{what} are nested more than {MOST_LEVELS} deep")
    try:
        orjson.dumps(parameters)  # as will be done to hand them on
    except TypeError as error:
        raise ProtocolError(f"{what}: {error}; allowed: integers of 64 bits") from None
    return parameters


def _is_deep(value: object, levels: int) -> bool:
    """Whether lists and objects are nested to more than so many levels."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deep(item, levels - 1) for item in inner)


def _shown(value: object) -> str:
    text = _SHORT.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_SHORT = reprlib.Repr()
"""Shows the beginning of a value, however large and however deep it is."""
_SHORT.maxstring = _SHORT.maxother = 64


# ---- writing ----


def writing_request(
    inputs: Sequence[Tensor], parameters: Mapping[str, Any], binary: bool, most_json_bytes: int = sys.maxsize
) -> Steps[Body]:
    """Write a request for all outputs, in binary form or in JSON. Raises ProtocolError (413) for more JSON than
    allowed."""
    sent = {**parameters, "binary_data_output": True} if binary else parameters
    head: dict[str, Any] = {"parameters": sent} if sent else {}
    return _written(head, "inputs", inputs, lambda _: binary, most_json_bytes)


def writing_response(
    model: str,
    request: InferRequest,
    answer: InferResponse,
    most_json_bytes: int = sys.maxsize,
) -> Steps[Body]:
    """Write the answer to `request`: the outputs that it wants, each in the wanted form. Raises ProtocolError (413) for
    more JSON than allowed."""
    outputs = wanted_outputs(request, answer.outputs)
    head: dict[str, Any] = {"model_name": model, "model_version": "1"}
    if request.id is not None:
        head["id"] = request.id
    if answer.parameters:
        head["parameters"] = answer.parameters
    return _written(head, "outputs", outputs, lambda name: is_binary(request, name), most_json_bytes)


def wanted_outputs(request: InferRequest, outputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """The outputs that the answer has. Raises ProtocolError if a wanted one is missing."""
    if request.wanted.names is None:
        return outputs
    by_name = {tensor.name: tensor for tensor in outputs}
    check_wanted(request, by_name)
    return [by_name[name] for name in request.wanted.names]


def check_wanted(request: InferRequest, names: Collection[str]) -> None:
    """Raise ProtocolError if the request wants an output that is not among these."""
    for name in request.wanted.names or ():
        if name not in names:
            raise ProtocolError(
                f"no output is called {name!r}{checks.nearest(name, names)}; outputs: {', '.join(names)}"
            )


def is_binary(request: InferRequest, name: str) -> bool:
    """Whether the answer has the output of that name in binary form."""
    return (request.wanted.names or {}).get(name, request.wanted.is_binary)


def json_size(request: InferRequest, outputs: Sequence[Tensor]) -> int:
    """About how much of an answer is written as JSON [bytes]."""
    return sum(len(tensor.data) for tensor in outputs if not is_binary(request, tensor.name))


def write_error(text: str) -> bytes:
    return orjson.dumps({"error": text})


def _written(
    head: dict[str, Any],
    key: str,
    tensors: Sequence[Tensor],
    is_binary: Callable[[str], bool],
    most_json_bytes: int,
) -> Steps[Body]:
    entries, chunks, json_bytes = [], [], 0
    for tensor in tensors:
        entry: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if is_binary(tensor.name):
            entry["parameters"] = {**tensor.parameters, "binary_data_size": len(tensor.data)}
            chunks.append(tensor.data)
            entries.append(entry)
            continue
        if tensor.parameters:
            entry["parameters"] = tensor.parameters
        pieces = []
        try:
            for piece in to_json(tensor):
                pieces.append(piece)
                if (json_bytes := json_bytes + len(piece) + 1) > most_json_bytes:
                    raise ProtocolError(
                        f"the {key} are too large for JSON; allowed: {most_json_bytes} bytes. Binary data may be "
                        "larger (binary_data_output)",
                        413,
                    )
                if len(pieces) > 1:
                    yield
        except TensorError as error:
            raise ProtocolError(str(error)) from None
        entry["data"] = orjson.Fragment(b"[%b]" % b",".join(pieces))
        entries.append(entry)
    head[key] = entries
    message = orjson.dumps(head)
    if not chunks:
        return Body(message, _JSON)
    headers = {"Content-Type": "application/octet-stream", HEADER: str(len(message))}
    return Body(b"".join([message, *chunks]), headers)
