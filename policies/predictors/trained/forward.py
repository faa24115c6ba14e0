"""The forward passes of trained models, in numpy alone of a network, and of trees.

All are row by row: `matmul` of a stack multiplies each row by itself, and the rest is elementwise. So the numbers for a
row do not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.policies.predictors.trained.features import Floats
from ipa.policies.predictors.trained.models import TREES, TrainedModel

_ROWS = 128
"""The rows of one pass: the forecasts of a run of 20 minutes."""

Numbers = npt.NDArray[np.int64]


class Trees:
    """Regression trees, of which each level's are summed and added to its baseline.

    A row goes left where its feature is at most the threshold. No path is followed: each question that nodes ask, "is
    the feature above the threshold?", is answered once for all trees. Each yes rules out the leaves on the left, and
    the first leaf that is not ruled out is where the path ends. Source: Lucchese et al., QuickScorer, SIGIR 2015.
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        levels, trees, nodes = arrays["feature"].shape
        left_child, right_child, feature, threshold, value = (
            arrays[name].reshape(levels * trees, nodes) for name in ("left", "right", "feature", "threshold", "value")
        )
        asks = left_child != np.arange(nodes)
        leaves, first = _leaves(left_child, right_child, asks)
        most = int(leaves.max())

        self._value = np.zeros((levels * trees, most))
        tree, leaf = np.nonzero(~asks & (first >= 0))
        self._value[tree, first[tree, leaf]] = value[tree, leaf]
        self._begin = np.arange(levels * trees) * most

        tree = np.nonzero(asks)[0]
        questions, number = np.unique(np.stack([feature[asks], threshold[asks]]), axis=1, return_inverse=True)
        self._feature, self._threshold = questions[0].astype(np.intp), questions[1, :, None].astype(np.float64)
        place = (np.cumsum(asks, axis=1) - 1)[asks]  # among the questions of its tree
        self._asked = np.zeros((most - 1, levels * trees), np.intp)
        self._asked[place, tree] = number.ravel()
        # A bit for each leaf; nothing is ruled out by the questions that a tree with fewer leaves does not ask.
        self._on_the_left = np.zeros((most - 1, levels * trees, 1), np.min_scalar_type(2**most - 1))
        count = leaves[tree, left_child[asks]].astype(np.uint64)
        self._on_the_left[place, tree, 0] = ((np.uint64(1) << count) - 1) << first[asks].astype(np.uint64)
        self._baseline = np.asarray(arrays["baseline"], dtype=np.float64)
        self._shape = (levels, trees)

    def __call__(self, inputs: Floats) -> Floats:
        """The outputs, shape (rows, levels), for inputs of shape (rows, features)."""
        blocks = [self._outputs(inputs[first : first + _ROWS]) for first in range(0, max(1, len(inputs)), _ROWS)]
        return np.concatenate(blocks)

    def _outputs(self, inputs: Floats) -> Floats:
        is_above = (inputs.T.take(self._feature, axis=0) > self._threshold).view(np.uint8)
        ruled_out: npt.NDArray[Any] = np.zeros((len(self._begin), len(inputs)), self._on_the_left.dtype)
        for question, on_the_left in zip(self._asked, self._on_the_left, strict=True):
            ruled_out |= is_above.take(question, axis=0) * on_the_left
        leaf = np.bitwise_count(ruled_out & ~(ruled_out + 1))  # how many bits there are below the first that is not set
        values = self._value.take(np.add(leaf.T, self._begin, order="C"))
        return np.asarray(values.reshape(len(inputs), *self._shape).sum(axis=2) + self._baseline)


def _leaves(left_child: Numbers, right_child: Numbers, asks: npt.NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Of each node of trees: how many leaves it leads to, and how many are to the left of these, -1 where no path goes.

    All have the shape (trees, nodes); children come after their parents.
    """
    count = np.ones(left_child.shape, dtype=np.int64)
    first = np.full(left_child.shape, -1)
    first[:, 0] = 0
    for node in reversed(range(left_child.shape[1])):
        tree = np.flatnonzero(asks[:, node])
        count[tree, node] = count[tree, left_child[tree, node]] + count[tree, right_child[tree, node]]
    for node in range(left_child.shape[1]):
        tree = np.flatnonzero(asks[:, node])
        first[tree, left_child[tree, node]] = first[tree, node]
        first[tree, right_child[tree, node]] = first[tree, node] + count[tree, left_child[tree, node]]
    return count, first


def forward_pass(model: TrainedModel) -> Callable[[Floats], Floats]:
    """What computes a model's outputs, shape (rows, levels), from its inputs: of shape (rows, windows, features) for a
    network, (rows, features) for trees."""
    if model.kind == TREES:
        return Trees(model.arrays)
    return LstmLayer(model.arrays, model.card["activation"])


class LstmLayer:
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
        gate_inputs = np.matmul(inputs[:, :, None, :], self._kernel)[:, :, 0, :] + self._bias
        state = np.zeros((len(inputs), 1, units))
        cell = np.zeros((len(inputs), units))
        for window in range(inputs.shape[1]):
            before = np.matmul(state, self._recurrent)[:, 0, :]
            before += gate_inputs[:, window]
            gates = np.tanh(before[:, : 3 * units])
            gates += 1.0
            gates *= 0.5
            cell *= gates[:, units : 2 * units]
            cell += gates[:, :units] * self._squashed(before[:, 3 * units :])
            state = (gates[:, 2 * units :] * self._squashed(cell))[:, None, :]
        return np.asarray(np.matmul(state, self._dense_kernel)[:, 0, :] + self._dense_bias)

    def _squashed(self, values: Floats) -> Floats:
        return np.maximum(values, 0.0) if self._is_relu else np.tanh(values)
