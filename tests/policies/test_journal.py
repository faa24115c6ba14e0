"""The journal: a line a step, which comes back as it was, and on which the same policy decides the same (L10)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa.policies import (
    Applied,
    Decision,
    Entry,
    LatencyQuantiles,
    Observation,
    PolicyError,
    ReplicaCounts,
    StageConfiguration,
    StageObservation,
    create,
    from_plain,
    read_journal,
    replay_journal,
    to_line,
    to_plain,
)
from ipa.policies.journal import from_line
from ipa.studies import Run, Scenario, find, replay, results, simulate
from tests.command import POLICIES, SHORT, ipa, refusal
from tests.tiny import observation

# ---- lines ----

names = st.text(max_size=8)
counts = st.integers(0, 10**6)
finite = st.floats(allow_nan=False, allow_infinity=False)
seconds = st.floats(0, 1e9)
samples = st.one_of(seconds, st.just(nan))
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), finite, names),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
stage_configurations = st.builds(
    StageConfiguration, variant=names, batch=counts, replicas=counts, batch_timeout_s=seconds, cores=counts
)
quantiles = st.none() | st.builds(LatencyQuantiles, samples, samples, samples)
stages = st.builds(
    StageObservation,
    configuration=stage_configurations,
    arrivals=counts,
    completions=counts,
    drops=counts,
    failures=counts,
    queue_length=counts,
    in_service=counts,
    replicas=st.dictionaries(names, st.builds(ReplicaCounts, counts, counts, counts), max_size=2),
    busy_fraction=st.none() | st.floats(0, 1),
    latency=quantiles,
    failed_variants=st.lists(names, max_size=2).map(tuple),
)
observations = st.builds(
    Observation,
    pipeline=names,
    step=counts,
    seed=counts,
    time_s=seconds,
    load_rps=st.lists(samples, max_size=5).map(tuple),
    sample_age_s=seconds,
    limit_cores=st.none() | counts,
    stages=st.dictionaries(names, stages, max_size=2),
    latency=quantiles,
    future_rps=st.none() | st.lists(samples, max_size=3).map(tuple),
    elapsed_s=seconds,
)
decisions = st.builds(
    Decision,
    configuration=st.dictionaries(names, stage_configurations, max_size=2),
    memory=st.dictionaries(names, json_values, max_size=3),
    forecast_rps=st.none() | finite,
    planned_load_rps=st.none() | finite,
    objective=st.none() | st.dictionaries(names, finite, max_size=3),
    binding=st.none() | names,
    rung=names,
    feasible=st.booleans(),
    notes=st.lists(names, max_size=2).map(tuple),
)
entries = st.builds(
    Entry, observations, decisions, st.none() | st.builds(Applied, accepted=st.booleans(), reason=names)
)


def comparable(value: Any) -> Any:
    """The value with every NaN, which equals nothing, as a text."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(comparable(item) for item in value)
    return "NaN" if isinstance(value, float) and isnan(value) else value


@settings(max_examples=60, deadline=None)
@given(entries)
def test_an_entry_comes_back_from_its_line(entry: Entry) -> None:
    line = to_line(entry)
    back = from_line(line)
    assert comparable(asdict(back)) == comparable(asdict(entry))
    assert type(back.decision.notes) is tuple
    assert type(back.observation.load_rps) is tuple
    assert to_line(back) == line
    assert "\n" not in line
    json.loads(line, parse_constant=pytest.fail)


