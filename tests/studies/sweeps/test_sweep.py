"""`ipa sweep`: from keys and values to one table, which is resumed and extended, and holds what failed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa import studies
from ipa.studies.many import opened
from tests.command import POLICIES, SHORT, SUMMARY_NAMES, ipa, refusal

SWEEP = ("sweep", "video", "--policy", "my.py:Level", *SHORT, "--set", "engine=simpy", "--jobs", 1)

LEVEL = (
    POLICIES
    + '''

class Level(Hold):
    """Fails with the second seed at level 3."""

    def decide(self, observation, memory):
        if self.level == 3 and observation.seed == 2:
            raise ZeroDivisionError("oh")
        return super().decide(observation, memory)
'''
)


@pytest.fixture(autouse=True)
def here(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a user's policy."""
    monkeypatch.delenv("IPA_TRACE", raising=False)
    (elsewhere / "my.py").write_text(LEVEL)
    return elsewhere


def swept(*options: object, folder: str = "out", code: int = 0) -> Any:
    """What the command prints as JSON."""
    result = ipa(*SWEEP, *options, "--out", folder, "--json", "-q")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


LEVELS = ("--vary", "policy.level=1,2", "--vary", "hop_s=0,0.1")


def test_a_row_is_a_run_with_its_keys_its_seed_and_its_summary() -> None:
    found = swept(*LEVELS, "--seeds", 2)
    assert (found["points"], found["seeds"], found["runs"], found["failed"]) == (4, 2, 8, 0)
    table = pd.read_parquet("out/runs.parquet")
    assert list(table.columns[:3]) == ["policy.level", "hop_s", "seed"]
    assert {*SUMMARY_NAMES, "error"} - {"wall_s"} <= set(table.columns)
    assert [tuple(row) for row in table[["policy.level", "hop_s", "seed"]].to_numpy()] == [
        (level, hop_s, seed) for level in (1, 2) for hop_s in (0.0, 0.1) for seed in (1, 2)
    ]
    assert table["error"].isna().all()
    alone = json.loads(ipa("simulate", "video", *SWEEP[2:-2], "--seed", 2, "--set", "hop_s=0.1", "--json").stdout)
    row = table[(table["policy.level"] == 2) & (table["hop_s"] == 0.1) & (table["seed"] == 2)].iloc[0]
    assert (row["requests"], row["cost_mean_cores"]) == (alone["requests"], alone["cost_mean_cores"])
    assert row["latency_p99_s"] == pytest.approx(alone["latency_p99_s"], rel=1e-3)


def test_every_point_meets_the_same_draws() -> None:
    swept("--vary", "policy.level=1,2", "--seeds", 3)
    table = pd.read_parquet("out/runs.parquet").pivot(index="seed", columns="policy.level", values="latency_mean_s")
    assert (table[1] == table[2]).all()
    assert table[1].nunique() == 3


def test_only_what_is_missing_is_run() -> None:
    """More seeds, values or keys add runs; the table is of what was asked for last, whatever else is kept."""
    assert swept(*LEVELS)["fresh_runs"] == 4
    first = Path("out/runs.parquet").read_bytes()
    assert swept(*LEVELS)["fresh_runs"] == 0
    assert swept(*LEVELS, "--seeds", 3)["fresh_runs"] == 8
    assert swept("--vary", "policy.level=1,2,4", "--vary", "hop_s=0,0.1")["fresh_runs"] == 2
    assert swept(*LEVELS, "--vary", "decision_delay_s=0,5")["fresh_runs"] == 4
    assert swept(*LEVELS)["fresh_runs"] == 0
    assert Path("out/runs.parquet").read_bytes() == first


def test_fewer_values_say_how_many_runs_the_table_leaves_out() -> None:
    command = (*SWEEP, "--seeds", 2, "--out", "out", "--vary")
    assert "more run" not in ipa(*command, "policy.level=1,2").stderr
    said = (
        "2 more runs are in out/finished.sqlite, of other values or an earlier version, and not in out/runs.parquet\n"
    )
    assert ipa(*command, "policy.level=1").stderr.endswith(said)
    assert "more run" not in ipa(*command, "policy.level=1,1.5,2").stderr


