"""Stages of language models: the gateway sends each request by itself, and replicas have several at once."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from ipa.live import load_generator
from ipa.live.load_generator import LoadJob, send_job
from ipa.live.sent import Sent
from ipa.live.serving import emulated_steps
from ipa.live.serving.emulated_steps import EmulatedSteps
from ipa.live.serving.generation import Prompt, Text, words
from ipa.live.serving.models import ModelError
from ipa.profiles import LanguageModel, StepTime
from ipa.sim import FloatArray
from ipa.studies import Scenario, prepare, simulate
from ipa.studies.runs.live_runs.load import drawn_tokens
from ipa.studies.scenario import arrivals_of
from tests.live.serving.serving_plane import (
    Plane,
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

STEP = StepTime(0.010, 0.0001, 0.0)
PIPELINE = """
schema_version: 1
kind: pipeline
name: talk
description: Answers a question.
provenance: {made: {kind: measured, source: made up}}
stages:
  - name: answer
    task: answers
    kind: llm
    tokens: {input: {mean: 20, p99: 60}, output: {mean: 10, p99: 40}, from: made}
    variants:
      - name: small
        accuracy: {value: 0.5, from: made}
        cores: 1
        step: {base_s: 0.010, per_token_s: 1.0e-4, per_cached_token_s: 0, from: made}
        sequences: 4
        kv_blocks: 1024
        start_up_s: 1
"""


# ---- emulated steps ----


def model(sequences: int = 4, kv_blocks: int = 64) -> LanguageModel:
    return LanguageModel(STEP, sequences, kv_blocks)


def generated(emulated: EmulatedSteps, *prompts: Prompt) -> list[Text]:
    async def story() -> list[Text]:
        return await asyncio.gather(*map(emulated.generate, prompts))

    return asyncio.run(story())


def test_the_first_token_is_there_when_the_step_that_reads_the_prompt_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 tokens of a prompt take .010 + 100 x .0001 s; a second prompt of 50, which has come at the same time, is read
    by the step after."""
    looks, begun_s = count(), time.monotonic()

    def monotonic() -> float:
        return begun_s if next(looks) < 3 else time.monotonic()  # the first step begins meanwhile

    monkeypatch.setattr(emulated_steps, "time", SimpleNamespace(monotonic=monotonic))
    first, second = generated(EmulatedSteps(model()), Prompt(words(100), 3), Prompt(words(50), 3))
    assert first.generated.ttft_s == pytest.approx(0.020)
    assert second.generated.ttft_s - first.generated.ttft_s == pytest.approx(0.010 + 51 * 0.0001)
    assert (first.text, first.generated.input_tokens, first.generated.output_tokens) == ("the of and", 100, 3)


def test_a_prompt_counts_its_words_or_what_is_said_of_it() -> None:
    (text,) = generated(EmulatedSteps(model()), Prompt("one", 1, input_tokens=200))
    assert text.generated.input_tokens == 200
    assert text.generated.ttft_s == pytest.approx(0.030)


def test_a_request_without_room_in_all_blocks_is_refused() -> None:
    """The last token of all is never computed: 64 blocks of 16 have room for 1,000 and 25."""
    with pytest.raises(ModelError, match="1000 input and 26 output tokens have no room in its 64 blocks of 16 tokens"):
        generated(EmulatedSteps(model()), Prompt(words(1000), 26))
    assert generated(EmulatedSteps(LanguageModel(StepTime(0.0, 0.0, 0.0), 4, 64)), Prompt(words(1000), 25))


def test_one_that_is_broken_off_gives_its_blocks_and_its_place_back() -> None:
    """Both need more than half of the blocks, and there is one sequence."""

    async def story() -> Text:
        emulated = EmulatedSteps(LanguageModel(StepTime(0.001, 0.0, 0.0), sequences=1, kv_blocks=64))
        gone = asyncio.ensure_future(emulated.generate(Prompt(words(800), 100)))
        waits = asyncio.ensure_future(emulated.generate(Prompt(words(800), 2)))
        await asyncio.sleep(0.005)
        gone.cancel()
        return await waits

    assert asyncio.run(story()).generated.output_tokens == 2


