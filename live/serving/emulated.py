"""An emulated model: it is busy for a service time drawn from the profile and echoes its inputs.

The k-th batch started at a stage takes the k-th draw of the stage's stream, as in simulation; the gateway
sends the batch's number and the replica's cores.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

import numpy as np

from ipa.live.serving.models import ModelError
from ipa.live.serving.protocol import EMULATED
from ipa.live.serving.tensors import Tensor, cut, of_array
from ipa.sim import IndexedNormals, ServiceTime, rules, stream

BLOCKING_S = 0.0025
"""The last part of a wait sleeps outside the event loop, whose timers are accurate to a millisecond only."""


class Emulated:
    """The service time of one variant on some cores, at one stage of a run with one seed."""

    def __init__(
        self,
        service: ServiceTime,
        *,
        seed: int = 0,
        stage: int = 0,
        outputs: Sequence[str] = (),
        output_rows: Mapping[str, int | str] | None = None,
        factor: float = 1.0,
    ) -> None:
        """`outputs` are the names that the next stage takes, each filled from the input of that name, else the first.

        `output_rows` are the stage's: an output has that many equal rows for each row of the input, or one where
        another output counts them.

        `factor` scales all service times; 0 removes them.
        """
        self._service = service
        self._outputs = tuple(outputs)
        self._output_rows = output_rows or {}
        self._factor = factor
        self._normals = IndexedNormals(stream(seed, "service", stage))
        self._batches = 0
        self.service_s(0, 1)  # makes the first draws now, and loads what makes them

    def service_s(self, batch_number: int, size: int) -> float:
        """How long the `batch_number`-th batch takes at that size. Raises ModelError for a wrong size."""
        service = self._service
        if not 1 <= size <= service.max_batch:
            raise ModelError(f"batch_size {size}; allowed: 1 to {service.max_batch}, as profiled")
        sigmas = service.sigma
        factor = 1.0
        if sigmas is not None:
            sigma = sigmas[size]
            factor = exp(sigma * self._normals[batch_number] - 0.5 * sigma * sigma)
        return rules.finish_s(0.0, service.latency_s[size], factor) * self._factor

    async def infer(self, inputs: Sequence[Tensor], parameters: Mapping[str, Any]) -> Sequence[Tensor]:
        start_s = time.monotonic()
        size = _count(parameters, "batch_size", inputs[0].shape[0])
        number = _count(parameters, "batch_number", self._batches)
        self._batches += 1
        await until(start_s + self.service_s(number, size))
        by_name = {tensor.name: tensor for tensor in inputs}
        names = self._outputs or tuple(by_name)
        rows = {name: self._output_rows.get(name, 1) for name in names}
        counting = sorted({each for each in rows.values() if isinstance(each, str)})
        return [
            *(_repeated(by_name.get(name, inputs[0]), name, rows[name]) for name in names if name not in counting),
            *(of_array(name, np.ones(inputs[0].shape[0], dtype=np.int64)) for name in counting),
        ]

    def metadata(self) -> Mapping[str, Any]:
        return {"platform": EMULATED, "inputs": [], "outputs": []}

    def close(self) -> None:
        """Nothing to release."""


async def until(finish_s: float) -> None:
    """Wait until that moment of the monotonic clock, to within some 0.1 ms."""
    while (left_s := finish_s - time.monotonic()) > 0.0:
        if left_s > BLOCKING_S:
            await asyncio.sleep(left_s - BLOCKING_S)
        else:
            time.sleep(left_s)


def _repeated(tensor: Tensor, name: str, rows: int | str) -> Tensor:
    """The tensor under another name, each row so many times; once if they are counted, or may be any number."""
    named = tensor._replace(name=name)
    if not isinstance(rows, int) or rows <= 1:
        return named
    parts = cut(named, [1] * named.shape[0])
    data = b"".join(part.data * rows for part in parts)
    return named._replace(shape=(named.shape[0] * rows, *named.shape[1:]), data=data)


def _count(parameters: Mapping[str, Any], key: str, default: int) -> int:
    given = parameters.get(key, default)
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise ModelError(f"the parameter {key} is {given!r}; allowed: a whole number")
    return given
