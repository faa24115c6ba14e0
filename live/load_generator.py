"""An open-loop load generator: `python -m ipa.live.load_generator JOB RESULT`, or `generate` in an idle process.

Requests are sent at their scheduled times, whatever became of earlier ones: a slow server gets no relief, and a latency
counts from the scheduled time (no coordinated omission). The generator's own lateness is measured for each request.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ipa.live.errors import LiveError
from ipa.live.samples import SampleRequest, file_request, holds_arrays, read_samples, rows_of, tensors_request
from ipa.live.sent import COMPLETED_STATUS, UNANSWERED, UNREACHABLE, Sent
from ipa.live.server_answers import (
    IDENTITY,
    MOST_KEPT_BYTES,
    authorization,
    metadata_of,
    received,
    said,
    unhealthy,
    why_unreached,
    zeros_for,
)
from ipa.live.stopping import heeded

if TYPE_CHECKING:
    from ipa.sim import FloatArray, IntArray

CONNECT_S = 5.0

MOST_REASONS = 100


@dataclass(frozen=True)
class LoadJob:
    """What to send, and where. `body` is a V2 inference request without an id, to which each request's is added: its
    number; None: zeros, by the model's metadata.

    `first`: the number of the first request; `patience_s`: how long answers are awaited after the last scheduled time.
    `token_file` holds the client's token; empty: none. `samples`: a folder of files, or files of arrays, sent in turn
    instead of `body` (see `live.samples`); request k is sample k modulo their number. `language_stages`: the pipeline's
    stages of language models. `origin_s`: the moment of
    `time.monotonic()` that is 0 on the schedule. `prefix` precedes the number in each id; if it cannot be guessed, no
    other request has it.
    """

    url: str
    model: str
    origin_s: float
    patience_s: float
    body: dict[str, Any] | None
    first: int = 0
    token_file: str = ""
    samples: str = ""
    prefix: str = ""
    language_stages: Sequence[str] = ()

    @property
    def target(self) -> str:
        return f"{self.url.rstrip('/')}/v2/models/{self.model}/infer"

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request. Raises LiveError if the token cannot be read."""
        return {"Content-Type": "application/json", **IDENTITY, **authorization(self.token_file)}


Answers = dict[int, str]
"""The answers to requests with samples, by number."""

Tokens = Mapping[str, tuple["IntArray", "IntArray"]]
"""Stage of language models -> the input and output tokens of each request's items there, in order of coming, shape
(items, requests) each; 0 where a request has no such item."""
NO_TOKENS: Tokens = MappingProxyType({})
_TOKENS_OF = "tokens of "


