"""A study whose runs fail: the others are made, what failed is said, and the next time it is tried again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa.studies.many import study as studies
from tests.command import POLICIES, ipa
from tests.studies.study.mine import STUDY, changed, fresh

pytest.importorskip("plotly")

BREAKS = (
    POLICIES
    + '''
from pathlib import Path


class Breaks(Hold):
    """Fails with the second seed until the file `mended` is there."""

    def decide(self, observation, memory):
        if observation.seed == 2 and not Path("mended").exists():
            raise ZeroDivisionError("oh")
        return super().decide(observation, memory)
'''
)


@pytest.fixture(autouse=True)
def breaks(here: Path) -> str:
    """A policy that breaks, in a file beside the study; where it does."""
    (here / "my.py").write_text(BREAKS)
    (line,) = [n for n, text in enumerate(BREAKS.splitlines(), 1) if "ZeroDivisionError" in text]
    return f"step 0 (at 0 s): my.py:{line}: ZeroDivisionError: oh"


def run(*options: object) -> tuple[int, Any, str]:
    """The exit code of `ipa study`, what it prints as JSON, and its last line on stderr."""
    result = ipa("study", "study.yaml", "--out", "out", "--jobs", 1, "--json", *options)
    return result.exit_code, json.loads(result.stdout), result.stderr.splitlines()[-1]


SYSTEM = '  two: {policy: "switch-only:2"}\n'


def test_one_failing_system_ends_nothing_and_is_tried_again(breaks: str) -> None:
    """28 runs as ever and four of `bad`, of which the two with seed 2 fail, one on each load."""
    changed(SYSTEM, SYSTEM + '  bad: {policy: "my.py:Breaks"}\n')
    code, found, said = run()
    assert code == 1
    assert (
        said
        == "Error: 2 of 32 runs failed; the others are kept in out: repeat the command to try the failed ones again"
    )
    failed = [
        {
            "pipeline": "mine",
            "setting": "plain",
            "workload": f"constant:{rate}:40",
            "system": "bad",
            "point": "",
            "seed": 2,
            "error": breaks,
        }
        for rate in (5, 9)
    ]
    assert found["failed"] == failed
    assert json.loads(Path("out/manifest.json").read_text())["failed_runs"] == failed
    assert set(pd.read_parquet("out/runs.parquet").system) == {"ipa", "one", "two", "weights"}
    for page in ("tables.md", "report.html"):
        text = Path("out", page).read_text()
        assert "Runs that failed" in text
        assert breaks in text
    shown = ipa("study", "study.yaml", "--out", "out", "--jobs", 1)
    assert (shown.exit_code, fresh()) == (1, 2)
    assert "; 2 failed; 30 were there" in shown.stderr
    (row,) = [line.split() for line in shown.stdout.splitlines() if "constant:5:40   bad" in line]
    assert row[:6] == ["mine", "plain", "constant:5:40", "bad", "–", "2"]
    assert " ".join(row[6:]) == breaks
    Path("mended").touch()
    code, found, _ = run()
    assert (code, found["failed"], fresh()) == (0, [], 2)
    assert set(pd.read_parquet("out/runs.parquet").system) == {"ipa", "one", "two", "weights", "bad"}
    assert "Runs that failed" not in Path("out/tables.md").read_text()


def test_without_the_first_system_the_next_is_the_first(breaks: str) -> None:
    """The sweep and the headline, which are of the one that failed, go with it."""
    text = STUDY.replace("policy: ipa}", 'policy: "my.py:Breaks"}').replace("policy.gamma: 0", "policy.level: 2")
    parameters = text[text.index("parameters:") : text.index("sweeps:")]
    Path("study.yaml").write_text(text.replace(parameters, "").replace("policy.alpha: [1, 10]", "hop_s: [0.1, 0.2]"))
    code, found, _ = run()
    assert (code, found["headline"]) == (1, [])
    assert {each["sentence"].split(":")[0] for each in found["comparisons"]} == {"one against two on mine constant"}
    assert {(each["system"], each["point"]) for each in found["failed"]} == {
        ("ipa", ""), ("weights", "hop_s=0.1"), ("weights", "hop_s=0.2"),
    }  # fmt: skip


def test_of_a_sweep_only_the_point_is_left_out() -> None:
    changed("vary: {policy.alpha: [1, 10]}", "vary: {policy: ['ipa', 'my.py:Breaks']}")
    text = Path("study.yaml").read_text().replace("set: {policy.gamma: 0}, ", "")
    for some in ("set: {policy.beta: 0.5, hop_s: 0.1}", "set: {policy.beta: 0.25}"):
        text = text.replace(some, "set: {hop_s: 0.1}")
    Path("study.yaml").write_text(text)
    code, found, _ = run()
    assert code == 1
    assert {each["point"] for each in found["failed"]} == {"policy=my.py:Breaks"}
    runs = pd.read_parquet("out/runs.parquet")
    assert set(runs[runs.system == "weights"].point) == {"policy=ipa"}
    assert found["headline"]


def test_where_every_system_fails_there_are_no_tables_and_none_are_left() -> None:
    Path("study.yaml").write_text(
        "schema_version: 1\nkind: study\npipeline: mine.yaml\nworkloads: ['constant:5:40']\nseeds: 2\n"
        "systems: {bad: {policy: 'my.py:Breaks'}}\n"
    )
    Path("mended").touch()
    assert run()[0] == 0
    Path("mended").unlink()
    Path("my.py").write_text(BREAKS + "\n")
    code, found, said = run()
    assert (code, [each["seed"] for each in found["failed"]]) == (1, [2])
    assert said.startswith("Error: 1 of 2 runs failed")
    left = sorted(path.name for path in Path("out").iterdir())
    assert left == [".lock", "finished.sqlite", "inputs", "manifest.json"]
    in_python = studies.run_study("study.yaml", "out", jobs=1)
    assert [(each.trial.system, each.trial.seed) for each in in_python.failures] == [("bad", 2)]
