"""A runtime for MLServer: it doubles its inputs, and says how many rows came at once."""

from __future__ import annotations

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Doubling(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        values = NumpyCodec.decode_input(payload.inputs[0])
        rows = np.full((len(values), 1), len(values), dtype=np.int64)
        outputs = [NumpyCodec.encode_output("doubled", 2 * values), NumpyCodec.encode_output("rows", rows)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