def test_a_missing_sample_is_null_in_the_line_and_nan_again() -> None:
    entry = Entry(
        Observation("tiny", 1, 0, 10.0, (nan, 2.0), 0.0, None, {}, latency=LatencyQuantiles(nan, nan, nan)),
        Decision({}, {}),
    )
    line = to_line(entry)
    assert '"load_rps":[null,2.0]' in line
    back = from_line(line).observation
    assert isnan(back.load_rps[0])
    assert back.latency is not None
    assert isnan(back.latency.p99_s)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda data: data.pop("decision"), "book:2: the key 'decision' is missing"),
        (lambda data: data["observation"].pop("load_rps"), "book:2: the key 'load_rps' is missing"),
        (lambda data: data["observation"].pop("step"), "book:2: not a journal entry"),
        (lambda data: data["observation"].update(more=1), "book:2: not a journal entry: .*'more'"),
        (lambda data: data["observation"].update(stages=[]), "book:2: not a journal entry"),
        (lambda data: data["observation"].pop("elapsed_s"), "book:2: the key 'elapsed_s' is missing"),
        (
            lambda data: data["observation"].update(schema_version=4),
            "its schema_version is 4; .* reads 1 to 3",
        ),
        (lambda data: data.update(outcome=3), "book:2: not a journal entry"),
        (lambda data: data["observation"].update(load_rps=[10**400]), "book:2: not a journal entry: 1000.* has 401"),
    ],
)
def test_a_line_that_is_no_entry_is_refused_by_number(change: Any, text: str) -> None:
    line = to_line(Entry(Observation("tiny", 1, 0, 10.0, (), 0.0, None, {}), Decision({}, {})))
    data = json.loads(line)
    change(data)
    with pytest.raises(PolicyError, match=text):
        list(read_journal([line, json.dumps(data)], "book"))


def test_a_line_of_version_1_says_as_much_of_the_time_since_the_step_before_as_policies_then_knew() -> None:
    for step, time_s, elapsed_s in ((0, 0.0, 0.0), (3, 30.0, 10.0), (3, 28_830.0, 9_610.0)):
        entry = Entry(Observation("tiny", step, 0, time_s, (), 10.0, None, {}, elapsed_s=99.0), Decision({}, {}))
        data = json.loads(to_line(entry))
        del data["observation"]["elapsed_s"]
        data["observation"]["schema_version"] = 1
        back = from_line(json.dumps(data)).observation
        assert (back.elapsed_s, back.schema_version) == (elapsed_s, 3)
        assert back.is_silent == (elapsed_s == 10.0)


# ---- replay ----


def test_the_option_journal_says_how_much_is_recorded(elsewhere: Path) -> None:
    assert ipa("simulate", "video", *SHORT, "--set", "journal=full", "--out", "run").exit_code == 0
    entries = list(read_journal((elsewhere / "run" / "journal.jsonl").read_text().splitlines()))
    assert all(entry.observation.latency is not None for entry in entries)
    assert "did you mean 'full'" in refusal("simulate", "video", *SHORT, "--set", "journal=ful")


@dataclass(frozen=True)
class Recorded:
    """A run of two minutes at the edge of the burst, and its journal read back from disk."""

    run: Run
    file: Path
    entries: list[Entry]

    @classmethod
    def of(cls, policy: str, folder: Path, **values: Any) -> Recorded:
        run = simulate(find("video", {"trace": "bursty", "window": "340:460", "policy": policy, **values}))
        results.write_run(run, folder)
        file = folder / "journal.jsonl"
        with file.open(encoding="utf-8") as lines:
            return cls(run, file, list(read_journal(lines)))


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded.of("ipa", tmp_path_factory.mktemp("lean"))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded.of("ipa", tmp_path_factory.mktemp("full"), journal="full")


def check_replay(recorded: Recorded, policy: str) -> None:
    run, entries = recorded.run, recorded.entries
    assert [entry.observation.step for entry in entries] == list(range(12))
    assert len({str(entry.decision.configuration) for entry in entries}) > 2
    assert comparable([asdict(entry) for entry in entries]) == comparable([asdict(entry) for entry in run.entries])
    replayed = list(replay_journal(run.pipeline, create(policy, run.pipeline), entries))
    assert [entry.decision for entry in replayed] == [entry.decision for entry in entries]


def test_l10_a_replayed_journal_gives_the_decisions_of_the_run(lean: Recorded, full: Recorded) -> None:
    for recorded in (lean, full):
        check_replay(recorded, "ipa")
    assert replay(lean.file, Scenario(pipeline="video")).equal == 12


