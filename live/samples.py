"""Sample requests: a folder of files, each one request, with their expected answers; or arrays; and how they are sent.

The folder's `labels.jsonl` has one line for each file, `{"file": "0001.jpg", "answer": "..."}`; the answer is optional,
and further keys are ignored.

Arrays are in a `.npz` file, where a row of each is a request, or in a folder of such files, each of which is a request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from ipa.live.errors import LiveError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ipa.live.serving import Tensor

LABELS = "labels.jsonl"


@dataclass(frozen=True)
class Sample:
    """A file and its expected answer; None: unknown."""

    path: Path
    answer: str | None


def read_samples(folder: Path) -> list[Sample]:
    """The samples of a folder, in the order of its labels. Raises LiveError, with file and line, for wrong ones."""
    labels = folder / LABELS
    try:
        lines = labels.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise LiveError(f"{labels}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LiveError(f"{labels}: not a text file (UTF-8)") from None
    samples = [_sample(folder, f"{labels}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    if not samples:
        raise LiveError(f"{labels}: names no file")
    return samples


def _sample(folder: Path, place: str, line: str) -> Sample:
    try:
        label = json.loads(line)
    except ValueError as error:
        raise LiveError(f"{place}: is not JSON: {error}") from None
    name = label.get("file") if isinstance(label, dict) else None
    answer = label.get("answer") if isinstance(label, dict) else None
    if not isinstance(name, str) or not isinstance(answer, str | None):
        raise LiveError(f'{place}: should be like {{"file": "0001.jpg", "answer": "what it says"}}')
    if not (folder / name).is_file():
        raise LiveError(f"{place}: file: {name}: there is no such file in {folder}")
    return Sample(folder / name, answer)


# ---- arrays ----


def holds_arrays(path: Path) -> bool:
    """Whether the samples at a path are arrays, not files that are sent as they are."""
    return path.suffix == ".npz" or (not (path / LABELS).exists() and any(path.glob("*.npz")))


def rows_of(path: Path) -> list[Sequence[Tensor]]:
    """The requests of a `.npz` file, a row of its arrays each, or of a folder of such, each a request. Raises LiveError
    for what cannot be read."""
    if path.is_dir():
        return [_tensors(file, _arrays(file)) for file in sorted(path.glob("*.npz"))]
    arrays = _arrays(path)
    rows = {len(array) for array in arrays.values()}
    if len(rows) != 1 or not max(rows):
        raise LiveError(f"{path}: its arrays should have the same rows, a request each; given {sorted(rows)}")
    return [_tensors(path, {name: array[n : n + 1] for name, array in arrays.items()}) for n in range(max(rows))]


def _arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            arrays = dict(found)
    except (OSError, ValueError, BadZipFile, EOFError) as cause:
        raise LiveError(f"{path}: not a .npz file of arrays: {cause}") from None
    if not arrays or any(array.ndim < 1 for array in arrays.values()):
        raise LiveError(f"{path}: should hold arrays whose first axis is the rows")
    return arrays


def _tensors(path: Path, arrays: dict[str, np.ndarray[Any, Any]]) -> list[Tensor]:
    from ipa.live.serving import TensorError, of_array

    try:
        return [of_array(name, array) for name, array in arrays.items()]
    except TensorError as cause:
        raise LiveError(f"{path}: {cause}") from None


# ---- as requests ----


class SampleRequest(NamedTuple):
    """A request ready to be given an id: the JSON part, and the file or tensors behind it."""

    message: bytes
    rest: bytes

    def written(self, identity: str = "") -> tuple[bytes, Mapping[str, str]]:
        """Its body and headers, under an id that needs no escapes in JSON; empty: without one."""
        from ipa.live.serving import HEADER

        message = b'{"id":"' + identity.encode() + b'",' + self.message[1:] if identity else self.message
        return message + self.rest, {"Content-Type": "application/octet-stream", HEADER: str(len(message))}


def file_request(name: str, content: bytes) -> SampleRequest:
    """A request whose input of that name, BYTES of shape (1, 1), is a file's content."""
    from ipa.live.serving import of_array

    return tensors_request([of_array(name, np.array([[content]], dtype=object))])


def tensors_request(tensors: Sequence[Tensor]) -> SampleRequest:
    """A request of these tensors, as binary data."""
    from ipa.live.serving import HEADER, at_once, writing_request

    data, headers = at_once(writing_request(tensors, {}, binary=True))
    length = int(headers[HEADER])
    return SampleRequest(data[:length], data[length:])