# ---- a gateway and its replicas ----


Talk = tuple[Plane, Process, str]
"""Two emulated replicas of up to two requests each, the gateway, and the URL of its model."""


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    folder = tmp_path_factory.mktemp("talk")
    path = folder / "talk.yaml"
    path.write_text(PIPELINE)
    with plane(folder) as up:
        replicas = [up.emulated(str(path), "answer", "small") for _ in range(2)]
        gateway = up.gateway("--pipeline", str(path), "--sla", "600")  # nothing expires, however slow the machine is
        for replica in replicas:
            until_ready(replica.url)
        up.listed = {"answer": [entry(number, each.url, "small") for number, each in enumerate(replicas)]}
        put(gateway.urls["control_url"] + "/control/configuration", {"answer": wanted("small", 2, replicas=2)})
        put(gateway.urls["control_url"] + "/control/replicas", up.listed)
        yield up, gateway, gateway.url + "/v2/models/talk/infer"


def prompt(text: str, **parameters: Any) -> dict[str, Any]:
    return ask("question", "BYTES", [1], [text], parameters=parameters)


def test_a_text_is_answered_with_a_text_its_tokens_and_the_time_to_the_first(
    talk: Talk,
) -> None:
    _, gateway, url = talk
    status, answer = call("POST", url, prompt("how do you do", max_tokens=5))
    assert status == 200, answer
    assert answer["outputs"] == [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["the of and to in"]}]
    assert answer["parameters"].pop("ttft_s") == pytest.approx(0.0104)
    assert answer["parameters"] == {"input_tokens": 4, "output_tokens": 5}
    assert call("POST", url, prompt("how"))[1]["parameters"]["output_tokens"] == 10  # the mean of the stage's law
    first, _ = get(gateway.urls["control_url"] + "/control/records")["records"][-2:]
    (visit,) = first["stages"]
    assert (first["outcome"], visit["batch_size"]) == ("completed", 1)
    assert (visit["input_tokens"], visit["output_tokens"]) == (4, 5)
    assert visit["start_s"] < visit["first_token_s"] < visit["finish_s"]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"max_tokens": 0}, "the parameter max_tokens is 0; allowed: a whole number from 1 to 10000000"),
        ({"max_tokens": -3}, "the parameter max_tokens is -3; allowed: a whole number from 1 to 10000000"),
        ({"max_tokens": 2**60}, f"the parameter max_tokens is {2**60}; allowed: a whole number from 1 to 10000000"),
        ({"answer.max_tokens": 1.5}, "the parameter answer.max_tokens is 1.5; allowed: a whole number from 1 to"),
        ({"input_tokens": "7"}, "the parameter input_tokens is '7'; allowed: a whole number from 1 to"),
        ({"ignore_eos": 1}, "the parameter ignore_eos is 1; allowed: true or false"),
        ({"max_tokens": 10**6}, "3 input and 1000000 output tokens have no room in its 1024 blocks of 16 tokens"),
    ],
)
def test_wrong_parameters_are_refused(talk: Talk, parameters: Mapping[str, Any], problem: str) -> None:
    status, answer = call("POST", talk[2], prompt("how are you", **parameters))
    assert status == 400
    assert problem in answer["error"]
    assert "\n" not in answer["error"]


def test_anything_but_one_text_is_refused(talk: Talk) -> None:
    _, _, url = talk
    one_text = "a language model takes one text: one input of BYTES with one element"
    for body, problem in (
        (ask("x", "BYTES", [2], ["a", "b"]), f"inputs 'x', BYTES of shape [2]; {one_text}"),
        (ask("x", "INT64", [1], [3]), f"inputs 'x', INT64 of shape [1]; {one_text}"),
        (ask("x", "BYTES", [1], [" \n"]), "input 'x': the text is empty"),
    ):
        status, answer = call("POST", url, body)
        assert (status, problem in answer["error"]) == (400, True), answer
    head = {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}}]}
    text = json.dumps(head).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    status, answer = call("POST", url, text + b"\x02\x00\x00\x00\xff\xfe", headers)
    assert (status, "input 'x': its bytes are not UTF-8 text" in answer["error"]) == (400, True)


