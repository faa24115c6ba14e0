"""The Open Inference Protocol V2 over HTTP: inference requests and responses, JSON and binary.

https://github.com/kserve/open-inference-protocol, with the binary tensor extension: the JSON part is followed by the
data of the tensors that give a `binary_data_size`, and a header says where the JSON part ends.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import orjson

from ipa.errors import InputError
from ipa.live.serving.tensors import (
    DATATYPES,
    MOST_AXES,
    Tensor,
    TensorError,
    from_binary,
    from_json,
    of_array,
    parameters_kind,
    to_array,
    to_json,
)
from ipa.policies import checks

HEADER = "Inference-Header-Content-Length"
"""The HTTP header that gives the length of the JSON part if binary data follow it."""

BINARY_EXTENSION = "binary_tensor_data"
"""The extension that a server lists if it takes binary data."""


def batch_parameters(number: int, size: int, cores: int, lane: int = 0) -> dict[str, int]:
    """The parameters by which a gateway tells a replica of its batch, the `number`-th of its lane."""
    told = {"batch_number": number, "batch_size": size, "replica_cores": cores}
    return {**told, "batch_lane": lane} if lane else told


RESERVED = frozenset(batch_parameters(0, 1, 1, lane=1))
"""No client may send them."""

MOST_ELEMENTS = 2**40
MOST_EMPTY_ROWS = 2**16
"""How many rows a tensor without elements may have: it has no data that bound them."""
MOST_TENSORS = 1024
"""How many inputs or outputs a message may have."""
MOST_TEXTS: Mapping[str, int] = {"inputs": 2**16, "outputs": 2**20}
"""How many BYTES elements a message may have; they are looked at one by one, which takes some 0.1 us each."""
MOST_PARAMETERS_BYTES = 64 * 2**10
"""How long the parameters of a request and its inputs may be as JSON."""
MOST_LEVELS = 32
"""How deeply parameters may be nested."""
LONGEST_ID = 256
"""How many characters an id may have; a server keeps those of tens of thousands of requests."""
LONGEST_NAME = 256

_JSON = {"Content-Type": "application/json"}
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


LONGEST_LENGTH = 18
"""How many digits the extension's header may have."""

Buffer = bytes | bytearray


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


class InferRequest(NamedTuple):
    """One inference request; `parameters` leaves out those that are empty or concern the form of the answer."""

    id: str | None
    parameters: Mapping[str, Any]
    inputs: Sequence[Tensor]
    wanted: Wanted


EVERYTHING_BINARY = Wanted(None, True)


# ---- reading ----


def read_request(body: Buffer, header_length: str | None) -> InferRequest:
    """Read a request from an HTTP body; `header_length` is the value of the extension's header, if given."""
    message, rest = _parts(body, header_length)
    parameters = _mapping(message, "parameters")
    all_binary = _flag(parameters, "binary_data_output")
    request_id = message.get("id")
    if request_id is not None and not (isinstance(request_id, str) and len(request_id) <= LONGEST_ID):
        raise ProtocolError(f"id {_shown(request_id)}; allowed: a string of up to {LONGEST_ID} characters")
    others = {key: value for key, value in parameters.items() if key != "binary_data_output"} if parameters else {}
    inputs = _tensors(message, "inputs", rest)
    size = sum(len(parameters_kind(given)) for given in (others, *(each.parameters for each in inputs)) if given)
    if size > MOST_PARAMETERS_BYTES:
        raise ProtocolError(f"parameters of {size} bytes; allowed: {MOST_PARAMETERS_BYTES}")
    return InferRequest(
        request_id,
        others,
        inputs,
        Wanted(_wanted_names(message, all_binary), all_binary),
    )


def read_response(body: Buffer, header_length: str | None) -> list[Tensor]:
    """Read the outputs from a server's answer."""
    message, rest = _parts(body, header_length)
    return _tensors(message, "outputs", rest)


def json_length(header_length: str | None) -> int | None:
    """The length of the JSON part that the extension's header gives. Raises ProtocolError if it is no number."""
    if header_length is None:
        return None
    if not (header_length.isascii() and header_length.isdigit() and len(header_length) <= LONGEST_LENGTH):
        raise ProtocolError(f"{HEADER}: {_shown(header_length)}; allowed: a number up to the body's length in bytes")
    return int(header_length)


