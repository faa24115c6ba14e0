"""The example `ocr`, and a live run that its models serve."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("PIL")

import numpy as np
import pandas as pd
from click.testing import CliRunner, Result

from ipa.live.serving import folder_model
from ipa.studies.examples.ocr.__main__ import main
from tests.command import ipa
from tests.studies.examples.ocr_wheels import needs_wheels

pytestmark = needs_wheels

PIPELINE = Path(__file__).parents[3] / "studies/examples/ocr/ocr.yaml"
KEPT = {"detection": ("v4-320", "v5-320"), "recognition": ("v4-96", "v6-160")}


def ocr(*words: object) -> Result:
    """What a command of the example does; an error of ours is the result's `exception`."""
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variants at each stage, of those that `make` makes."""
    folder = tmp_path_factory.mktemp("made") / "models"
    assert ocr("make", folder).stdout == f"Models: {folder} (18 variants)\n"
    for stage, kept in KEPT.items():
        for variant in (folder / "ocr" / stage).iterdir():
            if variant.name not in kept:
                shutil.rmtree(variant)
        (folder / "ocr" / stage / "samples").mkdir()  # where the docs put what they are profiled with
    return folder


def small(path: Path) -> Path:
    """A pipeline file of these variants, whose accuracies nobody measured."""
    table = ["stage,variant,accuracy,cores,batch,mean_ms,p99_ms"]
    table += [f"{stage},{variant},0.5,1,1,50,80" for stage, kept in KEPT.items() for variant in kept]
    path.with_suffix(".csv").write_text("\n".join(table) + "\n")
    assert ipa("pipeline", "new", path, "--from", path.with_suffix(".csv")).exit_code == 0
    return path


def read_alone(models: Path, picture: bytes) -> str:
    """What the two variants of the live run read in a picture, without a server."""
    value: object = picture
    for place, name, answer in (("detection/v5-320", "image", "lines"), ("recognition/v6-160", "lines", "text")):
        predictor = folder_model(models / "ocr" / place, 1).predictor
        value = predictor.predict({name: np.array([[value]], dtype=object)})[answer][0, 0]
    assert isinstance(value, bytes)
    return value.decode()


def test_the_models_of_a_folder_are_listed(models: Path) -> None:
    listed = ipa("models", "list", models, "--json")
    names = [each["name"] for each in json.loads(listed.stdout)]
    assert names == [f"ocr/{stage}/{variant}" for stage, kept in KEPT.items() for variant in kept]


def test_accuracies_are_measured_alone_and_in_pairs(models: Path) -> None:
    result = ocr("measure", models, "--pages", 3, "--seed", 5)
    assert result.exit_code == 0, result.output
    measured = json.loads(result.stdout)
    assert {stage: tuple(of_stage) for stage, of_stage in measured["stages"].items()} == KEPT
    assert {pair: tuple(of_pair) for pair, of_pair in measured["pairs"].items()} == dict.fromkeys(
        KEPT["detection"], KEPT["recognition"]
    )
    accuracies = [
        each for of in (measured["stages"], measured["pairs"]) for row in of.values() for each in row.values()
    ]
    assert 0.4 < max(accuracies) <= 1.0


@pytest.mark.long
def test_a_live_run_is_served_by_the_models_of_a_folder(models: Path, tmp_path: Path) -> None:
    path = small(tmp_path / "ocr.yaml")
    assert ocr("pages", tmp_path / "pages", "--count", 3, "--seed", 9).exit_code == 0
    real = ("--set", f"models.source={models / 'ocr'}", "--set", f"models.samples={tmp_path / 'pages'}")
    policy = ("--policy", "static:v5-320:1:1,v6-160:1:1")
    run = ipa("live", "run", path, *real, *policy, "--trace", "constant:2:2", "--out", tmp_path / "run", "--json", "-q")
    assert run.exit_code == 0, run.stderr
    answers = json.loads(run.stdout)["live"]["answers"]
    assert answers["checked"] == 4
    load = pd.read_parquet(tmp_path / "run" / "load.parquet")
    truths = [json.loads(line)["answer"] for line in (tmp_path / "pages" / "labels.jsonl").read_text().splitlines()]
    assert answers["character_accuracy"] > 0.4
    assert load["answer"].nunique() == len(truths) == 3
    alone = [read_alone(models, path.read_bytes()) for path in sorted((tmp_path / "pages").glob("*.jpg"))]
    assert load.sort_values("request")["answer"].tolist() == [alone[number % 3] for number in range(4)]


def test_what_recognition_is_profiled_with_are_the_lines_that_a_detection_cuts_out(
    models: Path, tmp_path: Path
) -> None:
    assert ocr("pages", tmp_path / "lines", "--count", 2, "--seed", 9, "--models", models).exit_code == 0
    written = [path.read_bytes() for path in sorted((tmp_path / "lines").iterdir())]
    assert len(written) == 2
    model = folder_model(models / "ocr" / "recognition" / "v6-160", 1).predictor
    texts = model.predict({"lines": np.array([[each] for each in written], dtype=object)})["text"]
    assert all(texts.ravel().tolist())


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (
            "models.source=nowhere",
            "nowhere/ocr/detection/v4-320: should hold model.onnx, model.py or model.gguf, or nowhere/detection/",
        ),
        ("models.samples=nowhere", "nowhere/labels.jsonl: cannot be read"),
    ],
)
def test_what_is_not_there_is_said_before_anything_starts(setting: str, says: str) -> None:
    result = ipa("live", "run", PIPELINE, "--set", setting, "--trace", "constant:1:2")
    assert result.exit_code == 2
    assert says in result.stderr