@contextmanager
def alone(talk: Talk) -> Iterator[tuple[Process, dict[str, Any]]]:
    """A replica that is the only one for the length of the block, with up to four requests; and its entry."""
    up, gateway, _ = talk
    replica = up.emulated(str(up.folder / "talk.yaml"), "answer", "small")
    until_ready(replica.url)
    listed = entry(len(up.processes), replica.url, "small")
    put(gateway.urls["control_url"] + "/control/configuration", {"answer": wanted("small", 4)})
    put(gateway.urls["control_url"] + "/control/replicas", {"answer": [listed]})
    yield replica, listed
    put(gateway.urls["control_url"] + "/control/configuration", {"answer": wanted("small", 2, replicas=2)})
    put(gateway.urls["control_url"] + "/control/replicas", up.listed)


def in_service(gateway: Process) -> int:
    number: int = get(gateway.urls["control_url"] + "/control/observation")["stages"]["answer"]["in_service"]
    return number


def test_a_client_that_goes_away_in_the_middle_leaves_its_place(talk: Talk) -> None:
    """Four texts of 15,000 tokens would take 150 s and all places; the replica stops when their clients have gone."""
    _, gateway, url = talk
    records = gateway.urls["control_url"] + "/control/records"
    records += f"?after={get(records)['next']}"
    address = urlsplit(url)
    clients = [http.client.HTTPConnection(address.hostname or "", address.port) for _ in range(4)]
    with alone(talk) as (replica, listed):
        for client in clients:
            client.request("POST", address.path, json.dumps(prompt("go on", max_tokens=15_000)))
        until(lambda: in_service(gateway) == 4, "all are served")
        for client in clients:
            client.close()
        assert call("POST", url, prompt("how", max_tokens=2))[0] == 200
        until(lambda: len(get(records)["records"]) == 5, "all that have gone are seen to have")
        assert sorted(each["outcome"] for each in get(records)["records"]) == ["completed", *["unfinished"] * 4]
        (state,) = put(gateway.urls["control_url"] + "/control/replicas", {"answer": [listed]})["answer"]
        assert (state["busy"], state["failures"], state["suspended"]) == (False, 0, False)
        assert replica.terminate() == 0  # it waits for what it has


def test_what_a_killed_replica_had_is_served_by_another(talk: Talk) -> None:
    """It stands still from when it is sent the texts."""
    up, gateway, url = talk
    records = gateway.urls["control_url"] + "/control/records"
    statuses: list[int] = []
    clients = [
        threading.Thread(target=lambda: statuses.append(call("POST", url, prompt("go on", max_tokens=3))[0]))
        for _ in range(4)
    ]
    with alone(talk) as (replica, listed):
        assert call("POST", url, prompt("how", max_tokens=1))[0] == 200  # the gateway knows the replica by now
        before = get(records)["next"]
        replica.popen.send_signal(signal.SIGSTOP)
        for client in clients:
            client.start()
        until(lambda: in_service(gateway) == 4, "it has all")
        put(gateway.urls["control_url"] + "/control/replicas", {"answer": [listed, *up.listed["answer"]]})
        replica.kill()
        for client in clients:
            client.join()
    assert statuses == [200] * 4
    visits = [each["stages"][0] for each in get(f"{records}?after={before}")["records"]]
    assert [visit["retried"] for visit in visits] == [True] * 4


PARTS = """
schema_version: 1
kind: pipeline
name: parts
description: Answers the parts of a question.
provenance: {made: {kind: measured, source: made up}}
accuracy: {combine: product}
stages:
  - name: part
    task: parts
    accuracy_metric: share
    sla: {pinned_s: 1, why: made up}
    variants:
      - name: small
        accuracy: {value: 0.5, from: made}
        figures:
          - {cores: 1, batch: 1, mean_s: 0.1, p99_s: 0.2, throughput_rps: 10, from: made}
          - {cores: 1, batch: 8, mean_s: 0.2, p99_s: 0.3, throughput_rps: 40, from: made}
""" + PIPELINE.partition("stages:\n")[2].replace(
    "    kind: llm\n", "    kind: llm\n    after: [{stage: part, items: 2, spread: 1, from: made}]\n"
)