def _parts(body: Buffer, header_length: str | None) -> tuple[dict[str, Any], memoryview]:
    """The JSON part as a mapping, and what follows it."""
    view = memoryview(body)
    length = json_length(header_length)
    end = len(view) if length is None else length
    if end > len(view):
        raise ProtocolError(f"{HEADER}: {end}; allowed: a number up to the body's length in bytes, {len(view)}")
    try:
        message = orjson.loads(view[:end])
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"the body is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError("the body should be a JSON object")
    return message, view[end:]


def _tensors(message: Mapping[str, Any], key: str, rest: memoryview) -> list[Tensor]:
    given = message.get(key)
    if not isinstance(given, list) or (key == "inputs" and not given):
        raise ProtocolError(f"{key} {_shown(given)}; allowed: a list of tensors")
    if len(given) > MOST_TENSORS:
        raise ProtocolError(f"{len(given)} {key}; allowed: up to {MOST_TENSORS}")
    found, at, texts = [], 0, MOST_TEXTS[key]
    for position, entry in enumerate(given):
        tensor, at = _tensor(entry, f"{key}[{position}]", rest, at, texts)
        texts -= tensor.texts
        found.append(tensor)
    if at != len(rest):
        raise ProtocolError(f"{len(rest)} bytes of binary data follow; the tensors announce {at}")
    if len(found) > 1 and len({tensor.name for tensor in found}) < len(found):
        raise ProtocolError(f"two {key} have the same name")
    return found


def _tensor(entry: object, where: str, rest: memoryview, at: int, most_texts: int) -> tuple[Tensor, int]:
    """One tensor, with at most so many BYTES elements, and the position in the binary data after it."""
    if not isinstance(entry, dict):
        raise ProtocolError(f"{where} {_shown(entry)}; allowed: an object")
    name, datatype = entry.get("name"), entry.get("datatype")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise ProtocolError(f"{where}: name {_shown(name)}; allowed: a string of up to {LONGEST_NAME} characters")
    if datatype not in DATATYPES:
        hint = checks.nearest(datatype, DATATYPES) if isinstance(datatype, str) and len(datatype) < 16 else ""
        raise ProtocolError(f"{where}: datatype {_shown(datatype)}{hint}; allowed: {', '.join(DATATYPES)}")
    shape = _shape(entry.get("shape"), where)
    if datatype == "BYTES" and prod(shape) > most_texts:
        raise ProtocolError(f"{where}: shape {_shown(list(shape))} has too many BYTES elements; allowed: {most_texts}")
    parameters = _mapping(entry, "parameters")
    try:
        if "binary_data_size" not in parameters:
            if "data" not in entry:
                raise ProtocolError(f"{where}: neither data nor the parameter binary_data_size")
            return from_json(name, datatype, shape, entry["data"], parameters), at
        size = parameters["binary_data_size"]
        if type(size) is not int or not 0 <= size <= len(rest) - at:
            raise ProtocolError(f"{where}: binary_data_size {_shown(size)}; {len(rest) - at} bytes are left")
        others = {} if len(parameters) == 1 else {k: v for k, v in parameters.items() if k != "binary_data_size"}
        return from_binary(name, datatype, shape, bytes(rest[at : at + size]), others), at + size
    except TensorError as error:
        raise ProtocolError(str(error)) from None


def _shape(given: object, where: str) -> tuple[int, ...]:
    if not isinstance(given, list) or not given or len(given) > MOST_AXES:
        raise ProtocolError(f"{where}: shape {_shown(given)}; allowed: a list of 1 to {MOST_AXES} sizes")
    for size in given:
        if type(size) is not int or size < 0:
            raise ProtocolError(f"{where}: shape {_shown(given)}; allowed: whole sizes from 0")
    if prod(size or 1 for size in given) > MOST_ELEMENTS or (0 in given and given[0] > MOST_EMPTY_ROWS):
        raise ProtocolError(f"{where}: shape {_shown(given)} has too many elements")
    return tuple(given)


def _wanted_names(message: Mapping[str, Any], all_binary: bool) -> Mapping[str, bool] | None:
    given = message.get("outputs")
    if given is None:
        return None
    if not isinstance(given, list) or len(given) > MOST_TENSORS:
        raise ProtocolError(f"outputs {_shown(given)}; allowed: a list of up to {MOST_TENSORS} objects with a name")
    names = {}
    for position, entry in enumerate(given):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
            raise ProtocolError(f"outputs[{position}]: {_shown(entry)}; allowed: an object with a name")
        parameters = _mapping(entry, "parameters")
        names[name] = _flag(parameters, "binary_data", all_binary)
    return names or None