async def generate(
    job: LoadJob,
    scheduled_s: FloatArray,
    stop: asyncio.Event | None = None,
    answers: Answers | None = None,
    tokens: Tokens = NO_TOKENS,
) -> Sent:
    """Send a request at each of the scheduled moments, shape (requests,), sorted, and wait for the answers.

    `stop` ends it early: nothing more is sent or waited for. `answers` is filled with the answers to samples. Raises
    LiveError for samples that the model does not take.
    """
    import aiohttp

    count = len(scheduled_s)
    sent_s, end_s = np.full(count, np.nan), np.full(count, np.nan)
    status, may_retry = np.full(count, UNANSWERED, dtype=np.int64), np.zeros(count, dtype=bool)
    reasons, reason = _Reasons(), np.full(count, "no answer by the end", dtype=object)
    written = await _writer(job, tokens)

    async def send_one(index: int) -> None:
        body, headers = written(job.first + index)
        sent_s[index] = time.monotonic() - job.origin_s
        try:
            async with session.post(job.target, data=body, headers=headers, allow_redirects=False) as response:
                is_completed = response.status == COMPLETED_STATUS
                is_text = answers is not None and bool(job.samples) and is_completed
                answer = await received(response, MOST_KEPT_BYTES if is_text or not is_completed else 0)
                if answers is not None and is_text:
                    answers[job.first + index] = _text(answer, response.headers)
                status[index], may_retry[index] = response.status, "Retry-After" in response.headers
                reason[index] = "" if is_completed else reasons.known(f"HTTP status {response.status}: {said(answer)}")
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
                return
            status[index], reason[index] = UNREACHABLE, reasons.known(f"no connection: {why_unreached(error)}")
        end_s[index] = time.monotonic() - job.origin_s

    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0)
    longest_s = float(scheduled_s[-1] - scheduled_s[0]) if count else 0.0
    timeout = aiohttp.ClientTimeout(total=longest_s + job.patience_s, sock_connect=CONNECT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        # A first connection, so that the first request need not wait for it; requests themselves tell what is wrong.
        await unhealthy(session, f"{job.url.rstrip('/')}/v2/health/live", within_s=0.2)
        await _on_schedule(job, scheduled_s, stop or asyncio.Event(), send_one)
    sent = Sent(np.arange(count) + job.first, scheduled_s, sent_s, end_s, status, may_retry, reason)
    return sent.only(np.isfinite(sent_s))


async def _on_schedule(
    job: LoadJob, scheduled_s: FloatArray, stop: asyncio.Event, send: Callable[[int], Coroutine[Any, Any, None]]
) -> None:
    """Send each request, by its place in the schedule, when it is due, and wait for the answers."""
    tasks: set[asyncio.Task[None]] = set()
    for index, moment_s in enumerate(scheduled_s.tolist()):
        wait_s = job.origin_s + moment_s - time.monotonic()
        if wait_s > 0.0:
            await _wait(stop, wait_s)
        elif index % 64 == 0:
            await asyncio.sleep(0)  # behind the schedule, answers are still read
        if stop.is_set():
            break
        task = asyncio.create_task(send(index))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await _answers(tasks, stop, job.patience_s)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Reasons:
    """Why requests failed: texts that differ only in numbers are one reason, and the number of reasons is bounded."""

    def __init__(self) -> None:
        self._by_form: dict[str, str] = {}

    def known(self, text: str) -> str:
        """The first text of this form."""
        form = re.sub(r"\d+", "0", text)
        if form not in self._by_form and len(self._by_form) >= MOST_REASONS:
            return "other reasons"
        return self._by_form.setdefault(form, text)


async def _writer(job: LoadJob, tokens: Tokens) -> Callable[[int], tuple[bytes, Mapping[str, str]]]:
    """The function that makes the body and headers of a request from its number."""
    samples = await _sample_requests(job) if job.samples else []
    if tokens and not samples:
        return await _text_writer(job, tokens)
    body = await zeros_for(job.url, job.model, job.token_file) if job.body is None and not samples else job.body
    head, tail = b'{"id":"' + job.prefix.encode(), b'",' + json.dumps(body).encode()[1:]
    headers = job.headers

    def of_body(number: int) -> tuple[bytes, Mapping[str, str]]:
        return b"%s%d%s" % (head, number, tail), headers

    def of_sample(number: int) -> tuple[bytes, Mapping[str, str]]:
        data, own = samples[number % len(samples)].written(f"{job.prefix}{number}")
        return data, {**headers, **own}

    return of_sample if samples else of_body


async def _text_writer(job: LoadJob, tokens: Tokens) -> Callable[[int], tuple[bytes, Mapping[str, str]]]:
    """The function that makes a request of a text with as many words as its prompt has tokens, at the first language
    model, and with the tokens at each as parameters; what `body` has holds. A model that takes no text gets zeros."""
    from ipa.live.serving import words

    inputs = (await metadata_of(job.url, job.model, job.token_file)).get("inputs") or []
    name = next((tensor.get("name") for tensor in inputs if tensor.get("datatype") == "BYTES"), "text")
    takes_text = not inputs or any(tensor.get("datatype") == "BYTES" for tensor in inputs)
    zeros = {} if takes_text else await zeros_for(job.url, job.model, job.token_file)
    template = {**zeros, **(job.body or {})}
    prompts, _ = next(iter(tokens.values()))
    headers = job.headers

    def of_text(number: int) -> tuple[bytes, Mapping[str, str]]:
        place = number - job.first
        parameters: dict[str, Any] = {}
        for stage, (input_tokens, output_tokens) in tokens.items():
            parameters[f"{stage}.ignore_eos"] = True
            for item in range(np.count_nonzero(input_tokens[:, place])):
                after = f".{item}" if item else ""
                parameters[f"{stage}.input_tokens{after}"] = int(input_tokens[item, place])
                parameters[f"{stage}.max_tokens{after}"] = int(output_tokens[item, place])
        text = {"name": name, "datatype": "BYTES", "shape": [1, 1], "data": [words(int(prompts[0, place]))]}
        body = {"inputs": [text], **template, "parameters": {**parameters, **template.get("parameters", {})}}
        return json.dumps({"id": f"{job.prefix}{number}", **body}).encode(), headers

    return of_text


async def _sample_requests(job: LoadJob) -> list[SampleRequest]:
    """The samples as requests: arrays, or files to a model that takes one file. Raises LiveError for another model."""
    if holds_arrays(Path(job.samples)):
        return [tensors_request(tensors) for tensors in rows_of(Path(job.samples))]
    name = await _file_input(job, job.samples)
    return [file_request(name, sample.path.read_bytes()) for sample in read_samples(Path(job.samples))]


async def _file_input(job: LoadJob, source: str) -> str:
    """The name of a model's only input, of BYTES. Raises LiveError, naming the `source`, if it takes other inputs."""
    inputs = (await metadata_of(job.url, job.model, job.token_file)).get("inputs") or []
    if [tensor.get("datatype") for tensor in inputs] != ["BYTES"]:
        inputs_text = (
            ", ".join(f"{tensor.get('name')} ({tensor.get('datatype')})" for tensor in inputs) or "unknown inputs"
        )
        raise LiveError(f"{source}: files go to a model with one input of BYTES; {job.model} takes {inputs_text}")
    return str(inputs[0]["name"])


def _text(answer: bytes, headers: Mapping[str, str]) -> str:
    """The text of an answer's first output; empty if that is not text."""
    from ipa.live.serving import HEADER, ProtocolError, at_once, reading_response, to_array

    try:
        outputs = at_once(reading_response(answer, headers.get(HEADER))).outputs
    except ProtocolError:
        return ""
    if not outputs or outputs[0].datatype != "BYTES":
        return ""
    return "\n".join(element.decode(errors="replace") for element in to_array(outputs[0]).ravel().tolist())


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    """Sleep; a long sleep ends once `stop` is set."""
    if seconds < 0.5:
        await asyncio.sleep(seconds)
        return
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


async def _answers(tasks: set[asyncio.Task[None]], stop: asyncio.Event, patience_s: float) -> None:
    stopped = asyncio.create_task(stop.wait())
    until_s = time.monotonic() + patience_s
    while tasks and not stopped.done() and (left_s := until_s - time.monotonic()) > 0.0:
        await asyncio.wait({*tasks, stopped}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()


def send_job(job: LoadJob, scheduled_s: FloatArray, answers: Answers | None = None, tokens: Tokens = NO_TOKENS) -> Sent:
    """`generate` in this process, until a signal of `heeded` ends it early."""

    async def until_told() -> Sent:
        stop = asyncio.Event()
        for number in heeded():
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        return await generate(job, scheduled_s, stop, answers, tokens)

    gc.freeze()
    return asyncio.run(until_told())


def write_job(job: LoadJob, scheduled_s: FloatArray, path: Path, tokens: Tokens = NO_TOKENS) -> None:
    """`tokens`: those of the job's `language_stages`."""
    of_stages: dict[str, Any] = {
        _TOKENS_OF + stage: np.array(tokens[stage], dtype=np.int64) for stage in job.language_stages
    }
    plain = np.frombuffer(json.dumps(job.__dict__).encode(), dtype=np.uint8)
    np.savez(path, scheduled_s=scheduled_s, job=plain, **of_stages)


def main(arguments: Sequence[str]) -> None:
    """Do the job in the file JOB and write what was sent to RESULT."""
    path, result = arguments
    with np.load(path) as stored:
        job, scheduled_s = LoadJob(**json.loads(stored["job"].tobytes())), stored["scheduled_s"]
        tokens = {stage: stored[_TOKENS_OF + stage] for stage in job.language_stages}
    answers: Answers = {}
    sent = send_job(job, scheduled_s, answers, tokens)
    answers_file(Path(result)).write_text(json.dumps(answers), encoding="utf-8")
    sent.write(Path(result))


def answers_file(result: Path) -> Path:
    return result.with_suffix(".answers.json")


def read_answers(result: Path) -> Answers:
    """The answers to what was sent; empty if its process ended before it had written them and then RESULT."""
    if not result.is_file():
        return {}
    return {int(number): text for number, text in json.loads(answers_file(result).read_bytes()).items()}


if __name__ == "__main__":
    main(sys.argv[1:])
