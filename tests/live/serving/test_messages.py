"""Large JSON is read and written by a process of its own, with the same results as at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from ipa.live.serving import messages, protocol, tensors
from ipa.live.serving.admission import Limits
from ipa.live.serving.bodies import Collected
from ipa.live.serving.messages import AT_ONCE_BYTES, Messages
from ipa.live.serving.protocol import InferRequest, ProtocolError, Wanted

VALUES = np.arange(50_000, dtype=np.float32)
PLAIN = InferRequest("7", {}, [], Wanted(None, False))


def with_messages(
    work: Callable[[Messages], Awaitable[Any]],
    limits: Limits = Limits(),  # noqa: B008
    run: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run,
) -> Any:
    async def story() -> Any:
        made = Messages(limits)
        try:
            return await work(made)
        finally:
            await made.close()

    return run(story())


def body_of(message: object) -> Collected:
    body = Collected(None, Limits())
    body.add(json.dumps(message).encode())
    return body


def large(**changes: Any) -> Collected:
    tensor = {"name": "x", "datatype": "FP32", "shape": [50_000], "data": VALUES.tolist(), **changes}
    return body_of({"id": "7", "parameters": {"a": 1}, "inputs": [tensor], "outputs": [{"name": "y"}]})


def test_a_large_request_is_read_as_a_small_one_is() -> None:
    body = large()
    assert body.built_bytes > AT_ONCE_BYTES
    found = with_messages(lambda made: made.read_request(body, None))
    assert found == protocol.read_request(body.data, None)
    assert found.inputs[0].data == VALUES.tobytes()


def test_what_breaks_the_protocol_is_refused_in_the_same_words() -> None:
    with pytest.raises(ProtocolError, match=r"input 'x': 50000 elements of data; the shape \[2\] has 2") as refused:
        with_messages(lambda made: made.read_request(large(shape=[2]), None))
    assert refused.value.status == 400


def test_a_large_answer_is_read_and_written_as_a_small_one_is() -> None:
    outputs = [tensors.of_array("y", VALUES)]

    async def there_and_back(made: Messages) -> Any:
        written = await made.write_response("m", PLAIN, outputs)
        body = Collected(None, Limits())
        body.add(written.data)
        return written, await made.read_response(body, None)

    written, read = with_messages(there_and_back)
    assert written == protocol.write_response("m", PLAIN, outputs)
    assert read == [tensors.Tensor("y", "FP32", (50_000,), VALUES.tobytes())]


def test_an_answer_that_is_too_large_as_json_can_still_be_had_as_binary_data() -> None:
    outputs = [tensors.of_array("y", VALUES)]
    limits = Limits(built_bytes=2 * AT_ONCE_BYTES)
    with pytest.raises(ProtocolError, match=r"the answer is too large for JSON: .* Ask for binary data") as refused:
        with_messages(lambda made: made.write_response("m", PLAIN, outputs), limits)
    assert refused.value.status == 413
    binary = PLAIN._replace(wanted=Wanted({"y": True}, False))
    answer = with_messages(lambda made: made.write_response("m", binary, outputs), limits)
    assert answer.data.endswith(VALUES.tobytes())


@pytest.mark.parametrize("loop", [asyncio, pytest.importorskip("uvloop")])
def test_a_process_that_was_killed_is_replaced(loop: Any) -> None:
    """At rest, nobody notices; on uvloop, as in the gateway, its pipes are closed. At work, one message is lost."""

    async def kill(made: Messages) -> Any:
        await made.read_request(large(), None)
        process = made._process
        assert process is not None
        process.kill()
        await process.wait()
        assert (await made.read_request(large(), None)).id == "7"
        working = asyncio.create_task(made.read_request(large(), None))
        while not made._turn.locked():
            await asyncio.sleep(0)
        assert made._process is not None
        made._process.kill()
        with pytest.raises(ProtocolError, match="the process for large JSON ended") as refused:
            await working
        assert refused.value.status == 503
        return await made.read_request(large(), None)

    assert with_messages(kill, run=loop.run).id == "7"


def test_a_message_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "WORK_S", 0.0)

    async def wait(made: Messages) -> Any:
        with pytest.raises(ProtocolError, match="large JSON waited for more than 0 s") as refused:
            await made.read_request(large(), None)
        assert made._process is None
        return refused.value.status

    assert with_messages(wait) == 503
