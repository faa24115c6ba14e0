"""A language model of random weights in a GGUF file, which llama.cpp serves in a replica behind the gateway."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("xllamacpp", reason="needs the extra llm")
pytest.importorskip("gguf", reason="needs studies/examples/chat/requirements.txt")

from ipa.live.serving import llama_cpp
from ipa.live.serving.generation import Prompt, words
from ipa.live.serving.llama_cpp import LlamaCpp
from ipa.live.serving.models import ModelError
from ipa.profiles import LanguageModel, StepTime
from ipa.studies.examples.chat.networks import vocabulary, write_language_model
from tests.live.serving.serving_plane import (
    START_S,
    Process,
    ask,
    call,
    entry,
    get,
    plane,
    put,
    until,
    until_ready,
    wanted,
)

PIPELINE = """
schema_version: 1
kind: pipeline
name: talk
description: Answers a question.
provenance: {made: {kind: assumed, why: its weights are random}}
stages:
  - name: answer
    task: answers
    kind: llm
    tokens: {input: {mean: 20, p99: 60}, output: {mean: 10, p99: 40}, from: made}
    variants:
      - name: random
        accuracy: {value: 0.5, from: made}
        step: {base_s: 0.01, per_token_s: 1.0e-4, per_cached_token_s: 0, from: made}
        sequences: 4
        kv_blocks: 64
        start_up_s: 1
"""
MODEL = LanguageModel(StepTime(0.01, 0.0001, 0.0), sequences=4, kv_blocks=64)
"""That of the pipeline: each of the four sequences has 256 tokens."""

Talk = tuple[Process, str, Process]
"""A gateway, the URL of its model, and its replica."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model.gguf"
    write_language_model(path, width=64, layers=1)
    return path


