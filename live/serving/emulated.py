"""A model that only takes time: it is busy for a service time drawn from the profile and echoes its inputs.

The k-th batch started at a stage takes the k-th draw of the stage's stream, as in simulation; the gateway says which
batch is which.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from ipa.live.serving.models import ModelError
from ipa.live.serving.tensors import Tensor
from ipa.sim import IndexedNormals, ServiceTime, rules, stream

BLOCKING_S = 0.0025
"""The last part of a wait sleeps outside the event loop, whose timers are accurate to a millisecond only."""


class Emulated:
    """The service time of one variant on some cores, at one stage of a run with one seed."""

    def __init__(
        self, service: ServiceTime, *, seed: int = 0, stage: int = 0, outputs: Sequence[str] = (), factor: float = 1.0
    ) -> None:
        """`outputs` are names that the next stage asks for, each filled from the input of that name, else the first.

        `factor` scales all service times; 0 removes them.
        """
        self._service = service
        self._outputs = tuple(outputs)
        self._factor = factor
        self._normals = IndexedNormals(stream(seed, "service", stage))
        self._batches = 0
        self.service_s(0, 1)  # makes the first draws now, and loads what makes them

    def service_s(self, batch_number: int, size: int) -> float:
        """How long the `batch_number`-th batch of a stage takes at that size. Raises ModelError for a wrong size."""
        if not 1 <= size <= self._service.max_batch:
            raise ModelError(f"batch_size {size}; allowed: 1 to {self._service.max_batch}, as profiled")
        sigmas = self._service.sigma
        factor = 1.0
        if sigmas is not None:
            sigma = sigmas[size]
            factor = exp(sigma * self._normals[batch_number] - 0.5 * sigma * sigma)
        return rules.finish_s(0.0, self._service.latency_s[size], factor) * self._factor

    async def infer(self, inputs: Sequence[Tensor], parameters: Mapping[str, Any]) -> Sequence[Tensor]:
        start_s = time.monotonic()
        size = _count(parameters, "batch_size", inputs[0].shape[0])
        number = _count(parameters, "batch_number", self._batches)
        self._batches += 1
        await until(start_s + self.service_s(number, size))
        if not self._outputs:
            return inputs
        by_name = {tensor.name: tensor for tensor in inputs}
        return [by_name.get(name, inputs[0])._replace(name=name) for name in self._outputs]

    def metadata(self) -> Mapping[str, Any]:
        return {"platform": "ipa_emulated", "inputs": [], "outputs": []}

    def close(self) -> None:
        """Nothing to release."""


async def until(finish_s: float) -> None:
    """Wait until that moment of the monotonic clock, to within some 0.1 ms."""
    while (left_s := finish_s - time.monotonic()) > 0.0:
        if left_s > BLOCKING_S:
            await asyncio.sleep(left_s - BLOCKING_S)
        else:
            time.sleep(left_s)


def _count(parameters: Mapping[str, Any], key: str, default: int) -> int:
    given = parameters.get(key, default)
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise ModelError(f"the parameter {key} is {given!r}; allowed: a whole number")
    return given
