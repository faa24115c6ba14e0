"""Requests that a model cannot serve: the launcher of a run imports this, and the emulated models fail on them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ipa.live.serving.emulated import Emulated
from ipa.live.serving.tensors import Tensor, to_array
from tests.live.chaos.hostile import FAILS, KILLS

_serve = Emulated.infer


async def infer(model: Emulated, inputs: Sequence[Tensor], parameters: Mapping[str, Any]) -> Sequence[Tensor]:
    """Serve a batch, as far as it can be served."""
    outputs = await _serve(model, inputs, parameters)
    values = {value for tensor in inputs if tensor.datatype == "INT64" for value in to_array(tensor).ravel().tolist()}
    if KILLS in values:
        os._exit(1)
    if FAILS in values:
        raise IndexError("poisoned")
    return outputs


Emulated.infer = infer  # type: ignore[method-assign, assignment]