def test_a_flipped_digit_in_the_store_costs_one_run_and_no_table() -> None:
    swept(*LEVELS)
    whole = Path("out/runs.parquet").read_bytes()
    with sqlite3.connect("out/finished.sqlite") as store:
        store.execute(
            "UPDATE runs SET summary = replace(summary, '\"requests\": 1', '\"requests\": 2') WHERE rowid = 2"
        )
    store.close()
    result = ipa(*SWEEP, *LEVELS, "--out", "out", "--json")
    assert json.loads(result.stdout)["fresh_runs"] == 1
    assert "out/finished.sqlite: 1 of the runs kept there was damaged on the disk and is made again\n" in result.stderr
    assert Path("out/runs.parquet").read_bytes() == whole


def test_a_second_command_on_the_same_folder_is_refused() -> None:
    swept(*LEVELS)
    with opened(Path("out/finished.sqlite"), alone=True):
        refused = ipa(*SWEEP, *LEVELS, "--out", "out")
    assert refused.exit_code == 2
    assert "--out out: another command is making its runs; wait until it ends, or give a new folder" in refused.stderr


def test_a_failing_run_is_in_the_table_with_its_error_and_ends_nothing() -> None:
    found = swept("--vary", "policy.level=1,3", "--seeds", 2, code=1)
    (line,) = [n for n, text in enumerate(LEVEL.splitlines(), 1) if "ZeroDivisionError" in text]
    error = f"step 0 (at 0 s): my.py:{line}: ZeroDivisionError: oh"
    assert (found["failed"], found["errors"]) == (1, {error: 1})
    table = pd.read_parquet("out/runs.parquet")
    assert table["error"].fillna("").tolist() == ["", "", "", error]
    assert table["cost_mean_cores"].isna().tolist() == [False, False, False, True]
    shown = ipa(*SWEEP, "--vary", "policy.level=1,3", "--seeds", 2, "--out", "out")
    assert shown.exit_code == 1
    assert "1 run failed: step 0" in shown.stdout
    assert shown.stderr.splitlines()[-1] == (
        "Error: 1 of 4 runs failed; the others are kept in out: repeat the command to try the failed ones again"
    )


def test_the_page_is_that_of_the_folder_and_is_not_drawn_where_all_failed() -> None:
    shown = ipa(*SWEEP, *LEVELS, "--out", "out", "--report", "out/page.html")
    assert shown.stdout.splitlines()[-2:] == ["Table: out/runs.parquet", "Report: out/page.html"]
    assert ipa("report", "out", "--to", "same.html").exit_code == 0
    assert Path("out/page.html").read_bytes() == Path("same.html").read_bytes()
    failed = ipa(
        *SWEEP, "--vary", "policy.level=3", "--seeds", 1, "--seed", 2, "--out", "none", "--report", "none.html"
    )
    assert (failed.exit_code, Path("none.html").exists()) == (1, False)
    refused = ipa(*SWEEP, *LEVELS, "--out", "new", "--report", "away/page.html")
    assert (refused.exit_code, Path("new").exists()) == (2, False)
    assert refused.stderr.startswith(
        "Error: --report away/page.html: cannot be written: the folder away does not exist"
    )


def test_where_all_fail_the_table_has_the_errors() -> None:
    swept("--vary", "policy.level=3", "--seed", 2, code=1)
    assert list(pd.read_parquet("out/runs.parquet").columns) == ["policy.level", "seed", "error"]


def test_keys_of_every_kind_are_columns() -> None:
    vary = ("policy=my.py:Level,static", "window=0:10,10:20", "limit_cores=null,30")
    initial = "initial=null,{object-detection: {variant: yolov5n}}"
    options = [word for text in (*vary, initial) for word in ("--vary", text)]
    swept(*options, "--set", "start=configured")
    table = pd.read_parquet("out/runs.parquet")
    assert list(table.columns[:4]) == ["policy", "window", "limit_cores", "initial"]
    assert table["policy"].tolist()[::8] == ["my.py:Level", "static"]
    assert table["limit_cores"].dropna().unique().tolist() == [30]
    assert table["initial"].dropna().unique().tolist() == ['{"object-detection": {"variant": "yolov5n"}}']