def _mapping(message: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    given = message.get(key)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ProtocolError(f"{key} {_shown(given)}; allowed: an object")
    if _is_deep(given, MOST_LEVELS):
        raise ProtocolError(f"{key} are nested more than {MOST_LEVELS} deep")
    return given


def _is_deep(value: object, levels: int) -> bool:
    """Whether lists and objects are nested to more than so many levels."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deep(each, levels - 1) for each in inner)


def _flag(parameters: Mapping[str, Any], key: str, default: bool = False) -> bool:
    given = parameters.get(key, default)
    if not isinstance(given, bool):
        raise ProtocolError(f"{key} {_shown(given)}; allowed: true or false")
    return given


def _shown(value: object) -> str:
    text = _SHORT.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_SHORT = reprlib.Repr()
"""Shows the beginning of a value, however large and however deep it is."""
_SHORT.maxstring = _SHORT.maxother = 64


# ---- writing ----


def write_request(inputs: Sequence[Tensor], parameters: Mapping[str, Any], binary: bool) -> Body:
    """Write a request for all outputs, in binary form or in JSON."""
    asked = {**parameters, "binary_data_output": True} if binary else parameters
    head: dict[str, Any] = {"parameters": asked} if asked else {}
    return _written(head, "inputs", inputs, lambda _: binary)


def write_response(model: str, request: InferRequest, outputs: Sequence[Tensor], version: str = "1") -> Body:
    """Write the answer to `request`: the outputs that it wants, each in the wanted form."""
    outputs = wanted_outputs(request, outputs)
    head: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        head["id"] = request.id
    return _written(head, "outputs", outputs, lambda name: is_binary(request, name))


def wanted_outputs(request: InferRequest, outputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """The outputs that the answer has. Raises ProtocolError if one that is wanted is not there."""
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


def write_error(text: str) -> bytes:
    """Write an error in the protocol's form."""
    return orjson.dumps({"error": text})


def _written(head: dict[str, Any], key: str, tensors: Sequence[Tensor], is_binary: Any) -> Body:
    entries, chunks = [], []
    for tensor in tensors:
        entry: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if is_binary(tensor.name):
            entry["parameters"] = {**tensor.parameters, "binary_data_size": len(tensor.data)}
            chunks.append(tensor.data)
        else:
            if tensor.parameters:
                entry["parameters"] = tensor.parameters
            try:
                entry["data"] = to_json(tensor)
            except TensorError as error:
                raise ProtocolError(str(error)) from None
        entries.append(entry)
    head[key] = entries
    message = orjson.dumps(head, option=_NUMPY)
    if not chunks:
        return Body(message, _JSON)
    headers = {"Content-Type": "application/octet-stream", HEADER: str(len(message))}
    return Body(b"".join([message, *chunks]), headers)


class FileRequest(NamedTuple):
    """A request ready to be given an id: the JSON part, and the file or tensors behind it."""

    message: bytes
    rest: bytes

    def without_id(self) -> Body:
        """The request as it is."""
        return self._body(self.message)

    def with_id(self, identity: str) -> Body:
        """The request under that id, which must need no escapes in JSON."""
        return self._body(b'{"id":"' + identity.encode() + b'",' + self.message[1:])

    def _body(self, message: bytes) -> Body:
        headers = {"Content-Type": "application/octet-stream", HEADER: str(len(message))}
        return Body(message + self.rest, headers)


def file_request(name: str, content: bytes) -> FileRequest:
    """A request whose input of that name, BYTES of shape (1, 1), is a file's content."""
    return tensors_request([of_array(name, np.array([[content]], dtype=object))])


def tensors_request(tensors: Sequence[Tensor]) -> FileRequest:
    """A request of these tensors, as binary data."""
    body = write_request(tensors, {}, binary=True)
    length = int(body.headers[HEADER])
    return FileRequest(body.data[:length], body.data[length:])


def text_of(answer: Buffer, header_length: str | None) -> str | None:
    """What the first output of an answer says, if that is text. Raises ProtocolError for what is no answer."""
    outputs = read_response(answer, header_length)
    if not outputs or outputs[0].datatype != "BYTES" or not outputs[0].texts:
        return None
    return "\n".join(each.decode(errors="replace") for each in to_array(outputs[0]).ravel().tolist())