@pytest.mark.parametrize("policy", ["scale-only:high", "switch-only"])
def test_l10_holds_for_the_other_policies_that_optimise(tmp_path: Path, policy: str) -> None:
    check_replay(Recorded.of(policy, tmp_path / "run"), policy)


def test_l10_holds_for_a_policy_with_memory_and_guards(elsewhere: Path) -> None:
    """The policy adds a replica a step, counted in its memory; the guard stops it at 4."""
    (elsewhere / "my.py").write_text(
        POLICIES + "\n\nclass Grows(Hold):\n    def decide(self, observation, memory):\n"
        "        steps = memory.get('steps', 0) + 1\n"
        "        wanted = {n: replace(c, replicas=steps) for n, c in observation.configuration.items()}\n"
        "        return Decision(configuration=wanted, memory={'steps': steps})\n"
    )
    recorded = Recorded.of("my.py:Grows", elsewhere / "run", **{"guards.max_replicas": 4})
    replicas = [entry.decision.configuration["object-detection"].replicas for entry in recorded.entries]
    assert replicas == [1, 2, 3, *[4] * 9]
    assert [entry.decision.memory["steps"] for entry in recorded.entries] == list(range(1, 13))
    unguarded = Scenario(pipeline="video").with_values({"policy": "my.py:Grows"})
    assert replay(recorded.file, unguarded.with_values({"guards.max_replicas": 4})).equal == 12
    assert replay(recorded.file, unguarded).equal == 4


def test_a_full_journal_holds_what_a_lean_one_lacks(lean: Recorded, full: Recorded) -> None:
    assert all(entry.observation.latency is None for entry in lean.entries)
    assert all(entry.observation.latency is not None for entry in full.entries)
    assert [entry.decision for entry in lean.entries] == [entry.decision for entry in full.entries]


@pytest.mark.parametrize("field", ["latency", "busy_fraction"])
def test_a_policy_that_reads_what_the_journal_lacks_is_refused_by_name(
    elsewhere: Path, lean: Recorded, full: Recorded, field: str
) -> None:
    (elsewhere / "my.py").write_text(POLICIES + f"\n\nclass Reads(Hold):\n    reads = ('{field}',)\n")
    reads = Scenario(pipeline="video").with_values({"policy": "my.py:Reads"})
    lacks = f"the policy reads {field}, which the journal lacks at step 0; record it with journal: full"
    with pytest.raises(PolicyError, match=lacks):
        replay(lean.file, reads)
    assert replay(full.file, reads).recorded


def test_a_predictor_that_reads_the_future_is_refused_by_name(full: Recorded) -> None:
    lacks = "the policy reads future_rps, which the journal lacks at step 0; record it with a policy that reads it"
    with pytest.raises(PolicyError, match=lacks):
        replay(full.file, Scenario(pipeline="video").with_values({"policy.predictor": "oracle"}))


def test_a_stage_is_written_with_its_five_fields() -> None:
    wanted = StageConfiguration("small", 2, 3, 0.5, 1)
    assert to_plain(wanted) == {"variant": "small", "batch": 2, "replicas": 3, "batch_timeout_s": 0.5, "cores": 1}
    assert from_plain(to_plain(wanted)) == wanted


def test_a_journal_with_a_mix_of_variants_is_refused_by_its_keys() -> None:
    """As version 0.2.0 wrote it."""
    line = json.loads(to_line(Entry(observation(), Decision({"a": StageConfiguration("small", 1, 1, 0.0, 1)}, {}))))
    of_stage = line["decision"]["configuration"]["a"]
    line["decision"]["configuration"]["a"] = {**of_stage, "share": 0.5, "beside": [of_stage]}
    with pytest.raises(PolicyError, match="a stage's configuration has no beside, share; allowed: variant, batch,"):
        from_line(json.dumps(line))
