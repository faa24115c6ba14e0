"""`ipa profile run` of language models: two loads of a real server, the step that comes out, and what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ipa import profiles
from ipa.live import LiveError
from ipa.live.profiling import Effort, Target, TextLoad, TextSession, measuring, text_loads
from ipa.live.serving import Probe, emulated_steps
from ipa.live.serving.emulated_steps import EmulatedSteps
from ipa.live.serving.generation import prompt_of
from ipa.live.serving.request import Generated
from ipa.live.serving.tensors import of_texts
from ipa.profiles import LanguageModel, ProfiledVariant, Provenance, StageTokens, StepTime, TokenLaw, profiled_text
from ipa.studies.runs.profiling import language_loads
from ipa.studies.runs.profiling.language_fit import SimulatedReplica
from ipa.studies.runs.profiling.measurements import Measurements
from tests.command import ipa, refusal
from tests.live.serving.serving_plane import Plane, plane, until_ready
from tests.studies.profiling.virtual_time import VirtualTime

pytestmark = pytest.mark.usefixtures("elsewhere")

OF_A_SERVER = "base_s: 0.010, per_token_s: 1.0e-4, per_cached_token_s: 4.0e-6"
PIPELINE = """\
schema_version: 1
kind: pipeline
name: talk
description: Answers a question.
provenance:
  made: {kind: assumed, why: for a test}
stages:
  - name: answer
    task: answers
    kind: llm
    tokens: {input: {mean: 100, p99: 300}, output: {mean: 12, p99: 40}, from: made}
    variants:
      - name: small
        accuracy: {value: 0.5, from: made}
        step: {OF_A_SERVER, from: made}  # to be measured
        sequences: 8
        kv_blocks: 1024
        start_up_s: 1
""".replace("OF_A_SERVER", OF_A_SERVER)
TOKENS = StageTokens(TokenLaw(100.0, 300.0), TokenLaw(12.0, 40.0))


@pytest.fixture
def plane_of_servers(tmp_path: Path) -> Iterator[Plane]:
    """The pipeline file, and servers to come."""
    Path("talk.yaml").write_text(PIPELINE)
    with plane(tmp_path) as servers:
        yield servers


def started(servers: Plane) -> str:
    """The URL of an emulated replica that is ready. The process of servers may be of another folder."""
    server = servers.emulated(str(Path("talk.yaml").absolute()), "answer", "small")
    until_ready(server.url)
    return server.url


class InProcess:
    """An emulated server, asked without a network between."""

    def __init__(self, model: LanguageModel) -> None:
        self._steps = EmulatedSteps(model)

    async def is_ready(self) -> bool:
        return True

    async def metadata(self) -> Mapping[str, Any]:
        return self._steps.metadata()

    async def generate(self, text: str, parameters: Mapping[str, Any]) -> Generated:
        answer = await self._steps.generate(prompt_of([of_texts("text", [text.encode()])], parameters, TOKENS))
        return answer.generated

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    """The time of measurements and of emulated steps in this process, which takes none of the machine's."""
    clock = VirtualTime()
    monkeypatch.setattr(measuring, "in_event_loop", clock.run)
    for module in (text_loads, emulated_steps):
        monkeypatch.setattr(module, "time", clock)
    return clock


def recorded_loads() -> list[TextLoad]:
    """The loads that a profile of `talk.yaml` has recorded, in the order in which they were made."""
    record = Measurements(Path("talk.profiled.measurements.jsonl"), {"asked": {}})
    return record.of(TextLoad, "answer", "small")


# ---- servers ----


