"""The library of loads: families drawn by a seed, and what the runs on them come to."""

from __future__ import annotations

import csv
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa import profiles, traces
from ipa.studies import Scenario, load_study, prepare
from ipa.studies.load_study import cases_of, drawn, families, lines_of, pages, runs
from ipa.studies.load_study.families import DAY_S, FAMILIES, LENGTH_S, TWEETS, WITHOUT_PAST
from ipa.studies.load_study.runs import BOUND, POLICIES, SCALES, WORLDS, Cell, Row
from ipa.studies.many import Running
from ipa.traces import HISTORY_S, Trace
from tests.command import ipa


def test_a_family_is_drawn_by_its_seed_alone() -> None:
    first = drawn(["step", "flash"], 2, 5, None, None)
    again = drawn(["flash", "step", "ramp"], 2, 5, None, None)
    others = drawn(["step", "flash"], 2, 6, None, None)
    assert [each.load for each in first] == [each.load for each in again if each.family != "ramp"]
    assert all(one.load != other.load for one, other in zip(first, others, strict=True))
    assert [(each.family, each.draw) for each in first] == [("step", 1), ("step", 2), ("flash", 1), ("flash", 2)]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_load_lasts_twenty_minutes_and_has_a_past(family: str) -> None:
    (found,) = drawn([family], 1, 1, None, None)
    assert found.load.duration_s == LENGTH_S
    assert len(found.load.history_counts) == (2 * DAY_S if family == "diurnal" else HISTORY_S)
    assert 1 < found.load.per_second().mean() < 60
    five = found.scaled(5, 1)
    assert five.per_second().mean() == pytest.approx(5 * found.load.per_second().mean(), rel=0.05)


def test_a_step_is_at_once_and_stays() -> None:
    counts = FAMILIES["step"](np.random.default_rng(1))
    assert len(np.unique(counts)) == 2
    assert 3 <= counts.max() / counts.min() <= 6
    assert (np.diff(counts) >= 0).all()


def test_windows_of_a_recording_are_the_same_with_and_without_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(families, "TWEETS_FROM_S", 3000)
    counts = np.random.default_rng(2).poisson(80, 9000)
    path = traces.write(Trace.of_counts("recorded", counts), tmp_path / "recorded.csv")
    with_past, without = drawn([TWEETS, WITHOUT_PAST], 1, 3, path, None)
    assert (with_past.load.per_second() == without.load.per_second()).all()
    assert len(with_past.load.history_counts) >= 3000
    assert len(without.load.history_counts) == 0
    assert drawn([TWEETS, "azure"], 1, 3, None, None) == []


def test_every_policy_is_run_in_every_world_and_at_every_scale(tmp_path: Path) -> None:
    cases = list(cases_of(drawn(["step"], 1, 1, None, None), ["video"], 1, tmp_path))
    assert len(cases) == len(POLICIES) * (len(SCALES) + len(WORLDS) - 1)
    assert len({cell for cell, _ in cases}) == len(cases)
    assert len({planned.key for _, planned in cases}) == len(cases) - 1  # the oracle starts warm in two worlds
    scenarios = {cell: Scenario.model_validate(planned.data) for cell, planned in cases}
    for scenario in list(scenarios.values())[:: len(POLICIES) + 1]:
        prepare(scenario)
    of = {cell.world: scenario for cell, scenario in scenarios.items() if cell.policy == "foresight"}
    assert of["half the SLA"].sla_s == profiles.load("video").sla_s / 2
    assert of["a new deployment"].start == "configured"
    bound = {cell.world: scenario for cell, scenario in scenarios.items() if cell.policy == BOUND}
    assert bound["a new deployment"].start == "warm"


def row(policy: str, objective: float, late_percent: float = 0.0, pipeline: str = "video") -> Row:
    return Row(Cell("as it is", 1.0, "step", 1, pipeline, policy), objective, late_percent, 3.0, 40.0)


def test_the_best_choice_keeps_the_sla_as_the_oracle_does() -> None:
    rows = [row("ipa", -2.0), row("rate", 3.0, 0.2), row("hpa", 5.0, 9.0), row("foresight", 1.0), row(BOUND, 2.0)]
    (line,) = lines_of(rows)
    assert line.best == "ipa"
    assert line.closed == pytest.approx(3 / 4)
    (none,) = lines_of([replaced._replace(late_percent=1 + replaced.late_percent) for replaced in rows[:4]] + rows[4:])
    assert none.best == "ipa"  # all are late, it least


def test_no_cell_counts_for_more_than_the_whole_gap_and_one_without_a_gap_for_none() -> None:
    rows = [row("ipa", -2.0), row("foresight", 4.0), row(BOUND, 2.0)]
    rows += [row("ipa", 1.95, pipeline="nlp"), row("foresight", 0.0, pipeline="nlp"), row(BOUND, 2.0, pipeline="nlp")]
    (line,) = lines_of(rows)
    assert line.closed == 1.0
    (line,) = lines_of(rows[3:])
    assert isnan(line.closed)
    assert line.figures["ipa"].most_late_percent == 0.0


def test_a_study_is_resumed_and_writes_a_table_and_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "POLICIES", {name: POLICIES[name] for name in ("ipa", "foresight", BOUND)})
    monkeypatch.setattr(runs, "WORLDS", {runs.WORLD: {}})
    monkeypatch.setattr(runs, "SCALES", (1.0,))
    said: list[str] = []

    def conduct(**more: Any) -> tuple[load_study.pages.Found, str]:
        found = load_study.conduct(
            load_study.Loads(families=["step"], **more), Running(tmp_path, 1, log=said.append), ["video"]
        )
        return found, [line for line in said if "runs in " in line][-1]

    (first, made), (again, found) = conduct(), conduct()
    assert (made[:9], found[:9]) == ("3 runs in", "0 runs in")
    assert first == again
    with (tmp_path / pages.TABLE).open() as file:
        table = list(csv.DictReader(file))
    assert [each["policy"] for each in table] == ["ipa", "foresight", BOUND]
    assert "step, x 1" in (tmp_path / pages.MARKDOWN).read_text()
    assert "<h2>As it is</h2>" in (tmp_path / pages.PAGE).read_text()
    assert conduct(draws=2)[1][:9] == "3 runs in"

    (other,) = drawn(["step"], 1, 2, None, None)
    monkeypatch.setattr(pages, "drawn", lambda *_: [replace(other, draw=1)])
    later, made = conduct()
    assert made[:9] == "3 runs in"  # a load of the same name with other requests
    assert later != first


def test_what_the_folder_holds_is_said_by_commands_that_cannot_use_it(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"schema_version": 1, "kind": "loads"}')
    for command in ("report", "explain", "simulate", "compare", "explore"):
        done = ipa(command, str(tmp_path))
        assert done.exit_code == 2, command
        assert "holds the study of loads" in done.stderr, command


def test_a_graph_is_refused_before_any_load_is_written(tmp_path: Path) -> None:
    done = ipa("study", "loads", "--pipeline", "video", "--pipeline", "traffic", "--out", str(tmp_path / "loads"))
    assert done.exit_code == 2
    assert done.stderr == "Error: traffic is a graph of stages; the study of loads takes chains\n"
    assert not (tmp_path / "loads").exists()


def test_options_of_loads_belong_to_that_study() -> None:
    refused = ipa("study", "paper", "--out", "x", "--draw-seed", 3)
    assert refused.exit_code == 2
    assert "--draw-seed is of the study loads alone" in refused.stderr
