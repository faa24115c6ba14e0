"""Weights of a .keras file (a zip of config.json and model.weights.h5), read as data: no layer is ever built.

Only what the published predictor consists of is known: an input, one LSTM, one Dense layer.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.policies.interface import PolicyError

ACTIVATIONS = ("tanh", "relu")
"""What the cell of an LSTM may squash with."""

KNOWN = "an input, one LSTM, then one Dense layer"

MOST_BYTES = 50_000_000
"""What a file may hold, unpacked. Models have some thousand numbers."""

_LSTM = {"recurrent_activation": "sigmoid", "use_bias": True, "return_sequences": False, "go_backwards": False}
_DENSE = {"activation": "linear", "use_bias": True}
_PLACES = {
    "kernel": "layers/lstm/cell/vars/0",
    "recurrent": "layers/lstm/cell/vars/1",
    "bias": "layers/lstm/cell/vars/2",
    "dense_kernel": "layers/dense/vars/0",
    "dense_bias": "layers/dense/vars/1",
}


def read(path: Path) -> tuple[dict[str, npt.NDArray[Any]], str]:
    """The arrays of a network, and the activation of its cell.

    PolicyError: no such file, no .keras file, another layer or setting than the known ones, or h5py is not installed.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            config = json.loads(_member(packed, "config.json", path))
            weights = _member(packed, "model.weights.h5", path)
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise PolicyError(f"{path}: is no whole .keras file: {error}") from error
    activation = _checked(config, path)
    return _weights(weights, path), activation


def _member(packed: zipfile.ZipFile, name: str, path: Path) -> bytes:
    try:
        info = packed.getinfo(name)
    except KeyError:
        raise PolicyError(f"{path}: holds no {name}, so it is no .keras file") from None
    if info.file_size > MOST_BYTES:
        raise PolicyError(f"{path}: {name} has {info.file_size} bytes; allowed: {MOST_BYTES}")
    return packed.read(info)


def _checked(config: Any, path: Path) -> str:
    """The activation of the LSTM, after a check that the layers are the known ones."""
    try:
        layers = [(str(layer["class_name"]), layer["config"]) for layer in config["config"]["layers"]]
        names = [name for name, _ in layers if name != "InputLayer"]
        settings = [given for name, given in layers if name != "InputLayer"]
        if config["class_name"] not in ("Sequential", "Functional"):
            raise PolicyError(f"{path}: is a {config['class_name']}; allowed: Sequential or Functional, of {KNOWN}")
        if names != ["LSTM", "Dense"]:
            raise PolicyError(f"{path}: has the layers {', '.join(names) or 'none'}; allowed: {KNOWN}")
        for name, given, wanted in zip(names, settings, (_LSTM, _DENSE), strict=True):
            for key, value in wanted.items():
                if given[key] != value:
                    raise PolicyError(f"{path}: {name} has {key}={given[key]!r}; allowed: {value!r}")
        activation = settings[0]["activation"]
    except (KeyError, TypeError, IndexError) as error:
        raise PolicyError(f"{path}: config.json describes no model of keras 3: {error!r}") from error
    if activation not in ACTIVATIONS:
        raise PolicyError(f"{path}: LSTM has activation={activation!r}; allowed: {', '.join(ACTIVATIONS)}")
    return str(activation)


def _weights(stored: bytes, path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        import h5py
    except ImportError:
        raise PolicyError(
            f"{path}: needs h5py to be read: pip install '.[train]' in the checkout; .npz needs nothing"
        ) from None
    try:
        with h5py.File(io.BytesIO(stored), "r") as file:
            return {name: _array(file[place], path, place) for name, place in _PLACES.items()}
    except (KeyError, OSError, RuntimeError) as error:
        raise PolicyError(f"{path}: model.weights.h5: {error}") from error


def _array(found: Any, path: Path, place: str) -> npt.NDArray[Any]:
    if not isinstance(getattr(found, "dtype", None), np.dtype) or getattr(found, "external", None):
        raise PolicyError(f"{path}: model.weights.h5: {place} is no array of its own")
    return np.asarray(found[()], dtype=np.float64)


def card_beside(path: Path) -> Mapping[str, Any]:
    """The card of a model, from the file NAME.card.json beside it; empty without one. PolicyError: it is no JSON."""
    card = path.with_suffix(".card.json")
    try:
        found = json.loads(card.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise PolicyError(f"{card}: cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise PolicyError(f"{card}: should be a JSON object")
    return found
