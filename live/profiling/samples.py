"""The contents of requests: samples from files, or random numbers in the shapes that a model takes.

Requests whose tensors differ in shape never share a batch (see `serving.stage_queue`), so a batch is of one kind. Its
time may depend on the kind: kinds are drawn as often as they are among the samples, and their times are kept apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ipa.live.errors import LiveError
from ipa.live.samples import LABELS, rows_of
from ipa.live.serving import DTYPES, Tensor, joined, kind, of_array

POOL_BYTES = 64 * 2**20
POOL = 16
"""The fewest different batches of each kind that are kept ready; fewer if they would hold more than POOL_BYTES."""
MADE_UP = 16
"""The number of requests of each shape, if they are made up."""


@dataclass(frozen=True)
class Samples:
    """Requests of each kind, by a label of their shapes; `source` says where they come from."""

    kinds: Mapping[str, Sequence[Sequence[Tensor]]]
    source: str

    def pool(self, size: int, seed: int) -> Pool:
        """Batches of `size` requests drawn with that seed: each of one kind, kinds as often as they have samples.

        All samples of a kind are in them equally often, give or take one, as far as POOL_BYTES allows.
        """
        generator = np.random.default_rng([seed, size])
        batches = {}
        for label, requests in self.kinds.items():
            each_bytes = size * sum(len(tensor.data) for request in requests for tensor in request) // len(requests)
            most = max(POOL, -(-len(requests) // size))
            many = max(1, min(most, POOL_BYTES // max(1, each_bytes * len(self.kinds))))
            rounds = -(-many * size // len(requests))
            dealt = np.concatenate([generator.permutation(len(requests)) for _ in range(rounds)])
            batches[label] = [
                joined([requests[n] for n in row]) for row in dealt[: many * size].reshape(many, size).tolist()
            ]
        weights = np.array([len(requests) for requests in self.kinds.values()], dtype=float)
        return Pool(batches, weights / weights.sum(), generator)


class Pool:
    """Batches to draw from, again and again."""

    def __init__(self, batches: Mapping[str, Sequence[Sequence[Tensor]]], shares: Any, generator: Any) -> None:
        self._made, self._shares, self._generator = batches, shares, generator
        self._labels = list(batches)

    def __iter__(self) -> Iterator[tuple[str, Sequence[Tensor]]]:
        """The kind and the tensors of one batch after another, without end."""
        while True:
            numbers = self._generator.choice(len(self._labels), size=256, p=self._shares).tolist()
            for number, place in zip(numbers, self._generator.integers(2**31, size=256).tolist(), strict=True):
                batches = self._made[self._labels[number]]
                yield self._labels[number], batches[place % len(batches)]


def read_samples(path: Path, inputs: Sequence[Mapping[str, Any]] = ()) -> Samples:
    """The requests of a `.npz` file, a row of its arrays each, or of a folder, each file a request.

    The files of a folder are all `.npz`, or none is: then each is one element of BYTES, for a model whose metadata list
    that as the only one of its `inputs`. Labels beside them are not a request. Raises LiveError for what cannot be
    read.
    """
    if path.is_dir():
        files = sorted(
            file for file in path.iterdir() if file.is_file() and file.name != LABELS and not file.name.startswith(".")
        )
        packed = [file for file in files if file.suffix == ".npz"]
        if not files or 0 < len(packed) < len(files):
            raise LiveError(f"{path}: should hold .npz files, or files of texts alone, each of which is a request")
        source = f"{len(files)} samples of {path.name}"
        if packed:
            return _read(rows_of(path), source)
        if [described["datatype"] for described in inputs] != ["BYTES"]:
            raise LiveError(
                f"{path}: holds files of texts, such as pictures; a model takes them whose only input is BYTES, and "
                "which says so in its metadata; for others, give .npz files"
            )
        return _read([[_text(inputs[0], file)] for file in files], source)
    requests = rows_of(path)
    return _read(requests, f"{len(requests)} samples of {path.name}")


def _read(requests: Sequence[Sequence[Tensor]], source: str) -> Samples:
    return Samples(_by_kind(requests), source)


def made_up(inputs: Sequence[Mapping[str, Any]], shapes: Mapping[str, Sequence[tuple[int, ...]]], seed: int) -> Samples:
    """Random requests for a model's inputs, as its metadata list them.

    `shapes`: input -> shapes without the row axis, for those that the metadata leave open; several make several kinds,
    and those of other inputs are ignored. Raises LiveError for shapes that stay open or do not fit, and for inputs of
    text.
    """
    if not inputs:
        raise LiveError("the model does not say which inputs it takes: give samples of requests (--samples)")
    generator = np.random.default_rng(seed)
    kinds = max(len(shapes.get(described["name"], ())) or 1 for described in inputs)
    requests = [
        [_random(described, _shape(described, shapes.get(described["name"], ()), n), generator) for described in inputs]
        for n in range(kinds)
        for _ in range(MADE_UP)
    ]
    return Samples(_by_kind(requests), "random numbers")


def _shape(described: Mapping[str, Any], shapes: Sequence[tuple[int, ...]], number: int) -> tuple[int, ...]:
    open_ = tuple(described["shape"][1:])
    shape = shapes[number % len(shapes)] if shapes else open_
    if any(size < 1 for size in shape):
        listed = ",".join("?" if size < 1 else str(size) for size in open_)
        raise LiveError(
            f"input {described['name']!r} has an open shape ({listed} after its rows): say which, "
            f"--shape {described['name']}={listed}, or give samples (--samples)"
        )
    fits = len(shape) == len(open_) and all(size in (-1, declared) for size, declared in zip(open_, shape, strict=True))
    if not fits:
        raise LiveError(f"--shape {described['name']}={_listed(shape)}: the model takes {_listed(open_)}")
    return shape


def _random(described: Mapping[str, Any], shape: tuple[int, ...], generator: np.random.Generator) -> Tensor:
    dtype = DTYPES.get(described["datatype"])
    if dtype is None:
        raise LiveError(
            f"input {described['name']!r} is {described['datatype']}, which cannot be made up: give samples (--samples)"
        )
    values: np.ndarray[Any, Any]
    if dtype.kind == "f":
        values = generator.random((1, *shape))
    else:
        values = generator.integers(0, 2 if dtype.kind == "b" else 10 if dtype.itemsize > 1 else 100, size=(1, *shape))
    return of_array(str(described["name"]), values.astype(dtype))


def _text(described: Mapping[str, Any], file: Path) -> Tensor:
    """A file as a request: one element, with as many axes as the model has."""
    element = np.empty((1,) * max(1, len(described["shape"])), dtype=object)
    element[...] = file.read_bytes()
    return of_array(str(described["name"]), element)


def _by_kind(requests: Any) -> dict[str, list[Sequence[Tensor]]]:
    labels: dict[Any, str] = {}
    requests_by_kind: dict[str, list[Sequence[Tensor]]] = {}
    for request in requests:
        label = labels.setdefault(kind(request), ", ".join(f"{tensor.name} {_rows(tensor)}" for tensor in request))
        requests_by_kind.setdefault(label, []).append(request)
    return requests_by_kind


def _rows(tensor: Tensor) -> str:
    """A tensor's shape, without the row axis if a request is one row."""
    shape = tensor.shape[1:] if tensor.shape[0] == 1 else tensor.shape
    return "x".join(map(str, shape)) or "1"


def _listed(shape: Sequence[int]) -> str:
    return ",".join("?" if size < 1 else str(size) for size in shape)
