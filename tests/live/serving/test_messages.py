"""Large JSON is read and written in steps, with the same results as at once, and others come in between."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from ipa.live.serving import bodies, protocol, tensors
from ipa.live.serving.bodies import AT_ONCE_BYTES
from ipa.live.serving.protocol import InferRequest, InferResponse, ProtocolError, Steps, Wanted, at_once

VALUES = np.arange(50_000, dtype=np.float32)
PLAIN = InferRequest("7", {}, [], Wanted(None, False))


def in_steps(steps: Steps[Any]) -> tuple[Any, int]:
    """What the steps give, and how often somebody else had the event loop meanwhile."""

    async def story() -> tuple[Any, int]:
        others = 0

        async def other() -> None:
            nonlocal others
            while True:
                await asyncio.sleep(0)
                others += 1

        beside = asyncio.create_task(other())
        found = await bodies.in_steps(asyncio.Lock(), AT_ONCE_BYTES + 1, steps)
        beside.cancel()
        return found, others

    return asyncio.run(story())


def large(**changes: Any) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [50_000], "data": VALUES.tolist(), **changes}
    message = {"id": "7", "parameters": {"a": 1}, "inputs": [tensor], "outputs": [{"name": "y"}]}
    return json.dumps(message).encode()


@pytest.mark.parametrize("shape", [[50_000], [500, 100]])
@pytest.mark.parametrize("datatype", ["FP32", "INT64", "UINT16", "BOOL"])
def test_a_large_request_is_read_as_a_small_one_is(datatype: str, shape: list[int]) -> None:
    """About 550 kB: more than ten pieces of 32 KiB."""
    values = VALUES.astype(tensors.DTYPES[datatype]).reshape(shape)
    body = large(datatype=datatype, shape=shape, data=values.tolist())
    found, others = in_steps(protocol.reading_request(body, None))
    assert found == at_once(protocol.reading_request(body, None))
    assert found.inputs == [tensors.of_array("x", values)]
    assert others >= 5


def test_what_breaks_the_protocol_is_refused_in_the_same_words() -> None:
    with pytest.raises(ProtocolError, match=r"input 'x': 50000 elements of data; the shape \[2\] has 2") as refused:
        in_steps(protocol.reading_request(large(shape=[2]), None))
    assert refused.value.status == 400


def test_a_large_answer_is_read_and_written_as_a_small_one_is() -> None:
    outputs = [tensors.of_array("y", VALUES)]
    written, others = in_steps(protocol.writing_response("m", PLAIN, InferResponse(outputs)))
    assert others >= 2
    assert written == at_once(protocol.writing_response("m", PLAIN, InferResponse(outputs)))
    read, _ = in_steps(protocol.reading_response(written.data, None))
    assert read.outputs == outputs


def test_an_answer_that_is_too_large_as_json_can_still_be_had_as_binary_data() -> None:
    outputs = [tensors.of_array("y", VALUES)]
    with pytest.raises(ProtocolError, match=r"the outputs are too large for JSON; allowed: 200000 bytes") as refused:
        in_steps(protocol.writing_response("m", PLAIN, InferResponse(outputs), 200_000))
    assert refused.value.status == 413
    binary = PLAIN._replace(wanted=Wanted({"y": True}, False))
    answer, _ = in_steps(protocol.writing_response("m", binary, InferResponse(outputs), 200_000))
    assert answer.data.endswith(VALUES.tobytes())


def test_of_large_messages_one_step_is_made_in_a_pass_and_one_that_takes_too_long_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    def steps(name: str) -> Steps[str]:
        for _ in range(3):
            told.append(name)
            yield
        return name

    async def passes() -> None:
        while True:
            told.append(".")
            await asyncio.sleep(0)

    async def story() -> None:
        one_step, large = asyncio.Lock(), AT_ONCE_BYTES + 1
        beside = asyncio.create_task(passes())
        assert await asyncio.gather(*[bodies.in_steps(one_step, large, steps(name)) for name in "abc"]) == [
            "a",
            "b",
            "c",
        ]
        beside.cancel()
        text = "".join(told)
        assert max(map(len, text.split("."))) == 1
        assert text.replace(".", "") == "abcabcabc"
        monkeypatch.setattr(bodies, "STEPS_S", 0.0)
        with pytest.raises(ProtocolError, match="large JSON took more than 0 s; send binary data") as refused:
            await bodies.in_steps(one_step, large, steps("c"))
        assert refused.value.status == 503
        assert await bodies.in_steps(one_step, AT_ONCE_BYTES, steps("d")) == "d"

    asyncio.run(story())