@pytest.mark.long
def test_each_item_of_a_request_has_its_own_tokens_as_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question has 2 parts on average; questions with different tokens share the batches of another stage.

    How many parts it has is drawn by its place in the order of arrival, so each question is sent once the one before
    has arrived.
    """

    async def one_after_another(
        job: LoadJob, scheduled_s: FloatArray, stop: asyncio.Event, send: Callable[[int], Coroutine[Any, Any, None]]
    ) -> None:
        sending = []
        for index in range(len(scheduled_s)):
            sending.append(asyncio.create_task(send(index)))
            while (await asyncio.to_thread(get, f"{control}/observation"))["stages"]["part"]["arrivals"] <= index:
                await asyncio.sleep(0.001)
        await asyncio.gather(*sending)

    monkeypatch.setattr(load_generator, "_on_schedule", one_after_another)
    path = tmp_path / "parts.yaml"
    path.write_text(PARTS)
    values = {"trace": "constant:24", "window": [[0, 1]], "arrivals": "even", "seed": 4}
    scenario = Scenario(pipeline=str(path)).with_values(values)
    with plane(tmp_path) as up:
        replicas = {name: up.emulated(str(path), name, "small") for name in ("part", "answer")}
        gateway = up.gateway("--pipeline", str(path), "--seed", "4", "--sla", "600")
        for each in replicas.values():
            until_ready(each.url)
        control = gateway.urls["control_url"] + "/control"
        put(f"{control}/configuration", {"part": wanted("small", 8, 1.0), "answer": wanted("small", 4)})
        put(f"{control}/replicas", {name: [entry(0, each.url, "small")] for name, each in replicas.items()})
        sent = sent_to(gateway.url, scenario)
        records = get(f"{control}/records")["records"]
    assert set(sent.status) == {200}
    items = [(int(each["id"]), item) for each in records for item in each["stages"]]
    assert max(item["batch_size"] for _, item in items if item["stage"] == "part") > 1
    of_text = ("input_tokens", "output_tokens")
    live = sorted((number, *(item[key] for key in of_text)) for number, item in items if item["stage"] == "answer")
    table = simulate(scenario).tables["items"]
    simulated = table[table["stage"] == "answer"][["request", *of_text]].to_numpy().tolist()
    assert len(live) > len(records)
    assert live == sorted(map(tuple, simulated))


def sent_to(url: str, scenario: Scenario) -> Sent:
    """The load of a scenario, sent to a gateway."""
    prepared = prepare(scenario)
    arrivals_s = arrivals_of(scenario, prepared.trace)
    tokens = drawn_tokens(scenario, prepared.pipeline, prepared.trace, arrivals_s)
    job = LoadJob(url, prepared.pipeline.name, time.monotonic() + 0.2, 30.0, None, language_stages=tuple(tokens))
    return send_job(job, arrivals_s, tokens=tokens)


def test_a_load_sends_the_tokens_that_a_simulation_draws(talk: Talk) -> None:
    up, gateway, _ = talk
    records = gateway.urls["control_url"] + "/control/records"
    before = get(records)["next"]
    values = {"trace": "constant:20", "window": [[0, 1]], "seed": 3}
    scenario = Scenario(pipeline=str(up.folder / "talk.yaml")).with_values(values)
    sent = sent_to(gateway.url, scenario)
    assert set(sent.status) == {200}
    visits = {int(each["id"]): each["stages"][0] for each in get(f"{records}?after={before}")["records"]}
    drawn = simulate(scenario).tables["stages"].set_index("request")[["input_tokens", "output_tokens"]]
    assert len(visits) > 10
    assert {each: (visits[each]["input_tokens"], visits[each]["output_tokens"]) for each in visits} == {
        each: tuple(row) for each, row in zip(drawn.index, drawn.to_numpy().tolist(), strict=True)
    }