def test_the_step_of_a_server_is_found_again(virtual_time: VirtualTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline file says 1 s a step. Simulated with the server's own, each request takes what was measured, but for
    those from six at one instant to the last answer to these."""
    Path("talk.yaml").write_text(PIPELINE.replace(OF_A_SERVER, "base_s: 1, per_token_s: 0, per_cached_token_s: 0"))
    of_server = LanguageModel(StepTime(0.010, 1e-4, 4e-6), sequences=8, kv_blocks=1024)
    monkeypatch.setattr(measuring, "Probe", lambda *_: InProcess(of_server))
    command = ("profile", "run", "talk.yaml", "--server", "http://127.0.0.1:9", "--longest", 0.1)
    result = ipa(*command, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    (variant,) = json.loads(result.stdout)["variants"]
    assert [(load["at_once"], load["requests"]) for load in variant["loads"]] == [(1, 40), (6, 40)]
    for at_once, requests in zip((1, 6), map(language_loads.requests_of, recorded_loads()), strict=True):
        others = requests.queued_s > (0.0 if at_once == 1 else requests.last_s[:at_once].max())
        assert others.sum() >= 20
        simulated_s = SimulatedReplica(of_server, requests).times_s(of_server.step)
        assert simulated_s[:, others] == pytest.approx(requests.times_s[:, others], abs=1e-6)
    step, fit = variant["fit"]["step"], variant["fit"]
    of_prompt_s = step["base_s"] + 100 * step["per_token_s"]
    of_next_token_s = step["base_s"] + step["per_token_s"] + 100 * step["per_cached_token_s"]
    assert of_prompt_s == pytest.approx(0.020, rel=0.05)
    assert of_next_token_s == pytest.approx(0.0105, rel=0.05)
    assert fit["judged_requests"] == 40
    assert all(abs(error["mean"]) < 0.06 for errors in fit["errors"].values() for error in errors.values())
    pipeline = profiles.load(Path("talk.profiled.yaml"))
    model = pipeline.stage("answer").variant("small").language_model
    assert model is not None
    assert model.step.base_s == pytest.approx(step["base_s"], rel=1e-4)
    assert pipeline.provenance["fitted-small"].kind == "calibrated"
    assert "http://127.0.0.1:9" in pipeline.provenance["fitted-small"].text
    assert "# to be measured" in Path("talk.profiled.yaml").read_text()
    again = ipa(*command)
    assert "goes on after 2 measurements" in again.stderr
    assert "A step of answer/small takes" in again.stdout


@pytest.mark.long
def test_no_request_to_a_server_is_quicker_than_its_steps(plane_of_servers: Plane) -> None:
    """However busy the machine is; a prompt's step is over when the server says."""
    Path("talk.yaml").write_text(PIPELINE.replace("{mean: 12, p99: 40}", "{mean: 4, p99: 10}"))
    result = ipa("profile", "run", "talk.yaml", "--server", started(plane_of_servers), "--longest", 0.1, "--quiet")
    assert result.exit_code == 0, result.stderr
    alone, busy = recorded_loads()
    assert (alone.at_once, busy.at_once) == (1, 6)
    columns = alone.queued_s, alone.first_token_s, alone.last_token_s, alone.input_tokens, alone.output_tokens
    for queued_s, first_s, last_s, prompt, generated in zip(*columns, strict=True):
        of_prompt_s = 0.010 + 1e-4 * prompt
        of_next_tokens_s = [0.010 + 1e-4 + 4e-6 * (prompt + token) for token in range(1, generated)]
        assert first_s - queued_s >= of_prompt_s - 1e-9
        assert last_s - queued_s >= of_prompt_s + sum(of_next_tokens_s) - 1e-9


@pytest.mark.long
def test_a_file_of_llama_cpp_is_measured_with_its_start(tmp_path: Path) -> None:
    """Random weights; each of the four sequences has room for 256 tokens."""
    pytest.importorskip("xllamacpp", reason="needs the extra llm")
    pytest.importorskip("gguf", reason="needs studies/examples/chat/requirements.txt")
    from ipa.studies.examples.chat.networks import write_language_model

    folder = tmp_path / "models" / "answer" / "small"
    folder.mkdir(parents=True)
    write_language_model(folder / "model.gguf", width=64, layers=1)
    Path("talk.yaml").write_text(
        PIPELINE.replace("sequences: 8", "sequences: 4").replace("kv_blocks: 1024", "kv_blocks: 64")
    )
    assert ipa("pipeline", "check", "talk.yaml", "--models", "models").exit_code == 0
    where = ("talk.yaml", "--models", "models", "--in-place", "--longest", 0.1)
    result = ipa("profile", "run", *where, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    (variant,) = json.loads(result.stdout)["variants"]
    assert [load["at_once"] for load in variant["loads"]] == [1, 3]
    assert all(load["requests"] >= 40 for load in variant["loads"])  # more where they end sooner than the time is up
    (start,) = variant["starts"]
    small = profiles.load(Path("talk.yaml")).stage("answer").variant("small")
    assert small.start_up_s == pytest.approx(start["start_up_s"], rel=1e-3)
    assert small.language_model is not None
    assert small.language_model.step.per_token_s == pytest.approx(variant["fit"]["step"]["per_token_s"], rel=1e-4)
    lines = Path("talk.measurements.jsonl").read_text().splitlines()
    for load in (json.loads(line) for line in lines if '"text-load"' in line):
        assert max(map(sum, zip(load["input_tokens"], load["output_tokens"], strict=True))) <= 256


@pytest.mark.long
def test_a_server_that_dies_leaves_the_loads_before(plane_of_servers: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed as it serves the first requests of the busy load, which take a step at least."""
    Path("talk.yaml").write_text(PIPELINE.replace("{mean: 12, p99: 40}", "{mean: 4, p99: 10}"))
    url, ask, requests = started(plane_of_servers), Probe.generate, count()

    async def ask_and_kill(probe: Probe, text: str, parameters: Mapping[str, Any]) -> Generated:
        if next(requests) == text_loads.WARM_UP + text_loads.FEWEST + 1:
            asyncio.get_running_loop().call_later(0.005, plane_of_servers.processes[0].kill)
        return await ask(probe, text, parameters)

    monkeypatch.setattr(Probe, "generate", ask_and_kill)
    result = ipa("profile", "run", "talk.yaml", "--server", url, "--longest", 0.1, "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {url}: small ")
    assert result.stderr.count("\n") == 1
    assert not Path("talk.profiled.yaml").exists()
    _, light = map(json.loads, Path("talk.profiled.measurements.jsonl").read_text().splitlines())
    assert (light["record"], light["at_once"]) == ("text-load", 1)


def test_a_model_that_says_nothing_of_its_tokens_is_refused(plane_of_servers: Plane) -> None:
    Path("model.py").write_text("class Model:\n    def predict(self, inputs):\n        return inputs\n")
    server = plane_of_servers.server("--backend", f"{Path('model.py').absolute()}:Model", "--model", "small")
    until_ready(server.url)
    result = ipa("profile", "run", "talk.yaml", "--server", server.url)
    assert result.exit_code == 1
    assert "small says nothing of its tokens: the parameters of its answer should be input_tokens" in result.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("talk.yaml --batches 1,2", "--batches: is for models that serve batches"),
        ("talk.yaml --cores 1", "--cores: is for models that serve batches"),
        ("talk.yaml --samples .", "--samples: is for models that serve batches"),
        ("talk.yaml --shape x=3", "--shape: is for models that serve batches"),
        ("talk.yaml --models models", "models/talk/answer/small: should hold model.onnx, model.py or model.gguf"),
    ],
)
def test_what_says_nothing_of_language_models_is_refused(words: str, text: str) -> None:
    Path("talk.yaml").write_text(PIPELINE)
    Path("models").mkdir()
    where = () if "--models" in words else ("--server", "http://127.0.0.1:9")
    assert text in refusal("profile", "run", *words.split(), *where)


def test_a_folder_with_a_language_model_needs_a_pipeline_file() -> None:
    folder = Path("models") / "answer" / "small"
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(b"GGUF")
    message = refusal("profile", "run", "models")
    assert "model.gguf: is a language model, for which a pipeline file has to say its sequences, blocks" in message


def test_more_cores_than_there_are_cannot_be_measured() -> None:
    Path("talk.yaml").write_text(PIPELINE.replace("sequences: 8", "sequences: 8\n        cores: 4096"))
    folder = Path("models") / "answer" / "small"
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(b"GGUF")
    assert "--cores 4096: this machine has" in refusal("profile", "run", "talk.yaml", "--models", "models")


# ---- a load ----


class AtOnce:
    """Answers every request without a wait; `most`: the most requests at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def generate(self, text: str, parameters: Mapping[str, Any]) -> Generated:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        return Generated(len(text.split()), parameters["max_tokens"], 0.0)


def load(at_once: int, room: int, seed: int = 1, alone_s: float = 0.0) -> tuple[TextLoad, AtOnce]:
    server = AtOnce()
    session = TextSession(Target("answer", "small"), server, TOKENS, room, Effort(longest_s=0.001, seed=seed))  # type: ignore[arg-type]
    session.alone_s = alone_s
    return asyncio.run(session.load(at_once)), server


def test_a_load_has_so_many_requests_at_once_drawn_by_seed() -> None:
    """At least four for each of those at once, and 40."""
    busy, server = load(16, 10_000)
    assert server.most == 16
    assert len(busy.queued_s) >= 64
    light, _ = load(1, 10_000)
    assert len(light.queued_s) >= 40
    again, other = load(1, 10_000)[0], load(1, 10_000, seed=2)[0]
    assert light.input_tokens[:40] == again.input_tokens[:40] != other.input_tokens[:40]
    assert list(light.queued_s) == sorted(light.queued_s)


def test_a_request_comes_some_time_after_the_answer_to_another() -> None:
    """At least a quarter of the time that a request alone takes: a simulation that is slower has ended it too."""
    light, _ = load(1, 10_000, alone_s=0.04)
    pauses_s = [later - earlier for earlier, later in zip(light.last_token_s, light.queued_s[1:], strict=False)]
    assert min(pauses_s) >= 0.01
    assert len({round(pause_s, 4) for pause_s in pauses_s}) > 5


def test_requests_that_have_no_room_are_not_sent() -> None:
    light, _ = load(1, 100)
    lengths = [sum(pair) for pair in zip(light.input_tokens, light.output_tokens, strict=True)]
    assert 80 < max(lengths) <= 100
    with pytest.raises(LiveError, match="none of 1024 requests has at most 2 tokens, for which there is room"):
        load(1, 2)


# ---- the file ----


@pytest.mark.parametrize("start_up", ["start_up_s: 1", "start_up: {seconds: 1, from: made}"])
def test_step_and_start_up_replace_those_of_a_file(start_up: str) -> None:
    """Whichever way the file says the start-up; and a step over several lines."""
    text = PIPELINE.replace("start_up_s: 1", start_up).replace(
        "{base_s: 0.010, per_token_s: 1.0e-4, per_cached_token_s: 4.0e-6, from: made}",
        "\n          base_s: 0.010\n          per_token_s: 1.0e-4\n          from: made",
    )
    step = StepTime(0.02, 2e-4, 3e-6)
    variant = ProfiledVariant("answer", "small", (), "run", start_up_s=2.5, step=step, step_source="fitted")
    origins = {
        "run": Provenance("measured", "here"),
        "fitted": Provenance("calibrated", "by hand; calibrated against 40 requests"),
    }
    Path("new.yaml").write_text(profiled_text(text, "new.yaml", [variant], origins))
    pipeline = profiles.load(Path("new.yaml"))
    small = pipeline.stage("answer").variant("small")
    assert small.language_model is not None
    assert (small.language_model.step, small.start_up_s) == (step, 2.5)
    assert pipeline.provenance["fitted"] == origins["fitted"]
    assert pipeline.provenance["run"] == origins["run"]
