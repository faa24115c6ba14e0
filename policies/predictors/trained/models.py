"""Trained models: files of arrays and a card, of which nothing is ever executed.

An .npz file holds the arrays of `SHAPES` and the text `card`, a JSON object: what the model is, on what it was trained
and how well it did.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.policies import checks
from ipa.policies.interface import PolicyError
from ipa.policies.predictors.trained import features

ACTIVATIONS = ("tanh", "relu")
"""The activations of an LSTM's cell."""

MOST_BYTES = 50_000_000
"""The most bytes of a decompressed file. Models have some thousand numbers."""

LIBRARY = Path(__file__).parents[1] / "library"
"""The shipped models, NAME.npz."""

_NETWORK = {"kernel": "fg", "recurrent": "ug", "bias": "g", "dense_kernel": "ul", "dense_bias": "l"}
_TREES = dict.fromkeys(("feature", "threshold", "left", "right", "value"), "ltn") | {"baseline": "l"}
TREES = "quantile-gbm"
"""The kind of model that is trees; all others are networks."""

SHAPES: Mapping[str, Mapping[str, str]] = {
    "lstm": _NETWORK,
    "lstm-quantile": _NETWORK,
    TREES: _TREES,
}
"""The arrays of each kind of model, a letter for each dimension: features of a window, units, gates (four for each
unit), levels, trees, nodes."""

MOST_NODES = 127
"""Of a tree; it has 64 leaves then, one for each bit of the largest whole number of numpy."""

NORMALISATIONS = {
    "lstm": ("none",),
    "lstm-quantile": ("deviation",),
    TREES: ("deviation",),
}
"""The scaling of a model's inputs: none, or distances from the mean of the history in its standard deviations
(`features.relative`)."""


@dataclass(frozen=True)
class TrainedModel:
    """The arrays of a trained model, and its card."""

    kind: str
    arrays: Mapping[str, npt.NDArray[Any]]
    card: Mapping[str, Any]
    source: str

    def __post_init__(self) -> None:
        """PolicyError: arrays that do not fit each other or the kind, or a card that does not describe them."""
        checks.choice(f"{self.source}: kind", self.kind, SHAPES)
        checks.choice(f"{self.source}: normalisation", self.card.get("normalisation"), NORMALISATIONS[self.kind])
        if self.kind != TREES:
            checks.choice(f"{self.source}: activation", self.card.get("activation"), ACTIVATIONS)
        sizes = self._sizes()
        if self.kind == "lstm":
            self._agree("outputs", sizes["l"], 1)
            self._agree("inputs per window", sizes["f"], 1)
        else:
            levels = self.levels
            if not levels or list(levels) != sorted(set(levels)) or not 0 < levels[0] <= levels[-1] < 1:
                raise PolicyError(f"{self.source}: levels={list(levels)!r} should rise from above 0 to below 1")
            self._agree("outputs", sizes["l"], len(levels))
        if self.kind == "lstm-quantile":
            self._agree("inputs per window", sizes["f"], len(features.PER_WINDOW))
        if "g" in sizes:
            self._agree("gates", sizes["g"], 4 * sizes["u"])
        if "n" in sizes:
            self._within("feature", features.WINDOWS * len(features.PER_WINDOW))
            self._within("left", sizes["n"])
            self._within("right", sizes["n"])
            self._are_trees(sizes["n"])

    @cached_property
    def levels(self) -> tuple[float, ...]:
        """The levels of the quantiles that the model gives; none for a point."""
        levels = self.card.get("levels", [])
        if not isinstance(levels, list):
            raise PolicyError(f"{self.source}: levels={levels!r} should be a list")
        return tuple(checks.number(f"{self.source}: levels", level) for level in levels)

    def _sizes(self) -> dict[str, int]:
        """The length of each dimension."""
        dimensions = SHAPES[self.kind]
        checks.mapping(f"{self.source}: arrays", dict(self.arrays), dimensions)
        sizes: dict[str, int] = {}
        for name, letters in dimensions.items():
            array = self.arrays[name]
            if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
                raise PolicyError(f"{self.source}: {name} should hold finite numbers, not {array.dtype}")
            if array.ndim != len(letters) or 0 in array.shape:
                raise PolicyError(
                    f"{self.source}: {name} has the shape {array.shape}; wanted: {len(letters)} dimensions"
                )
            for letter, size in zip(letters, array.shape, strict=True):
                self._agree(f"shape {array.shape} of {name}: a dimension", size, sizes.setdefault(letter, size))
        return sizes

    def _agree(self, measure: str, size: int, expected: int) -> None:
        if size != expected:
            raise PolicyError(f"{self.source}: {measure} of {size}; a model of kind {self.kind!r} here has {expected}")

    def _within(self, name: str, size: int) -> None:
        array = self.arrays[name]
        if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= size:
            raise PolicyError(f"{self.source}: {name} should hold whole numbers from 0 to {size - 1}")

    def _are_trees(self, nodes: int) -> None:
        """A leaf leads to itself, any other node to two that come after it, and nothing has two parents."""
        if nodes > MOST_NODES:
            raise PolicyError(f"{self.source}: trees of {nodes} nodes; allowed: up to {MOST_NODES}")
        left_child, right_child = (self.arrays[side].reshape(-1, nodes) for side in ("left", "right"))
        itself = np.arange(nodes)
        asks = (left_child != itself) | (right_child != itself)
        child = np.stack([left_child, right_child], axis=-1)[asks]
        tree, node = np.nonzero(asks)
        parents = np.bincount((tree[:, None] * nodes + child).ravel(), minlength=left_child.size)
        orphan = asks & (parents.reshape(left_child.shape) == 0) & (itself > 0)
        if (child <= node[:, None]).any() or parents.max(initial=0) > 1 or orphan.any():
            raise PolicyError(
                f"{self.source}: left and right should lead from each node to two others that come after it and have "
                "no other parent, and from a leaf to itself"
            )


