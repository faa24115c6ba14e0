"""A run of a graph of stages in its folder: items in place of stages, with all records, a sample and none."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ipa.studies import Run, Scenario, ScenarioError, simulate
from ipa.studies.runs import results
from ipa.studies.runs.tables import COUNTED

ENGINES = ("simpy", "compiled") if find_spec("numba") else ("simpy",)
SCENARIO = Scenario(pipeline="traffic", trace="constant:20:30").with_values({"policy": "rate"})


@pytest.fixture(scope="module")
def run() -> Run:
    return simulate(SCENARIO)


def test_a_graph_s_run_is_read_back_with_its_items(run: Run, tmp_path: Path) -> None:
    results.write_run(run, tmp_path / "run")
    stored = results.read_run(tmp_path / "run")
    assert {path.stem for path in (tmp_path / "run").glob("*.parquet")} >= {
        "requests",
        "items",
        "decisions",
        "replicas",
    }
    assert not (tmp_path / "run" / "stages.parquet").exists()
    items = stored.tables["items"]
    assert items.equals(run.tables["items"])
    assert set(items["request"]) == set(run.tables["requests"]["request"])
    for tables in (run.tables, stored.tables):
        with pytest.raises(ScenarioError, match="no table 'stages' in this run; its stages form a graph"):
            tables["stages"]


def test_same_scenario_same_tables_whatever_the_engine(run: Run) -> None:
    other = simulate(SCENARIO.with_values({"engine": "simpy"}))
    for name, table in run.tables.items():
        assert table.equals(other.tables[name]), name


def test_without_records_the_summary_is_the_same(run: Run) -> None:
    bare = simulate(SCENARIO.with_values({"records": "none"})).summary
    apart = {"records", "wall_s"}
    assert {key: value for key, value in bare.items() if key not in apart} == {
        key: value for key, value in run.summary.items() if key not in apart
    }


def test_without_records_the_folder_has_its_tables_without_rows(run: Run, tmp_path: Path) -> None:
    bare = simulate(SCENARIO.with_values({"records": "none"}))
    results.write_run(bare, tmp_path / "run")
    tables = results.read_run(tmp_path / "run").tables
    assert set(tables) == set(run.tables)
    for name, table in tables.items():
        assert list(table.columns) == list(run.tables[name].columns), name
    assert (len(tables["requests"]), len(tables["items"])) == (0, 0)
    assert tables["replicas"].equals(run.tables["replicas"])


@pytest.mark.parametrize("values", [{"dispatch": "eager"}, {"drop": "batch"}, {"drop": "deadline"}], ids=str)
def test_a_graph_has_the_rules_of_chains(values: dict[str, Any]) -> None:
    """Each changes what becomes of the requests of an overloaded graph, and both engines agree on it."""
    overloaded = SCENARIO.with_values({"trace": "constant:200:5", "limit_cores": 3})
    scenario = overloaded.with_values(values)
    requests = [
        simulate(each).tables["requests"]
        for each in (overloaded, scenario, *(scenario.with_values({"engine": name}) for name in ENGINES))
    ]
    assert not requests[1].equals(requests[0])
    assert all(each.equals(requests[1]) for each in requests[2:])


def test_a_sample_of_all_is_all_and_is_read_back(run: Run, tmp_path: Path) -> None:
    """On both engines, with the counts of a sample; `filled_s` and `sampled` are its own columns."""
    samples = [simulate(SCENARIO.with_values({"records": "sample", "engine": name})) for name in ENGINES]
    results.write_run(samples[0], tmp_path / "run")
    stored = results.read_run(tmp_path / "run").tables
    assert set(stored) == {*run.tables, *COUNTED}
    for name in stored:
        assert all(stored[name].equals(sample.tables[name]) for sample in samples), name
        if name in run.tables:
            own = [column for column in stored[name] if column not in ("filled_s", "sampled")]
            assert stored[name][own].equals(run.tables[name]), name
    apart = ("records", "wall_s", "engine")
    assert {key: value for key, value in samples[0].summary.items() if key not in apart} == {
        key: value for key, value in run.summary.items() if key not in apart
    }
