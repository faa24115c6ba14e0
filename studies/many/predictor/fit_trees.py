"""Training of gradient-boosted trees with scikit-learn, and their nodes as plain arrays. Imports sklearn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingRegressor

from ipa.studies.many.predictor.samples import Set

SETTINGS = {"learning_rate": 0.15, "max_leaf_nodes": 8, "min_samples_leaf": 40}
PATIENCE = 5
"""Training of a level stops after this many trees without a better validation loss."""


def fit(
    training: Set, validation: Set, levels: tuple[float, ...], seed: int, trees: int, on_level: Callable[[], object]
) -> dict[str, npt.NDArray[Any]]:
    """At most `trees` trees for each level, fitted by the pinball loss; arrays as in `models.SHAPES`."""
    nodes, baselines = [], []
    for level in levels:
        fitted = HistGradientBoostingRegressor(
            loss="quantile",
            quantile=level,
            max_iter=trees,
            early_stopping=True,
            n_iter_no_change=PATIENCE,
            random_state=seed,
            **SETTINGS,
        ).fit(training.inputs, training.targets, X_val=validation.inputs, y_val=validation.targets)
        nodes.append([predictor[0].nodes for predictor in fitted._predictors])
        baselines.append(float(np.ravel(fitted._baseline_prediction)[0]))
        on_level()
    return {**_as_arrays(nodes), "baseline": np.array(baselines)}


def _as_arrays(nodes: list[list[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The nodes of each level's trees, padded with zero leaves to the same numbers of trees and nodes."""
    shape = (len(nodes), max(map(len, nodes)), max(len(tree) for level in nodes for tree in level))
    itself = np.broadcast_to(np.arange(shape[2], dtype=np.int16), shape)
    arrays: dict[str, npt.NDArray[Any]] = {
        "feature": np.zeros(shape, np.int16),
        "threshold": np.zeros(shape, np.float32),
        "left": itself.copy(),
        "right": itself.copy(),
        "value": np.zeros(shape, np.float32),
    }
    for place, level in enumerate(nodes):
        for number, tree in enumerate(level):
            here = (place, number, slice(len(tree)))
            is_leaf = tree["is_leaf"].astype(bool)
            arrays["value"][here] = tree["value"]
            for name, field in (
                ("feature", "feature_idx"),
                ("threshold", "num_threshold"),
                ("left", "left"),
                ("right", "right"),
            ):
                arrays[name][here] = np.where(is_leaf, arrays[name][here], tree[field])
    return arrays
