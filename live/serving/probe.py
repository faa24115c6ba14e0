"""A client of one model server, which asks it for batches as the gateway does: for whoever measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ipa.errors import Error
from ipa.live.serving.admission import MOST_MESSAGE_BYTES, Limits, default_inside_bytes
from ipa.live.serving.messages import Messages
from ipa.live.serving.replica_clients import ReplicaClients, ReplicaError
from ipa.live.serving.request import Batch, RoutedReplica
from ipa.live.serving.tensors import Tensor


class ProbeError(Error):
    """A model server did not serve what it was asked for; the text says what it answered."""


class Probe:
    """A client of one model of one server that speaks the Open Inference Protocol V2; to be made in an event loop."""

    def __init__(self, url: str, model: str, timeout_s: float) -> None:
        limits = replace(Limits.within(default_inside_bytes()), body_bytes=MOST_MESSAGE_BYTES)
        self._messages = Messages(limits)
        self._clients = ReplicaClients(timeout_s, self._messages)
        self._replica = RoutedReplica(0, model, 1, url.rstrip("/"), model)
        self._batches = 0

    async def is_ready(self) -> bool:
        """Whether the model says that it is ready."""
        return await self._clients.is_ready(self._replica)

    async def metadata(self) -> Mapping[str, Any]:
        """What the server says about the model; empty if it says nothing."""
        return await self._clients.metadata(self._replica)

    async def serve(self, inputs: Sequence[Tensor], size: int, cores: int) -> list[Tensor]:
        """The outputs of a batch of `size` requests. Raises ProbeError."""
        batch = Batch(self._batches, 0, self._replica, (), 0.0)
        self._batches += 1
        ours = {"batch_number": batch.number, "batch_size": size, "replica_cores": cores}
        try:
            return await self._clients.infer(batch, inputs, ours)
        except ReplicaError as error:
            raise ProbeError(f"{self._replica.url}: {self._replica.model} {error}") from None

    async def close(self) -> None:
        """Close its connections."""
        await self._clients.close()
        await self._messages.close()
