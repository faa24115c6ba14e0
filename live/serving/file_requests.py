"""A client's requests, of tensors or of files as they are, and the text of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ipa.live.serving.protocol import HEADER, Body, Buffer, read_response, write_request
from ipa.live.serving.tensors import Tensor, of_array, to_array


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
    """The text of an answer's first output; None if that is not text. Raises ProtocolError for an invalid answer."""
    outputs = read_response(answer, header_length)
    if not outputs or outputs[0].datatype != "BYTES" or not outputs[0].texts:
        return None
    return "\n".join(each.decode(errors="replace") for each in to_array(outputs[0]).ravel().tolist())
