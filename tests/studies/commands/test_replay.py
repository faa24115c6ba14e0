"""`ipa replay`: what another policy would have decided."""

from __future__ import annotations

import json
from pathlib import Path

from tests.command import SHORT, ipa, refusal


def test_a_journal_is_replayed(own: Path) -> None:
    same = ipa("replay", "run")
    assert same.stdout == "ipa would have decided the same in 3 of 3 steps\n"
    other = ipa("replay", "run", "--policy", "scale-only:low", "--json")
    lines = [json.loads(line) for line in other.stdout.splitlines()]
    assert [line["observation"]["step"] for line in lines] == [0, 1, 2]
    chosen = lines[0]["decision"]["configuration"]
    assert [stage["variant"] for stage in chosen.values()] == ["yolov5n", "resnet18"]


def test_of_several_lines_of_a_step_the_latest_is_replayed(own: Path) -> None:
    """A live controller writes a line when it has decided, and another with the answer."""
    lines = Path("run/journal.jsonl").read_text(encoding="utf-8").splitlines()
    unanswered = [json.dumps({**json.loads(line), "outcome": None}, separators=(",", ":")) for line in lines]
    both = [each for pair in zip(unanswered, lines, strict=True) for each in pair]
    Path("live.jsonl").write_text("\n".join(both) + "\n", encoding="utf-8")
    said = ipa("replay", "live.jsonl", "--pipeline", "video", "--policy", "ipa")
    assert said.stdout == "ipa would have decided the same in 3 of 3 steps\n"


def test_a_replay_takes_the_settings_of_the_run(own: Path) -> None:
    """beta = 0 makes cores free: the most accurate variants; with beta = 1 the replay differs in every step."""
    assert ipa("simulate", "video", *SHORT, "--set", "policy.beta=0", "--out", "free").exit_code == 0
    for run in ("free", "free/journal.jsonl"):
        assert "in 3 of 3 steps" in ipa("replay", run).stdout
        assert "in 0 of 3 steps" in ipa("replay", run, "--set", "policy.beta=1").stdout
    assert "in 0 of 3 steps" in ipa("replay", "free/journal.jsonl", "--pipeline", "video").stdout


def test_a_replay_keeps_the_sla_of_the_run(own: Path) -> None:
    """Within 0.6 s fewer configurations are feasible than within the 6.89 s of the pipeline, for any policy."""
    assert ipa("simulate", "video", *SHORT, "--set", "sla_s=0.6", "--out", "strict").exit_code == 0
    assert "ipa would have decided the same in 3 of 3 steps" in ipa("replay", "strict").stdout
    assert (
        ipa("simulate", "video", *SHORT, "--policy", "switch-only", "--set", "sla_s=0.6", "--out", "other").exit_code
        == 0
    )
    strict, other = (ipa("replay", run, "--policy", "switch-only", "--json").stdout for run in ("strict", "other"))
    assert json.loads(strict.splitlines()[0])["decision"] == json.loads(other.splitlines()[0])["decision"]


def test_a_replay_takes_the_pipeline_that_the_run_had_and_says_so(own: Path) -> None:
    """The edited one has a variant of another name, which the journal's configurations do not have."""
    assert ipa("simulate", "mine.yaml", *SHORT, "--out", "mine").exit_code == 0
    assert "Changed" not in ipa("replay", "mine").stderr
    (own / "mine.yaml").write_text((own / "mine.yaml").read_text().replace("name: small", "name: tiny"))
    replayed = ipa("replay", "mine")
    assert "in 3 of 3 steps" in replayed.stdout
    assert "Changed since the run: mine.yaml; the copy in mine is used" in replayed.stderr


def test_a_journal_away_from_its_run_needs_a_pipeline(own: Path) -> None:
    (own / "away").mkdir()
    (own / "away" / "journal.jsonl").write_bytes((own / "run" / "journal.jsonl").read_bytes())
    assert "give the run's folder, or --pipeline" in refusal("replay", "away/journal.jsonl")
    assert "away: contains no results: manifest.json is missing" in refusal("replay", "away")
    assert "in 3 of 3 steps" in ipa("replay", "away/journal.jsonl", "--pipeline", "video").stdout
