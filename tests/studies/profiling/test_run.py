"""`ipa profile run` on real servers: what is measured, kept, spared, written and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa import profiles
from ipa.live.profiling import Overhead
from ipa.studies.runs.profiling.measurements import Measurements
from tests.command import PIPELINE, ipa, refusal
from tests.live.serving.models_world import affine_file
from tests.live.serving.test_pipelines import mlserver

SLEEPER = '''
import time

class Model:
    """Takes 10 ms a row, and 1 ms for each column."""

    def predict(self, inputs):
        x = inputs["x"]
        time.sleep(0.01 * len(x) + 0.001 * x.shape[1])
        return {"y": x}

    def metadata(self):
        return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}]}
'''

pytestmark = pytest.mark.usefixtures("elsewhere")

QUICK = ("--longest", 0.1, "--batches", "1,2")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with one model that sleeps, in the folder that tests run in."""
    folder = tmp_path / "models" / "mine" / "sort" / "small"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(SLEEPER)
    return Path("models")


def run(*args: object) -> dict[str, Any]:
    """What the command says as JSON; it warns that tests are in haste, and the machine perhaps busy."""
    result = ipa("profile", "run", *args, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert all(line.startswith("Warning: ") for line in result.stderr.splitlines())
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_models_become_a_pipeline_that_can_be_simulated(models: Path) -> None:
    """With what each batch took at least, and no accuracy: that is said."""
    result = ipa("profile", "run", models / "mine", "--shape", "x=4", *QUICK)
    assert result.exit_code == 0, result.stderr
    assert "accuracies are not measured" in result.stderr
    assert "of 2 points were not within 5 % after 0.1 s" in result.stderr
    variant = profiles.load(Path("mine.yaml")).stage("sort").variant("small")
    assert variant.batches() == (1, 2)
    assert variant.mean_s(1) >= 0.014
    assert variant.mean_s(2) >= 0.024
    assert variant.start_up_s > 0
    assert variant.memory_mb is not None
    assert variant.memory_mb > 10
    assert profiles.load(Path("mine.yaml")).provenance["profiled"].kind == "measured"
    assert ipa("simulate", "mine.yaml", "--trace", "constant:2:20").exit_code == 0


@pytest.mark.long
def test_stages_are_in_the_order_in_which_requests_pass_them(models: Path) -> None:
    """Not in that of their names: `answer` comes after `sort`. Where no order is given, none is made up."""
    (models / "mine" / "answer" / "only").mkdir(parents=True)
    (models / "mine" / "answer" / "only" / "model.py").write_text(SLEEPER.replace('"x"', '"z"'))
    message = refusal("profile", "run", models, "--shape", "x=4")
    assert "models: in which order do requests pass the stages answer, sort? Give all that there are" in message
    given = ("--stages", "sort,answer", "--shape", "x=4", "--shape", "z=4", "--batches", "1", "--longest", 0.1)
    assert "--shape u: no such input; inputs: x, z" in refusal("profile", "run", models, *given, "--shape", "u=1")
    made = run(models, *given)
    assert (made["pipeline"], made["file"]) == ("mine", "mine.yaml")
    assert [stage.name for stage in profiles.load(Path("mine.yaml")).stages] == ["sort", "answer"]
    assert "holds no such stage or variant; it holds answer/only" in refusal("profile", "run", models, "--stages", "x")
    (models / "other" / "sort" / "small").mkdir(parents=True)
    (models / "other" / "sort" / "small" / "model.py").write_text(SLEEPER)
    assert "models: holds the models of mine, other: give the folder of one" in refusal("profile", "run", models)


@pytest.mark.long
def test_an_onnx_model_says_its_shapes_itself(models: Path) -> None:
    onnx = pytest.importorskip("onnx")
    large = models / "mine" / "sort" / "large"
    large.mkdir()
    affine_file(onnx, large / "model.onnx")
    found = run(models / "mine", "--variant", "large", "--longest", 0.1, "--batches", "1")
    (variant,) = found["variants"]
    assert [each["kind"] for each in variant["points"][0]["content"]] == ["x 3"]
    assert [each["batch"] for each in variant["overheads"]] == [1]


@pytest.mark.long
def test_what_is_in_a_batch_is_told_apart_and_the_profile_is_over_all(models: Path) -> None:
    """Requests with 4 and with 40 columns: the latter take at least 50 ms."""
    found = run(models / "mine", "--shape", "x=4", "--shape", "x=40", "--longest", 1, "--batches", "1")
    (point,) = found["variants"][0]["points"]
    narrow, wide = point["content"]
    assert (narrow["kind"], wide["kind"]) == ("x 4", "x 40")
    assert wide["mean_s"] >= 0.05
    mixed = narrow["share"] * narrow["mean_s"] + wide["share"] * wide["mean_s"]
    assert point["mean_s"] == pytest.approx(mixed)
    assert point["p99_s"] >= 0.05


@pytest.mark.long
def test_figures_go_into_a_file_beside_that_of_the_user(models: Path) -> None:
    Path("mine.yaml").write_text(PIPELINE)
    beside = ("profile", "run", "mine.yaml", "--models", models, "--shape", "x=4", "--longest", 0.1, "--batches", "1")
    assert ipa(*beside).exit_code == 0
    assert Path("mine.yaml").read_text() == PIPELINE
    assert profiles.load(Path("mine.profiled.yaml")).stage("sort").variant("small").batches() == (1,)


@pytest.mark.long
def test_a_batch_that_the_sla_rules_out_is_not_measured(models: Path) -> None:
    """The SLA is 160 ms. One takes 14, which is kept before: on a busy machine it could take longer than the SLA, too.
    Sixteen take 164 at least, so that 32 need not be measured."""
    Path("mine.yaml").write_text(PIPELINE.replace("pinned_s: 2", "pinned_s: 0.16"))
    given = ("mine.yaml", "--models", models, "--shape", "x=4", "--longest", 0.1)
    run(*given, "--batches", "1")
    record = Path("mine.profiled.measurements.jsonl")
    kept = [json.loads(line) for line in record.read_text().splitlines()]
    alone = {"mean_s": 0.014, "p99_s": 0.014}
    kept = [{**each, **alone} if each.get("record") == "point" else each for each in kept]
    record.write_text("".join(f"{json.dumps(each)}\n" for each in kept))
    batches = ("--batches", "1,16,32")
    found = run(*given, *batches)
    (spared,) = found["skipped"]
    assert (spared["batch"], spared["shown_by"], spared["most_s"]) == (32, 16, 0.16)
    assert [each["batch"] for each in found["variants"][0]["points"]] == [1, 16]
    text = ipa("profile", "run", *given, *batches, "-q").stdout
    assert "sort small, 1 core, batch 32: not measured, as batch 16 takes longer than the stage's SLA, 0.16 s" in text


@pytest.mark.long
def test_a_profile_goes_on_where_it_stopped(models: Path) -> None:
    """A killed one has left its points, and half a line; what is there stays, to the digit, and more is added."""
    given = ("--shape", "x=4", "--longest", 0.1)
    first = run(models / "mine", *given, "--batches", "1")
    record = Path("mine.measurements.jsonl")
    record.write_text(record.read_text() + '{"record": "point", "stage"')
    second = run(models / "mine", *given, "--batches", "1,2")
    points = second["variants"][0]["points"]
    assert points[0] == first["variants"][0]["points"][0]
    assert [each["batch"] for each in points] == [1, 2]
    third = ipa("profile", "run", models / "mine", *given, "--batches", "1,2")
    assert "goes on after 6 measurements; remove it to begin again" in third.stderr
    assert run(models / "mine", *given, "--batches", "1,2") == second


@pytest.mark.long
def test_variants_can_be_profiled_one_after_the_other_into_one_file(models: Path) -> None:
    Path("mine.yaml").write_text(PIPELINE)
    given = ("mine.yaml", "--models", models, "--longest", 0.1, "--batches", "1", "--in-place")
    assert run(*given, "--shape", "x=4")["file"] == "mine.yaml"
    small = profiles.load(Path("mine.yaml")).stage("sort").variant("small")
    assert (small.accuracy, small.figures[0].mean_from) == (0.8, "profiled")
    second = PIPELINE[PIPELINE.index("      - name: small") : PIPELINE.index("published:")].replace("small", "large")
    text = (
        Path("mine.yaml")
        .read_text()
        .replace("published:", f"{second}published:")
        .replace("guess}\n  ", "guess}\n  ", 1)
    )
    Path("mine.yaml").write_text(text)
    (models / "mine" / "sort" / "large").mkdir()
    (models / "mine" / "sort" / "large" / "model.py").write_text(SLEEPER)
    found = run(*given, "--shape", "x=4", "--variant", "large")
    assert [each["variant"] for each in found["variants"]] == ["large"]
    asked = json.loads(Path("mine.measurements.jsonl").read_text().splitlines()[0])["asked"]
    assert asked["models"].keys() == {"sort/small", "sort/large"}


@pytest.mark.long
def test_measurements_of_something_else_are_not_gone_on_with(models: Path) -> None:
    given = (models / "mine", "--longest", 0.1, "--batches", "1")
    first = ipa("profile", "run", *given, "--shape", "x=4")
    assert first.exit_code == 0, first.stderr
    said = refusal("profile", "run", *given, "--shape", "x=5")
    assert "mine.measurements.jsonl: its measurements are of another profile: shapes of x was [[4]], now [[5]]" in said
    (models / "mine" / "sort" / "small" / "model.py").write_text(SLEEPER + "\n# another build\n")
    assert "models of sort/small was" in refusal("profile", "run", *given, "--shape", "x=4")
    Path("mine.measurements.jsonl").unlink()
    assert ipa("profile", "run", *given, "--shape", "x=5").exit_code == 0


@pytest.mark.long
def test_a_model_that_fails_is_answered_with_what_it_said(models: Path) -> None:
    model = models / "mine" / "sort" / "small" / "model.py"
    model.write_text(SLEEPER.replace('return {"y"', 'assert len(x) < 2, "no rows"\n        return {"y"'))
    result = ipa("profile", "run", models / "mine", "--shape", "x=4", *QUICK)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "sort/small: serves a request, but not 2 in a batch: " in result.stderr
    assert "small answered 500" in result.stderr
    assert not Path("mine.yaml").exists()
    model.write_text(SLEEPER.replace('return {"y"', 'raise ValueError("no")\n        return {"y"'))
    result = ipa("profile", "run", models / "mine", "--shape", "x=4", *QUICK, "--to", "other.yaml")
    assert result.exit_code != 0
    assert "Error: sort/small: " in result.stderr
    model.write_text("import nonsense_that_is_nowhere")
    result = ipa("profile", "run", models / "mine", "--shape", "x=4", *QUICK, "--to", "other.yaml")
    assert result.exit_code == 1
    assert "nonsense_that_is_nowhere" in result.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("nowhere", "no pipeline is called 'nowhere'"),
        ("models/mine --variant large", "holds no such stage or variant; it holds sort/small"),
        ("models/mine --batches 2", "--batches: 1 is missing"),
        ("models/mine --batches 1,x", "'1,x'; allowed: whole numbers"),
        ("models/mine --cores 4096", "--cores 4096: this machine has"),
        ("models/mine --shape x", "--shape x: should be INPUT=N,..."),
        ("models/mine --models models", "is a folder of models"),
        ("models/mine --in-place", "is no pipeline file of yours"),
        ("models/mine --in-place --to x.yaml", "--to and --in-place: give one"),
        ("models/mine --to x.json", "--to x.json: should end in .yaml"),
        ("mine.yaml", "say where its models are: --models FOLDER, or --server URL"),
        ("mine.yaml --models models --variant large", "sort has no variant 'large'"),
        ("mine.yaml --models empty", "empty/mine/sort/small: should hold model.onnx, model.py or model.gguf, or"),
        ("mine.yaml --models models --cores 2", "has its base cores pinned to 1"),
        ("mine.yaml --server http://127.0.0.1:9 --cores 1,2", "--cores: say how many the server has"),
    ],
)
def test_what_cannot_be_profiled_is_refused_before_anything_starts(models: Path, words: str, text: str) -> None:
    Path("mine.yaml").write_text(PIPELINE)
    Path("empty").mkdir()
    assert text in refusal("profile", "run", *words.split())


