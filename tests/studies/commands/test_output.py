"""What commands print: results on stdout, as one JSON document if that is wanted; the rest on stderr, or nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import click
import pytest

from ipa import studies
from ipa.studies.scenario import choices
from tests.command import PIPELINE, SHORT, every_command, ipa

COMMANDS = {words.removeprefix("ipa "): command for words, command in every_command()}

HPA = "hpa target=0.6 max_replicas=20"

RUNS = {
    "compare": ("video", "--policy", "static", "--policy", "rate", *SHORT),
    "doctor": (),
    "explain": ("run", "--jobs", 1),
    "live manifests": ("video",),
    "optimise": ("video", "--load", 9),
    "pipeline check": ("mine.yaml",),
    "pipeline list": (),
    "pipeline show": ("mine.yaml",),
    "pipeline new": ("new.yaml", "--from", "latencies.csv"),
    "policy from-yaml": ("hpa.yaml",),
    "policy list": (),
    "policy show": ("ipa",),
    "policy to-yaml": (HPA, "--pipeline", "mine.yaml"),
    "predictor evaluate": ("--trace", "constant:5:60", "--predictor", "max"),
    "predictor list": (),
    "profile fit": ("requests.csv", "--sequences", 4, "--kv-blocks", 100),
    "report": ("run", "--to", "page.html"),
    "schema": ("study",),
    "simulate": ("video", *SHORT),
    "study": ("study.yaml", "--out", "study", "--jobs", 1),
    "sweep": ("video", *SHORT, "--vary", "hop_s=0,0.1", "--out", "sweep", "--jobs", 1),
    "trace convert": ("bursty", "--to", "new.csv", "--window", "0:9"),
    "trace info": ("bursty",),
    "trace list": (),
    "tune": ("mine.yaml", *SHORT, "--minimise", "cost_mean_cores", "--trials", 1, "--windows", 2, "--jobs", 1),
}
"""What each command is tried with, but for those that need real servers."""

SERVES = {"explore"}
"""What goes on until it is ended: see tests/studies/explore."""

ON_SERVERS = {f"live {name}" for name in ("down", "run", "status", "up")} | {
    "profile run",
    "trace from-prometheus",
    "validate",
}

TRAINS = {"predictor train"}
"""What takes long, and Keras."""

REAL = {f"models {name}" for name in ("fetch", "list", "push")}
"""What needs real models."""

STUDY = (
    "schema_version: 1\nkind: study\npipeline: mine.yaml\nworkloads: ['constant:5:30']\nsystems: {it: {policy: static}}"
)

GENERATED = "queued_s,first_token_s,last_token_s,input_tokens,output_tokens\n" + "".join(
    f"{at},{at + 0.03},{at + 0.03 + 0.02 * at},50,{at + 1}\n" for at in range(1, 41)
)
LATENCIES = "stage,variant,accuracy,cores,batch,mean_ms,p99_ms\nsort,small,84,1,1,50,70\n"


def options_of(words: str) -> dict[str, click.Parameter]:
    return {name: option for option in COMMANDS[words].params for name in option.opts}


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_an_output_option_has_one_meaning(words: str) -> None:
    """A command that only shows something has no --quiet; one that only writes a file, no --json."""
    options, usual = options_of(words), options_of("simulate")
    for name in {"-q", "--quiet", "--json"} & {*options}:
        assert options[name].to_info_dict() == usual[name].to_info_dict()
    if words in RUNS and not {"--quiet", "--json"} & {*options}:
        assert words in ("policy to-yaml", "schema")


def test_every_command_is_tried() -> None:
    assert {*RUNS, *SERVES, *ON_SERVERS, *TRAINS, *REAL} == set(COMMANDS)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline, a study, latencies and the results of a run, which all commands share."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "mine.yaml").write_text(PIPELINE)
    (folder / "study.yaml").write_text(STUDY)
    (folder / "latencies.csv").write_text(LATENCIES)
    (folder / "requests.csv").write_text(GENERATED)
    settings = ipa("policy", "to-yaml", HPA, "--pipeline", folder / "mine.yaml")
    (folder / "hpa.yaml").write_text(settings.stdout)
    assert ipa("simulate", "video", *SHORT, "--out", folder / "run").exit_code == 0
    return folder


@pytest.mark.parametrize("words", RUNS)
def test_quiet_json_is_one_document_and_nothing_else(words: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if words in ("report", "study"):
        pytest.importorskip("plotly")
    monkeypatch.chdir(files)
    wanted = [name for name in ("--json", "--quiet") if name in options_of(words)]
    result = ipa(*words.split(), *RUNS[words], *wanted)
    assert result.exit_code == 0
    if "--quiet" in wanted:
        assert result.stderr == ""
    if "--json" in wanted:
        json.loads(result.stdout)


def test_quiet_leaves_out_notes_and_keeps_warnings_and_results() -> None:
    """The note is about --jobs; the warning, that a load is too much."""
    overloaded = ("compare", "video", "--policy", "static:1,1", "--trace", "constant:100:20", "--jobs", 99)
    loud, quiet = ipa(*overloaded), ipa(*overloaded, "-q")
    assert loud.stdout == quiet.stdout
    note, *warnings = loud.stderr.splitlines()
    assert note.startswith("--jobs 99: running ")
    assert warnings
    assert quiet.stderr.splitlines() == warnings


def test_the_choices_of_training_are_those_that_there_are() -> None:
    assert get_args(choices.Model) == studies.many.predictor.KINDS
    epochs = next(option for option in COMMANDS["predictor train"].params if option.name == "epochs")
    published, ours = studies.many.predictor.EPOCHS.values()
    assert str(epochs.to_info_dict()["help"]).endswith(
        f"Default: {published} for lstm, at most {ours} for lstm-quantile."
    )
