"""The example `chat`: its models of random weights, and the walk of docs/language-models.md, in short."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("xllamacpp", reason="needs the extra llm")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("gguf", reason="needs studies/examples/chat/requirements.txt")
pytest.importorskip("onnx", reason="needs studies/examples/chat/requirements.txt")

import numpy as np
import pandas as pd
from click.testing import CliRunner, Result

from ipa import profiles
from ipa.live.serving import folder_model, words
from ipa.studies.examples.chat.__main__ import main
from ipa.studies.examples.chat.networks import TOPICS
from tests.command import answer, ipa

PIPELINE = Path(__file__).parents[3] / "studies/examples/chat/small-chat.yaml"
POLICY = ("--policy", "static:narrow:1:1,small:8:1")


def chat(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "models"
    assert chat(folder).stdout == f"Models: {folder} (4 variants)\n"
    return folder


def test_a_folder_is_made_once_and_has_the_variants_of_the_pipeline(models: Path, tmp_path: Path) -> None:
    names = [model["name"] for model in answer("models", "list", models, "--json")]
    stages = profiles.load(PIPELINE).stages
    assert set(names) == {f"small-chat/{stage.name}/{variant.name}" for stage in stages for variant in stage.variants}
    assert str(chat(models).exception) == f"{models}: already exists; give a new folder"
    assert chat(tmp_path / "again").exit_code == 0
    assert [model["digest"] for model in answer("models", "list", tmp_path / "again", "--json")] == [
        model["digest"] for model in answer("models", "list", models, "--json")
    ]


def test_a_question_gets_the_word_of_its_topic_whatever_shares_its_batch(models: Path) -> None:
    model = folder_model(models / "small-chat" / "classify" / "wide", 1).predictor
    texts = [words(5), words(40), "a word that is unknown", ""]
    together = model.predict({"text": np.array([[text] for text in texts])})["prompt"]
    for text, (prompt,) in zip(texts, together.tolist(), strict=True):
        topic, _, rest = prompt.partition(" ")
        assert (topic in TOPICS, rest) == (True, text)
        assert model.predict({"text": np.array([[text]])})["prompt"].tolist() == [[prompt]]


@pytest.mark.long
def test_a_live_run_is_served_by_both_models(models: Path, tmp_path: Path) -> None:
    """The prompt of the language model has a word more than the load generator sends: the topic."""
    run = (PIPELINE, "--set", f"models.source={models}", *POLICY, "--trace", "constant:2:2", "--out", tmp_path / "run")
    summary = answer("live", "run", *run, "-q", "--json")
    assert (summary["requests"], summary["completed"]) == (4, 4), summary
    served = pd.read_parquet(tmp_path / "run" / "stages.parquet").query("stage == 'answer'").sort_values("request")
    drawn = ipa("simulate", PIPELINE, *POLICY, "--trace", "constant:2:2", "--out", tmp_path / "drawn", "-q")
    assert drawn.exit_code == 0, drawn.stderr
    simulated = pd.read_parquet(tmp_path / "drawn" / "stages.parquet").query("stage == 'answer'").sort_values("request")
    assert served["input_tokens"].tolist() == [tokens + 1 for tokens in simulated["input_tokens"]]
    assert served["output_tokens"].tolist() == simulated["output_tokens"].tolist()


@pytest.mark.long
def test_the_walk_in_short(models: Path, tmp_path: Path) -> None:
    """Two variants are profiled for moments, then simulated and compared with a live run of six seconds."""
    small = tmp_path / "small.yaml"
    variants = ("--variant", "narrow", "--variant", "small")
    profile = ("profile", "run", PIPELINE, "--models", models, *variants, "--batches", 1, "--longest", 0.5)
    profiled = ipa(*profile, "--to", small, "-q")
    assert profiled.exit_code == 0, profiled.stderr
    model, unmeasured = (profiles.load(path).stage("answer").variant("small") for path in (small, PIPELINE))
    assert model.language_model != unmeasured.language_model
    simulated = answer("simulate", small, *POLICY, "--trace", "constant:2:6", "--json", "-q")
    assert simulated["completed"] == simulated["requests"] == 12

    load = ("--trace", "constant:2:40", "--window", "0:6", "--calibration-window", "20:26", "--set", "interval_s=2")
    validation = (
        small,
        "--set",
        f"models.source={models}",
        *POLICY,
        *load,
        "--repeats",
        1,
        "--out",
        tmp_path / "checked",
    )
    result = ipa("validate", *validation, "--json", "-q")  # which may warn of a busy machine
    assert result.exit_code == 0, result.stderr
    checked = json.loads(result.stdout)
    assert checked["repeats"][0]["summary"]["completed"] == checked["simulated"]["completed"] == 12
    rows = {row["metric"]: row for row in checked["all"]["rows"]}
    assert {"latency_mean_s", "answer.ttft_mean_s"} <= rows.keys()
    assert rows["latency_mean_s"]["live"] > rows["answer.ttft_mean_s"]["live"] > 0.0
