"""Training of the networks with Keras on its jax backend. Importing this module imports both."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

from ipa.studies.many.predictor.samples import Set

UNITS = 25
PUBLISHED_BATCH = 64
L1 = 1e-5
"""The published L1 penalty on the LSTM kernel."""

BATCH = 256
LEARNING_RATE = 0.003
"""The initial learning rate; it decays to zero along a cosine (Loshchilov and Hutter, 2017)."""

PATIENCE = 10
"""Training stops after this many epochs without a better validation loss; the best weights are kept."""


@dataclass(frozen=True)
class Fitted:
    """A trained network: its arrays as in `models.SHAPES`, and how it was trained."""

    arrays: dict[str, npt.NDArray[Any]]
    recipe: dict[str, Any]


def fit(
    training: Set,
    validation: Set | None,
    levels: tuple[float, ...],
    seed: int,
    epochs: int,
    on_epoch: Callable[[], object],
) -> Fitted:
    """Train a network with an output for each level by the pinball loss; without levels, the published network by the
    published recipe: squared error, Adam at Keras's default rate, no validation."""
    keras.utils.set_random_seed(seed)
    layer = {} if levels else {"activation": "relu", "kernel_regularizer": keras.regularizers.L1(L1)}
    network = keras.Sequential(
        [
            keras.Input(training.inputs.shape[1:]),
            keras.layers.LSTM(UNITS, name="lstm", **layer),
            keras.layers.Dense(max(1, len(levels)), name="dense"),
        ]
    )
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_epoch())]
    if validation is None:
        batch, validation_data = PUBLISHED_BATCH, None
        network.compile(keras.optimizers.Adam(), loss="mean_squared_error")
    else:
        batch, validation_data = BATCH, (validation.inputs.astype(np.float32), _column(validation))
        rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, epochs * ceil(len(training.targets) / BATCH))
        network.compile(keras.optimizers.Adam(rate), loss=_pinball(levels))
        callbacks.append(keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True))
    history = network.fit(
        training.inputs.astype(np.float32),
        _column(training),
        validation_data=validation_data,
        batch_size=batch,
        epochs=epochs,
        verbose=0,
        callbacks=callbacks,
    )
    names = ("kernel", "recurrent", "bias", "dense_kernel", "dense_bias")
    weights = [array for layer in network.layers for array in layer.get_weights()]
    recipe = {
        "epochs": len(history.epoch),
        "batch": batch,
        "loss": "pinball" if levels else "mean_squared_error",
        **({} if levels else {"kernel_l1": L1, "optimizer": "adam"}),
    }
    return Fitted(dict(zip(names, weights, strict=True)), recipe)


def _column(samples: Set) -> npt.NDArray[np.float32]:
    return samples.targets.astype(np.float32)[:, None]


def _pinball(levels: tuple[float, ...]) -> Callable[[Any, Any], Any]:
    """The pinball loss (Koenker and Bassett, 1978), averaged over the levels."""
    level = np.array(levels, dtype=np.float32)

    def loss(true: Any, predicted: Any) -> Any:
        error = true - predicted
        return keras.ops.mean(keras.ops.maximum(level * error, (level - 1.0) * error), axis=-1)

    return loss