@pytest.fixture(scope="module")
def talk(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """The one replica serves the file."""
    folder = tmp_path_factory.mktemp("talk")
    path = folder / "talk.yaml"
    path.write_text(PIPELINE)
    with plane(folder) as up:
        served = ("--pipeline", str(path), "--stage", "answer", "--variant", "random")
        replica = up.server(*served, "--backend", "gguf", "--file", str(file), "--start-up", "0")
        gateway = up.gateway("--pipeline", str(path))
        until_ready(replica.url)
        put(gateway.urls["control_url"] + "/control/configuration", {"answer": wanted("random", 4)})
        put(gateway.urls["control_url"] + "/control/replicas", {"answer": [entry(0, replica.url, "random")]})
        yield gateway, gateway.url + "/v2/models/talk/infer", replica


def prompt(text: str, **parameters: Any) -> dict[str, Any]:
    return ask("question", "BYTES", [1], [text], parameters=parameters)


def test_a_text_is_answered_with_a_text_its_tokens_and_the_time_to_the_first(talk: Talk) -> None:
    gateway, url, _ = talk
    status, answer = call("POST", url, prompt(words(30), max_tokens=12, ignore_eos=True))
    assert status == 200, answer
    (text,) = answer["outputs"]
    assert (text["name"], text["datatype"], text["shape"]) == ("text", "BYTES", [1])
    assert set(text["data"][0].split()) <= {*vocabulary(512), "<unk>"}
    parameters = answer["parameters"]
    assert (parameters["input_tokens"], parameters["output_tokens"]) == (30, 12)
    visit = get(gateway.urls["control_url"] + "/control/records")["records"][-1]["stages"][0]
    assert (visit["input_tokens"], visit["output_tokens"]) == (30, 12)
    assert visit["start_s"] < visit["start_s"] + parameters["ttft_s"] < visit["finish_s"]


def test_a_replica_serves_as_many_at_once_as_it_has_sequences(talk: Talk) -> None:
    """Four texts of 200 tokens: each has begun before the first has ended. The replica stands still until all are
    sent."""
    gateway, url, replica = talk
    assert call("POST", url, prompt("hello", max_tokens=2))[0] == 200  # the gateway knows the replica by now
    seen = len(get(gateway.urls["control_url"] + "/control/records")["records"])
    body = prompt(words(20), max_tokens=200, ignore_eos=True)
    clients = [threading.Thread(target=call, args=("POST", url, body)) for _ in range(4)]
    replica.popen.send_signal(signal.SIGSTOP)
    try:
        for client in clients:
            client.start()
        observation = gateway.urls["control_url"] + "/control/observation"
        until(lambda: get(observation)["stages"]["answer"]["in_service"] == 4, "all are sent")
    finally:
        replica.popen.send_signal(signal.SIGCONT)
    for client in clients:
        client.join()
    records = get(gateway.urls["control_url"] + "/control/records")["records"][seen:]
    visits = [record["stages"][0] for record in records]
    assert [visit["output_tokens"] for visit in visits] == [200] * 4
    assert max(visit["first_token_s"] for visit in visits) < min(visit["finish_s"] for visit in visits)


@pytest.mark.parametrize(("prompt_words", "output_tokens"), [(300, 10), (200, 57)])
def test_what_has_no_room_is_refused(talk: Talk, prompt_words: int, output_tokens: int) -> None:
    status, answer = call("POST", talk[1], prompt(words(prompt_words), max_tokens=output_tokens, ignore_eos=True))
    assert status == 400, answer
    assert answer["error"].endswith(
        f"{prompt_words} input and {output_tokens} output tokens have no room; allowed: 256 together"
    )
    assert call("POST", talk[1], prompt(words(200), max_tokens=56, ignore_eos=True))[0] == 200


@pytest.mark.parametrize("content", ["cut", "head", "text", "nothing"])
def test_a_file_that_is_cut_or_no_gguf_is_refused_in_one_line(tmp_path: Path, file: Path, content: str) -> None:
    whole = file.read_bytes()
    wrong = {"cut": whole[: len(whole) // 2], "head": whole[:100], "text": b"no language model", "nothing": b""}
    (tmp_path / "wrong.gguf").write_bytes(wrong[content])
    (tmp_path / "talk.yaml").write_text(PIPELINE)
    served = ("--pipeline", str(tmp_path / "talk.yaml"), "--stage", "answer", "--variant", "random")
    with plane(tmp_path) as up, pytest.raises(RuntimeError) as ended:
        up.server(*served, "--backend", "gguf", "--file", str(tmp_path / "wrong.gguf"))
    (problem,) = [line for line in str(ended.value).splitlines() if "Error:" in line]
    assert problem.endswith("wrong.gguf: llama.cpp cannot load it; allowed: a language model as GGUF")
    assert "Traceback" not in str(ended.value)


def test_a_share_of_the_blocks_is_rounded_up_to_whole_256_tokens(file: Path) -> None:
    """40 blocks of 16 tokens for 4 sequences are 160 each; what is refused beyond 256 is told so."""
    model = LlamaCpp(file, replace(MODEL, kv_blocks=40))
    assert asyncio.run(model.generate(Prompt(words(200), 56, True))).generated.output_tokens == 56
    with pytest.raises(ModelError, match="200 input and 57 output tokens have no room; allowed: 256 together"):
        asyncio.run(model.generate(Prompt(words(200), 57, True)))


@pytest.mark.long
def test_a_server_that_only_checks_its_file_ends(tmp_path: Path, file: Path) -> None:
    """Three, as llama.cpp's own loop begins before or after the end by chance."""
    (tmp_path / "talk.yaml").write_text(PIPELINE)
    served = ("--pipeline", str(tmp_path / "talk.yaml"), "--stage", "answer", "--variant", "random")
    command = [sys.executable, "-m", "ipa.live.serving.server", *served, "--backend", "gguf", "--file", str(file)]
    for _ in range(3):
        subprocess.run([*command, "--check"], check=True, timeout=START_S)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match=r"^none\.gguf: no such file$"):
        LlamaCpp(Path("none.gguf"), MODEL)


def test_one_that_does_not_stop_once_nobody_waits_is_no_longer_live(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if llama.cpp hung in a step, which lasts until the test lets it go on."""
    model = LlamaCpp(file, MODEL)
    goes_on = threading.Event()
    monkeypatch.setattr(llama_cpp, "STOPS_WITHIN_S", 0.0)
    monkeypatch.setattr(model, "_generate", lambda *_: goes_on.wait())

    async def story() -> list[bool]:
        assert model.is_live
        text = asyncio.ensure_future(model.generate(Prompt(words(3), 5)))
        await asyncio.sleep(0)
        seen: list[bool] = [model.is_live]
        text.cancel()
        await asyncio.wait((text,))
        seen.append(model.is_live)
        goes_on.set()
        while not model.is_live:
            await asyncio.sleep(0.001)
        return seen

    assert asyncio.run(story()) == [True, False]
    model.close()