def test_a_server_that_does_not_answer_ends_a_profile_as_a_failed_run() -> None:
    where = ("double.yaml", "--server", "http://127.0.0.1:1", "--stage", "doubling", "--variant", "double")
    result = ipa("profile", "run", *where, *QUICK)
    assert result.exit_code == 1
    assert "Error: http://127.0.0.1:1: no V2 server answers there with 'double' ready" in result.stderr


def test_an_open_shape_is_refused_with_what_to_say(models: Path) -> None:
    result = ipa("profile", "run", models / "mine", *QUICK)
    assert result.exit_code == 2
    assert "--shape x=?, or give samples (--samples)" in result.stderr


def test_a_record_of_something_else_is_refused(models: Path) -> None:
    Path("mine.measurements.jsonl").write_text("not mine\n")
    assert "holds no measurements of a profile" in refusal("profile", "run", models / "mine", "--shape", "x=4")


def test_a_real_mlserver_is_profiled(tmp_path: Path) -> None:
    """Another's server, which takes no binary data; the file is new."""
    (tmp_path / "server").mkdir()
    with mlserver(tmp_path / "server") as url:
        where = ("double.yaml", "--server", url, "--stage", "doubling", "--variant", "double")
        np.savez(tmp_path / "rows.npz", x=np.ones((4, 3)))
        found = run(*where, "--samples", tmp_path / "rows.npz", *QUICK)
    points = found["variants"][0]["points"]
    assert [each["batch"] for each in points] == [1, 2]
    assert found["variants"][0]["starts"] == []
    pipeline = profiles.load(Path("double.yaml"))
    assert url in pipeline.provenance["profiled"].text
    assert pipeline.stage("doubling").variant("double").memory_mb is None


def test_kept_measurements_are_plain_lines(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    kept = Measurements(path, {"asked": {"seed": 1}})
    assert not path.exists(), "nothing has been measured"
    measured = Overhead("doubling", "double", 1, 0.001)
    kept.add(measured)
    head, line = map(json.loads, path.read_text().splitlines())
    assert head == {"schema_version": 1, "kind": "measurements", "asked": {"seed": 1}}
    assert line == {"record": "overhead", "stage": "doubling", "variant": "double", "batch": 1, "mean_s": 0.001}
    assert Measurements(path, {"asked": {"seed": 1}}).records == [measured]
