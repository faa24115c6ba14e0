"""ONNX files, loaded with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ipa.errors import InputError


class ModelError(InputError):
    """A model cannot be loaded, or cannot serve a request; the text says why."""


def onnx_session(path: Path, threads: int) -> Any:
    """The session of an ONNX file on the CPU, with that many threads. Raises ModelError."""
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        import onnxruntime
    except ImportError:
        raise ModelError(f"{path}: needs the extra onnx: pip install '.[onnx]' in the checkout") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{path}: onnxruntime cannot load it: {error}") from None
