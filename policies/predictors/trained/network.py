"""The forward passes of trained models, in numpy alone: that of networks here, that of trees in `trees`.

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
from ipa.policies.predictors.trained.trees import Trees


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