def test_the_table_is_read_with_one_line_by_duckdb_and_by_polars() -> None:
    duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
    swept(*LEVELS, "--seeds", 2)
    rows = duckdb.sql("""SELECT "policy.level", avg(cost_mean_cores) FROM 'out/runs.parquet' GROUP BY ALL ORDER BY 1""")
    assert [level for level, _ in rows.fetchall()] == [1, 2]
    means = polars.read_parquet("out/runs.parquet").group_by("hop_s").agg(polars.col("latency_mean_s").mean())
    assert sorted(means["hop_s"].to_list()) == [0.0, 0.1]


def test_in_python_it_is_a_table() -> None:
    scenario = studies.find("video", {"policy": "my.py:Level", "trace": "constant:5:30", "engine": "simpy"})
    table = studies.sweep(scenario, {"policy.level": [1, 2], "hop_s": "0:0.1:0.1"}, seeds=2, jobs=1)
    swept(*LEVELS, "--seeds", 2)
    pd.testing.assert_frame_equal(table, pd.read_parquet("out/runs.parquet"))
    same = studies.sweep(scenario, ["policy.level=1,2", "hop_s=0:0.1:0.1"], seeds=2, jobs=1, folder="out")
    pd.testing.assert_frame_equal(table, same)


def test_a_dry_run_says_how_many_how_long_and_what_and_runs_nothing(here: Path) -> None:
    command = (*SWEEP, *LEVELS, "--seeds", 5, "--dry-run", "--out", "out")
    shown = ipa(*command)
    assert shown.exit_code == 0
    assert shown.stdout.startswith("20 runs: 4 points x 5 seeds\nabout ")
    assert not (here / "out").exists()
    (here / "first.yaml").write_text(shown.stdout.partition(":\n\n")[2])
    assert json.loads(ipa("simulate", "first.yaml", "--json").stdout)["seed"] == 1
    swept(*LEVELS)
    tried = json.loads(ipa(*command, "--json").stdout)
    assert (tried["runs"], tried["missing"], tried["points"], tried["tried"]) == (20, 16, 4, 3)
    assert tried["estimated_s"] == pytest.approx(16 * tried["run_s"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--vary policy.alhpa=1 --out out", "policy.alhpa=1: unknown parameter 'alhpa' of policy 'ipa' (did you mean"),
        ("--vary hopp_s=0,1 --out out", "hopp_s: unknown key; did you mean 'hop_s'?"),
        ("--vary hop_s=0,-1 --out out", "hop_s: "),
        ("--vary engine=simpy,compild --out out", "engine: "),
        ("--vary trace=bursty,brusty --out out", "trace=brusty: unknown trace 'brusty'"),
        ("--vary seed=1,2 --seeds 2 --out out", "seed: is varied itself; leave out --seeds"),
        ("--vary hop_s=0,1 --where hop_s>2 --out out", "--where: leaves no point"),
        ("--vary hop_s=0,1 --on ray://host:10001 --out out", "--on ray://host:10001: should be local or dask://HOST:PORT"),
        ("--vary hop_s=0,1 --on dask://here --out out", "--on dask://here: should be local or"),
        ("--vary hop_s=0,1", "--out: is missing; give a folder for the table, or look first with --dry-run"),
        ("--out out", "nothing is varied: "),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_said_before_anything_runs(options: str, said: str) -> None:
    assert said in refusal("sweep", "video", *SHORT, *options.split(" "))


def test_a_folder_of_other_results_is_refused(here: Path) -> None:
    (here / "out").mkdir()
    (here / "out" / "notes.txt").touch()
    assert "contains other files" in refusal(*SWEEP, *LEVELS, "--out", "out")
    swept(*LEVELS, folder="sweep")
    with pytest.raises(studies.ScenarioError, match="sweep: holds a sweep, whose table is"):
        studies.results.read_run("sweep")
