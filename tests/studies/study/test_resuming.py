"""A study's folder: what is there is not run again, and what has changed is."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from ipa.sim.sources import file_digest
from ipa.studies.runs.results import manifest as provenance
from tests.command import PIPELINE, POLICIES, contents, ipa, start
from tests.studies.study.mine import STUDY, changed, fresh, study

pytest.importorskip("plotly")

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.long
def test_what_is_there_is_not_run_again_and_what_changed_is() -> None:
    """28 runs; the second time none; a third seed 14 more; another beta for the second workload only its runs."""
    study()
    assert fresh() == 28
    before = contents(Path("out"))
    study()
    assert fresh() == 0
    study("--seeds", 3)
    assert fresh() == 14
    changed("policy.beta: 0.25", "policy.beta: 0.75")
    study()
    assert fresh() == 2 * (2 + 2)  # ipa in two settings, and its sweep's two points; two seeds each
    Path("study.yaml").write_text(STUDY)
    study()
    assert fresh() == 0
    for name, content in contents(Path("out")).items():
        if name.endswith(".parquet"):
            assert content == before[name], name


def test_runs_that_were_there_are_told_from_those_that_share_one() -> None:
    """`three` is `one` under another name: its four runs, of two loads with two seeds, are those of `one`."""
    changed(
        '  two: {policy: "switch-only:2"}\n', '  two: {policy: "switch-only:2"}\n  three: {policy: "switch-only:1"}\n'
    )
    command = ("study", "study.yaml", "--out", "out", "--jobs", 1)
    said = ipa(*command).stderr
    assert re.fullmatch(r"28 runs in [\d.]+ s; 4 share the run of another\n", said), said
    said = ipa(*command).stderr
    assert re.fullmatch(r"0 runs in [\d.]+ s; 32 were there\n", said), said


def test_a_study_of_less_says_how_many_runs_its_tables_leave_out() -> None:
    study("--seeds", 2)
    said = ipa("study", "study.yaml", "--out", "out", "--jobs", 1, "--seeds", 1).stderr
    assert said.endswith(
        "14 more runs are in out/finished.sqlite, of other values or an earlier version, and not in the tables\n"
    )


def test_another_pipeline_under_the_same_name_is_run(here: Path) -> None:
    study("--seeds", 1)
    (here / "mine.yaml").write_text(PIPELINE.replace("mean_s: 0.1,", "mean_s: 0.09,"))
    study("--seeds", 1)
    assert fresh() == 14


@pytest.mark.long
def test_what_other_source_has_run_is_run_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the same version: a policy's rule may have changed, and nothing tells which runs it decides."""
    study("--seeds", 1)
    assert json.loads(Path("out/manifest.json").read_text())["versions"]["source"] == provenance.source_digest()
    monkeypatch.setattr("ipa.studies.runs.results.manifest.source_digest", lambda: "other")
    study("--seeds", 1)
    assert fresh() == 14
    study("--seeds", 1)
    assert fresh() == 0


def test_the_digest_of_the_source_is_of_what_decides_results_wherever_it_lies(here: Path) -> None:
    root = Path(provenance.__file__).parents[3]
    for layer in (*provenance.LAYERS, "studies"):
        shutil.copytree(root / layer, here / layer, ignore=shutil.ignore_patterns("__pycache__"))
    assert file_digest(here, provenance.source_files(here)) == provenance.source_digest()
    for name, decides in (
        *(
            ("sim/rules.py", True),
            ("sim/compiled/kernel.py", True),
            ("policies/ipa.py", True),
            ("studies/runs/run.py", True),
            ("studies/scenario/inputs.py", True),
            ("studies/many/outcome.py", True),
            ("studies/series.py", True),
        ),
        ("policies/predictors/library/lstm.npz", True),
        *(("studies/commands/printing.py", False), ("studies/pages/study.py", False)),
    ):
        content = (here / name).read_bytes()
        (here / name).write_bytes(content + b"\n")
        assert (file_digest(here, provenance.source_files(here)) != provenance.source_digest()) == decides, name
        (here / name).write_bytes(content)


def test_the_tables_are_the_same_bytes_whatever_the_jobs(here: Path) -> None:
    process = start("study", "study.yaml", "--out", "jobs2", "--jobs", 2, "--seeds", 1, "--json")
    alone = ipa("study", "study.yaml", "--out", "jobs1", "--jobs", 1, "--seeds", 1, "--json")
    output, errors = process.communicate(timeout=100)
    assert (alone.exit_code, process.returncode) == (0, 0), errors
    assert json.loads(alone.stdout)["runs"] == json.loads(output)["runs"] == 14
    one, two = (
        {name: content for name, content in contents(here / f"jobs{jobs}").items() if name.endswith(".parquet")}
        for jobs in (1, 2)
    )
    assert len(one) == 6
    assert one == two


WAITS = (
    POLICIES
    + '''
import time
from pathlib import Path


class Waits(Hold):
    """Holds up the third seed until the file `go` is there."""

    def decide(self, observation, memory):
        if observation.seed == 9 and not Path("go").exists():
            Path("waiting").touch()
            while not Path("go").exists():
                time.sleep(0.01)
        return super().decide(observation, memory)
'''
)


@pytest.mark.long
def test_an_interrupted_study_goes_on_where_it_was(here: Path) -> None:
    """One system, 16 seeds: the interrupt comes in the ninth; the chunks before that one are kept."""
    (here / "my.py").write_text(WAITS)
    (here / "study.yaml").write_text(
        "schema_version: 1\nkind: study\npipeline: video\nworkloads: [constant:5:30]\nseeds: 16\n"
        "systems: {waits: {policy: 'my.py:Waits', set: {engine: simpy}}}\n"
    )
    process = start("study", "study.yaml", "--out", "out", "--jobs", 1, "-q")
    until = time.monotonic() + 60
    while not (here / "waiting").exists():
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, "")
    assert errors == "Error: interrupted; finished runs are kept in out: repeat the command to resume\n"
    assert json.loads((here / "out" / "manifest.json").read_text())["finished"] is False
    (here / "go").touch()
    assert re.search(r"\d+ runs in .*; \d+ were there", ipa("study", "study.yaml", "--out", "out", "--jobs", 1).stderr)
    assert 8 <= fresh() < 16
