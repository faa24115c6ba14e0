"""Memory that outlives a run: the first touch of fresh pages costs more than what the kernel does with them."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_KEPT_BYTES = 128 * 2**20
"""What a process keeps between runs at most."""

Kind = tuple[tuple[int, ...], npt.DTypeLike]
"""The shape and the type of an array."""

_ALIGNMENT = 64
_kept: list[npt.NDArray[np.uint8]] = []


class _Lease(np.ndarray[Any, Any]):
    """A block on loan: every array carved from it refers to it, and when none is left the block is free again."""


def carve(kinds: Sequence[Kind]) -> list[npt.NDArray[Any]]:
    """Arrays with arbitrary contents from one block, which the process has kept or gets, and keeps when they are gone."""
    sizes = [-(-prod(shape) * np.dtype(dtype).itemsize // _ALIGNMENT) * _ALIGNMENT for shape, dtype in kinds]
    block = _kept.pop() if _kept else None
    if block is None or len(block) < sum(sizes):
        block = np.empty(sum(sizes), np.uint8)
    lease = block.view(_Lease)
    weakref.finalize(lease, _keep, block).atexit = False
    begins = np.cumsum([0, *sizes]).tolist()
    return [
        np.ndarray(shape, dtype, buffer=lease, offset=begin)
        for (shape, dtype), begin in zip(kinds, begins, strict=False)
    ]


def _keep(block: npt.NDArray[np.uint8]) -> None:
    if len(block) <= MOST_KEPT_BYTES and (not _kept or len(_kept[0]) < len(block)):
        _kept[:] = [block]
