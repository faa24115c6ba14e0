"""Memory that is kept between runs: the first touch of fresh pages costs more than the kernel's work on them."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_KEPT_BYTES = 128 * 2**20
"""The most that a process keeps between runs."""

Kind = tuple[tuple[int, ...], npt.DTypeLike]
"""An array's shape and type."""

_ALIGNMENT = 64
_kept: list[npt.NDArray[np.uint8]] = []


class _Lease(np.ndarray[Any, Any]):
    """A block on loan: every array carved from it refers to the lease; when none is left, the block is free again."""


def carve(kinds: Sequence[Kind]) -> list[npt.NDArray[Any]]:
    """Arrays with arbitrary contents, from one block: the kept one or a new one, kept again once they are gone."""
    sizes = [prod(shape) * np.dtype(dtype).itemsize for shape, dtype in kinds]
    ends = np.cumsum([-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes]).tolist()
    block = _kept.pop() if _kept else None
    if block is None or len(block) < ends[-1]:
        block = np.empty(ends[-1], np.uint8)
    lease = block.view(_Lease)
    weakref.finalize(lease, _keep, block).atexit = False
    # Carved from a slice: numpy would let an array skip the lease and refer to the block itself.
    parts = [lease[begin : begin + size] for begin, size in zip([0, *ends[:-1]], sizes, strict=True)]
    return [part.view(np.ndarray).view(dtype).reshape(shape) for part, (shape, dtype) in zip(parts, kinds, strict=True)]


def _keep(block: npt.NDArray[np.uint8]) -> None:
    if len(block) <= MOST_KEPT_BYTES and (not _kept or len(_kept[0]) < len(block)):
        _kept[:] = [block]
