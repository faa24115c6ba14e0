"""What a model server can run: a model is an object with `predict`, made by a backend.

`emulated` (see `emulated.py`), `onnx`, a class of your own in a file, `my.py:MyModel`, or a `folder` with one of the
last two. A class of your own:

    class MyModel:
        def predict(self, inputs: dict[str, numpy.ndarray]) -> dict[str, numpy.ndarray]: ...

It is called in a thread of its own with a whole batch, joined along axis 0, and answers in the same form. If its
`__init__` takes `cores`, it is given the replica's.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ipa.errors import InputError
from ipa.live.serving.tensors import DTYPES, Tensor, TensorError, of_array, to_array
from ipa.policies import PolicyError, plugins


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


Arrays = Mapping[str, npt.NDArray[Any]]


class Described(Protocol):
    """What all models have."""

    def metadata(self) -> Mapping[str, Any]:
        """`platform`, `inputs` and `outputs` as the protocol's metadata have them."""
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


class ServedModel(Described, Protocol):
    """One replica's model."""

    async def infer(self, inputs: Sequence[Tensor], parameters: Mapping[str, Any]) -> Sequence[Tensor]:
        """The outputs of a batch. Raises ModelError or TensorError for inputs that it cannot take."""
        ...


class Predictor(Protocol):
    """A user's model; the optional `metadata` lists its `inputs` and `outputs` as the protocol does."""

    def predict(self, inputs: dict[str, npt.NDArray[Any]]) -> Arrays:
        """The outputs, by name, of a batch joined along axis 0."""
        ...


class Threaded:
    """A predictor in a thread, so that the server answers while it works; `predictor` is the user's own object."""

    def __init__(self, predictor: Predictor, metadata: Mapping[str, Any]) -> None:
        self.predictor = predictor
        self._metadata = metadata
        self._expected = {entry["name"]: entry for entry in metadata.get("inputs", ())}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def infer(self, inputs: Sequence[Tensor], parameters: Mapping[str, Any]) -> Sequence[Tensor]:
        check_inputs(inputs, self._expected)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._predict, inputs)

    def _predict(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        outputs = self.predictor.predict({tensor.name: to_array(tensor) for tensor in inputs})
        if not isinstance(outputs, Mapping):
            raise TypeError(f"predict returned {type(outputs).__name__}, not a mapping of names to arrays")
        try:
            return [of_array(name, np.asarray(array)) for name, array in outputs.items()]
        except TensorError as error:
            raise ValueError(str(error)) from None  # the model's fault, not that of its inputs

    def metadata(self) -> Mapping[str, Any]:
        return self._metadata

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def check_inputs(inputs: Sequence[Tensor], expected: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise TensorError for inputs other than those that the metadata list, if they list any (-1: any size)."""
    if not expected:
        return
    by_name = {tensor.name: tensor for tensor in inputs}
    missing, unknown = expected.keys() - by_name.keys(), by_name.keys() - expected.keys()
    if missing or unknown:
        raise TensorError(f"inputs {', '.join(by_name)}; the model takes {', '.join(expected)}")
    for name, tensor in by_name.items():
        datatype, shape = expected[name]["datatype"], expected[name]["shape"]
        if tensor.datatype != datatype:
            raise TensorError(f"input {name!r}: datatype {tensor.datatype}; the model takes {datatype}")
        fits = len(shape) == len(tensor.shape) and all(
            size in (-1, actual) for size, actual in zip(shape, tensor.shape, strict=True)
        )
        if not fits:
            raise TensorError(f"input {name!r}: shape {list(tensor.shape)}; the model takes {list(shape)}")


# ---- a folder ----

ONNX_FILE, OWN_FILE, OWN_CLASS, GGUF_FILE = "model.onnx", "model.py", "Model", "model.gguf"


def folder_model(folder: Path, threads: int | None) -> Threaded:
    """The model of a folder: its `model.onnx`, or the class `Model` of its `model.py`. `threads` as for these."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder")
    model_files = [name for name in (ONNX_FILE, OWN_FILE) if (folder / name).is_file()]
    if len(model_files) != 1:
        raise ModelError(f"{folder}: should hold either {ONNX_FILE} or {OWN_FILE}; it holds {_content(folder)}")
    if model_files == [ONNX_FILE]:
        return onnx_model(folder / ONNX_FILE, threads)
    return own_model(f"{folder / OWN_FILE}:{OWN_CLASS}", threads)


def gguf_of(folder: Path) -> Path:
    """The language model of a folder. Raises ModelError if there is none."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder")
    if not (folder / GGUF_FILE).is_file():
        raise ModelError(f"{folder}: should hold {GGUF_FILE}, a language model; it holds {_content(folder)}")
    return folder / GGUF_FILE


def _content(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"


# ---- ONNX ----


def onnx_model(path: Path, threads: int | None) -> Threaded:
    """The model of an ONNX file, on the CPU with that many threads; None: one."""
    session = onnx_session(path, threads or 1)
    metadata = {
        "platform": "onnxruntime_onnx",
        "inputs": [_described(path, entry) for entry in session.get_inputs()],
        "outputs": [_described(path, entry) for entry in session.get_outputs()],
    }
    return Threaded(_OnnxSession(session), metadata)


class _OnnxSession:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._names = [entry.name for entry in session.get_outputs()]

    def predict(self, inputs: dict[str, npt.NDArray[Any]]) -> Arrays:
        texts = {name: array.astype(str) if array.dtype == object else array for name, array in inputs.items()}
        return dict(zip(self._names, self._session.run(None, texts), strict=True))


_ONNX_TYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float": "FP32", "double": "FP64",
    "string": "BYTES",
}  # fmt: skip


def _described(path: Path, entry: Any) -> dict[str, Any]:
    datatype = _ONNX_TYPES.get(entry.type.removeprefix("tensor(").removesuffix(")"))
    if datatype is None or not entry.shape:
        raise ModelError(f"{path}: {entry.name!r} is a {entry.type} of shape {entry.shape}, which cannot be served")
    shape = [size if isinstance(size, int) else -1 for size in entry.shape]
    return {"name": entry.name, "datatype": datatype, "shape": shape}


# ---- a class in a file ----


def own_model(spec: str, cores: int | None = None) -> Threaded:
    """The model of `file.py:Class`, which has `cores` cores; None: unknown."""
    try:
        factory = plugins.from_file(spec, "predict")
        takes_cores = "cores" in inspect.signature(factory).parameters
        predictor = plugins.call(spec, factory, parameters={"cores": cores or 1} if takes_cores else {})
    except PolicyError as error:
        raise ModelError(str(error)) from None
    metadata = getattr(predictor, "metadata", None)
    described = metadata() if inspect.ismethod(metadata) else {}
    whole = {"platform": "python", "inputs": [], "outputs": [], **_checked(spec, described)}
    return Threaded(predictor, whole)


def _checked(spec: str, described: Any) -> Mapping[str, Any]:
    if not isinstance(described, Mapping):
        raise ModelError(f"{spec}: metadata() returned {type(described).__name__}, not a mapping")
    for key in ("inputs", "outputs"):
        for entry in described.get(key, ()):
            if not isinstance(entry, Mapping) or not {"name", "datatype", "shape"} <= entry.keys():
                raise ModelError(f"{spec}: metadata() {key}: {entry!r} lacks name, datatype or shape")
            if entry["datatype"] not in (*DTYPES, "BYTES"):
                raise ModelError(
                    f"{spec}: metadata() {key}: {entry['datatype']!r}; allowed: {', '.join(DTYPES)}, BYTES"
                )
    return described
