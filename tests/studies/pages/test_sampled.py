"""A run with records of a sample: stored small, and drawn as with all records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ipa.sim import LATENCY_ERROR, simulate
from ipa.studies import Run, Scenario, ScenarioError, read_run, replay, results
from ipa.studies import simulate as run_scenario
from ipa.studies.many.comparison import by_policy
from ipa.studies.pages.graph_of_run import drawing_of
from ipa.studies.pages.verdicts import sentence
from ipa.studies.runs.run_data import RunData
from ipa.studies.runs.tables import COUNTED
from ipa.studies.series import latency_curve, latency_quantiles_s
from tests.command import SHORT, contents, ipa
from tests.studies.made import drawn

pytest.importorskip("plotly")

DURATION_S, SLA_S = 1800.0, 1.2
"""Long enough for intervals of 2 s, with requests in time, late and dropped."""


SCENARIOS = {
    "chain": Scenario(pipeline="video").with_values(
        {"trace": "constant:5:1800", "policy": "ipa", "sla_s": SLA_S, "drop_limits_s": {"object-detection": 0.7}}
    ),
    "graph": Scenario(pipeline="traffic").with_values(
        {"trace": "constant:5:1800", "policy": "ipa", "drop_limits_s": {"cars": 0.3}, "limit_cores": 3}
    ),
}


@pytest.fixture(scope="module", params=SCENARIOS)
def both(request: pytest.FixtureRequest) -> tuple[Run, Run]:
    """The same run with all records, and with a sample of 500 and the 40 slowest."""
    base = SCENARIOS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate, "SAMPLE", 500)
        patch.setattr(simulate, "SLOWEST", 40)
        whole, sample = (run_scenario(base.with_values({"records": records})) for records in ("all", "sample"))
    late = whole.tables["requests"]["latency_s"].gt(whole.summary["sla_s"]).sum()
    assert min(whole.summary["dropped"], late) > 40
    assert len(sample.tables["intervals"]) == 900
    return whole, sample


@pytest.fixture(scope="module")
def stored(both: tuple[Run, Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "run"
    results.write_run(both[1], folder)
    return folder


def said(run: RunData) -> object:
    """What the page says of the run's state."""
    return sentence(by_policy([run])[0])


@pytest.mark.long
def test_a_sample_is_drawn_as_all_records_are(both: tuple[Run, Run], stored: Path) -> None:
    """Also when it has been read back. Only latencies are inexact."""
    whole, sample = (drawn(run) for run in (both[0], results.read_run(stored)))
    assert list(whole) == list(sample)
    inexact = {"latency", "distribution"}
    assert inexact < set(whole)
    for name in set(whole) - inexact:
        assert json.dumps(sample[name].traces) == json.dumps(whole[name].traces), name
    assert said(both[1]) == said(both[0])


def test_latencies_are_within_their_error(both: tuple[Run, Run]) -> None:
    whole, sample = (run.tables for run in both)
    (middle_s, exact), (same_s, found) = (latency_quantiles_s(run, DURATION_S, (0.5, 0.99)) for run in (whole, sample))
    assert middle_s.tolist() == same_s.tolist()
    assert np.all(np.abs(found - exact) <= LATENCY_ERROR * exact)
    sla_s = both[0].summary["sla_s"]
    (exact_s, share), (found_s, same_share) = (latency_curve([run], sla_s) for run in (whole, sample))
    assert share.tolist() == same_share.tolist()
    assert np.all(np.abs(found_s - exact_s) <= LATENCY_ERROR * exact_s)
    in_time = [curve_share[curve_s <= sla_s].max() for curve_s, curve_share in ((exact_s, share), (found_s, share))]
    assert in_time[0] == in_time[1] == pytest.approx(100.0 * (1.0 - both[0].summary["sla_violation_rate"]))


def test_the_graph_of_a_run_has_all_items_and_nearly_the_same_utilisation(both: tuple[Run, Run]) -> None:
    drawings = [drawing_of(run) for run in both]
    if both[0].pipeline.graph is None:
        assert drawings == [None, None]
        return
    whole, sample = (drawing.boxes for drawing in drawings if drawing is not None)
    for name, (_, lines) in whole.items():
        (variants, load), (same_variants, same_load) = lines, sample[name][1]
        assert (same_variants, same_load.split(", ")[0]) == (variants, load.split(", ")[0])
        busy, nearly = (float(each.split(", ")[1].removesuffix(" % busy")) for each in (load, same_load))
        assert nearly == pytest.approx(busy, abs=5.0)


def test_it_is_read_back_as_it_was_made(both: tuple[Run, Run], stored: Path, tmp_path: Path) -> None:
    again = results.read_run(stored)
    assert list(again.tables) == list(both[1].tables)
    assert set(both[1].tables) - set(both[0].tables) == set(COUNTED)
    for name, table in both[1].tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)
    assert tuple(again.entries) == both[0].entries
    results.write_run(both[1], tmp_path / "run")
    assert contents(tmp_path / "run") == contents(stored)


def test_a_table_that_a_run_does_not_have_is_said_to_be_missing(both: tuple[Run, Run]) -> None:
    with pytest.raises(ScenarioError, match="no table 'queues' in this run; a run has it with records: sample; it has"):
        both[0].tables["queues"]
    with pytest.raises(
        ScenarioError, match=r"no table 'queue' in this run; it has requests, (stages|items), decisions"
    ):
        both[1].tables["queue"]


@pytest.mark.parametrize(
    "values",
    [{"trace": "quiet.txt"}, {"trace": "constant:30:20", "drop_limits_s": {"object-detection": 0.001}}],
    ids=["nothing arrives", "most are dropped"],
)
def test_a_run_of_next_to_nothing_can_be_drawn(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four quiet seconds, whose bins would be narrower than an interval; and a load most of which is dropped."""
    monkeypatch.chdir(tmp_path)
    Path("quiet.txt").write_text("0 0 0 0\n")
    runs = [
        run_scenario(Scenario(pipeline="video").with_values({**values, "records": records}))
        for records in ("all", "sample")
    ]
    whole, sample = (drawn(run) for run in runs)
    assert list(whole) == list(sample)
    assert said(runs[0]) == said(runs[1])


def test_the_commands_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison with its report, the report of one of its runs, and its journal, replayed."""
    monkeypatch.chdir(tmp_path)

    def run(*args: Any) -> str:
        result = ipa(*args)
        assert result.exit_code == 0, result.output
        return result.stdout

    run(
        "compare",
        "video",
        *SHORT,
        "--policy",
        "ipa",
        "--set",
        "records=sample",
        *("--out", "all", "--report", "all.html"),
    )
    run("simulate", "all", "--policy", "ipa", "--out", "one")
    run("report", "one", "--to", "one.html")
    assert (tmp_path / "one.html").is_file()
    one = read_run(tmp_path / "one")
    assert replay(one.journal, one.scenario).equal == 3
    (tmp_path / "cut.jsonl.gz").write_bytes(one.journal.read_bytes()[:100])
    with pytest.raises(ScenarioError, match="cannot be read: Compressed file ended"):
        replay(tmp_path / "cut.jsonl.gz", one.scenario)