def load(model: str) -> TrainedModel:
    """A shipped model by its name, or the one in an .npz file. PolicyError: none, or one that is wrong."""
    path = Path(model)
    if path.suffix == ".npz":
        return read_npz(path)
    if model not in shipped():
        raise PolicyError(
            f"model={model!r} is none of: {', '.join(shipped())}, or a .npz file{checks.nearest(model, shipped())}"
        )
    return _shipped(model)


@cache
def shipped() -> tuple[str, ...]:
    """The names of the shipped models."""
    return tuple(sorted(path.stem for path in LIBRARY.glob("*.npz")))


@cache
def _shipped(name: str) -> TrainedModel:
    return read_npz(LIBRARY / f"{name}.npz")


def read_npz(path: Path) -> TrainedModel:
    """The model in an .npz file. PolicyError: it cannot be read, holds objects, or is no model."""
    try:
        with path.open("rb") as file:
            arrays = _unpacked(np.load(file, allow_pickle=False), path)
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise PolicyError(f"{path}: is no whole .npz file of plain arrays: {error}") from error
    if "card" not in arrays:
        raise PolicyError(f"{path}: lacks card, the JSON text that says what the model is")
    card = _card(arrays.pop("card"), path)
    return TrainedModel(str(card.get("kind")), arrays, card, str(path))


def _unpacked(loaded: Any, path: Path) -> dict[str, npt.NDArray[Any]]:
    if isinstance(loaded, np.ndarray):
        raise PolicyError(f"{path}: is no .npz file but a single array")
    with loaded as packed:
        size = sum(info.file_size for info in packed.zip.infolist())
        if size > MOST_BYTES:
            raise PolicyError(f"{path}: holds {size} bytes; allowed: {MOST_BYTES}")
        return {name: packed[name] for name in packed.files}


def write_npz(model: TrainedModel, path: Path) -> None:
    """Write a model to a file that takes exactly this name."""
    with path.open("wb") as file:
        arrays: dict[str, Any] = {"card": np.array(json.dumps(model.card)), **model.arrays}
        np.savez_compressed(file, **arrays)


def _card(stored: npt.NDArray[Any], path: Path) -> dict[str, Any]:
    try:
        card = json.loads(str(stored[()]))
    except ValueError as error:
        raise PolicyError(f"{path}: card is no JSON: {error}") from error
    if not isinstance(card, dict):
        raise PolicyError(f"{path}: card should be a JSON object, not {card!r}")
    return card
