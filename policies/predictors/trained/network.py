"""The forward passes of trained models, in numpy alone.

All are row by row: `matmul` of a stack multiplies each row by itself, and the rest is elementwise. So the numbers for a
row do not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.policies.predictors.trained.features import Floats
from ipa.policies.predictors.trained.models import TREES, Model


def forward_pass(model: Model) -> Callable[[Floats], Floats]:
    """What computes a model's outputs, shape (rows, levels), from its inputs: of shape (rows, windows, features) for a
    network, (rows, features) for trees."""
    if model.kind in TREES:
        return Trees(model.arrays)
    return Lstm(model.arrays, model.card["activation"])


class Lstm:
    """An LSTM layer (Hochreiter and Schmidhuber, 1997, with forget gates; the gates in the order of Keras: input,
    forget, cell, output), and a dense layer on its last state."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], activation: str) -> None:
        units = len(arrays["recurrent"])
        # Gates first, the cell last; half of a gate's input, as sigmoid(x) = (tanh(x / 2) + 1) / 2.
        order = np.r_[: 2 * units, 3 * units : 4 * units, 2 * units : 3 * units]
        halved = np.where(np.arange(4 * units) < 3 * units, 0.5, 1.0)
        self._kernel, self._recurrent, self._bias = (
            np.asarray(arrays[name], dtype=np.float64)[..., order] * halved for name in ("kernel", "recurrent", "bias")
        )
        self._dense_kernel = np.asarray(arrays["dense_kernel"], dtype=np.float64)
        self._dense_bias = np.asarray(arrays["dense_bias"], dtype=np.float64)
        self._units = units
        self._is_relu = activation == "relu"

    def __call__(self, inputs: Floats) -> Floats:
        """The outputs, shape (rows, levels), for inputs of shape (rows, windows, features)."""
        units = self._units
        given = np.matmul(inputs[:, :, None, :], self._kernel)[:, :, 0, :] + self._bias
        state = np.zeros((len(inputs), 1, units))
        cell = np.zeros((len(inputs), units))
        for window in range(inputs.shape[1]):
            before = np.matmul(state, self._recurrent)[:, 0, :]
            before += given[:, window]
            gates = np.tanh(before[:, : 3 * units])
            gates += 1.0
            gates *= 0.5
            cell *= gates[:, units : 2 * units]
            cell += gates[:, :units] * self._squashed(before[:, 3 * units :])
            state = (gates[:, 2 * units :] * self._squashed(cell))[:, None, :]
        return np.asarray(np.matmul(state, self._dense_kernel)[:, 0, :] + self._dense_bias)

    def _squashed(self, values: Floats) -> Floats:
        return np.maximum(values, 0.0) if self._is_relu else np.tanh(values)


class Trees:
    """Regression trees, of which each level's are summed and added to its baseline.

    A row goes left where its feature is at most the threshold; a leaf leads to itself. The deepest trees come first, so
    that at each step only the first ones are still to be followed.
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        levels, trees, nodes = arrays["feature"].shape
        roots = np.arange(levels * trees) * nodes
        left, right = (arrays[side].reshape(levels * trees, nodes) + roots[:, None] for side in ("left", "right"))
        children = np.stack([left.ravel(), right.ravel()], axis=1).astype(np.intp)
        depth = _heights(children, nodes // 2)[roots]
        order = np.argsort(-depth, kind="stable")
        self._roots = roots[order].astype(np.intp)
        self._places = np.argsort(order)
        self._moving = [int((depth > step).sum()) for step in range(depth.max())]
        self._next = children.ravel()
        self._feature = arrays["feature"].ravel().astype(np.intp)
        self._threshold = arrays["threshold"].ravel().astype(np.float64)
        self._value = arrays["value"].ravel().astype(np.float64)
        self._baseline = np.asarray(arrays["baseline"], dtype=np.float64)
        self._shape = (levels, trees)

    def __call__(self, inputs: Floats) -> Floats:
        """The outputs, shape (rows, levels), for inputs of shape (rows, features)."""
        blocks = [self._outputs(inputs[first : first + _ROWS]) for first in range(0, max(1, len(inputs)), _ROWS)]
        return np.concatenate(blocks)

    def _outputs(self, inputs: Floats) -> Floats:
        row = np.arange(len(inputs))[:, None] * inputs.shape[1]
        values = np.ascontiguousarray(inputs).ravel()
        node = np.repeat(self._roots[None], len(inputs), axis=0)
        for moving in self._moving:
            here = node[:, :moving]
            is_right = values.take(self._feature.take(here) + row) > self._threshold.take(here)
            node[:, :moving] = self._next.take(2 * here + is_right)
        leaves = self._value.take(node).take(self._places, axis=1).reshape(len(inputs), *self._shape)
        return np.asarray(leaves.sum(axis=2) + self._baseline)


_ROWS = 16
"""So many at once, which a processor's cache holds."""


def _heights(children: npt.NDArray[np.intp], most: int) -> npt.NDArray[np.intp]:
    """How many steps each node is away from its furthest leaf; at most `most`, also where nodes lead in a circle."""
    is_leaf = (children == np.arange(len(children))[:, None]).all(axis=1)
    found = np.zeros(len(children), dtype=np.intp)
    for _ in range(most):
        found = np.where(is_leaf, 0, 1 + found[children].max(axis=1))
    return found
