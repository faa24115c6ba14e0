"""`ipa compare`: several policies at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import SHORT, SUMMARY_NAMES, answer, ipa, is_refused


def test_json_of_a_comparison_is_a_list_of_summaries() -> None:
    both = ("--policy", "ipa", "--policy", "switch-only", "--seeds", 2)
    summaries = answer("compare", "video", *both, *SHORT, "--quiet", "--json")
    assert [(each["policy"], each["seed"]) for each in summaries] == [
        ("ipa", 1),
        ("ipa", 2),
        ("switch-only", 1),
        ("switch-only", 2),
    ]
    assert all(set(SUMMARY_NAMES) <= set(each) for each in summaries)


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        ("compare vidoe", ["did you mean 'video'"]),
        ("compare video --policy ipa --policy switch-onyl", ["did you mean 'switch-only'"]),
        ("compare video --policy ipa --policy ipa", ["--policy ipa: given twice"]),
        ("compare video --policy switch-only --set policy.beta=2", ["beta", "'ipa'", "not compared"]),
        ("compare video --seeds 0", ["--seeds", "0"]),
        ("compare video --jobs 0", ["--jobs", "0"]),
    ],
)
def test_a_comparison_that_cannot_be_is_refused_with_what_is_allowed(command: str, texts: list[str]) -> None:
    is_refused(command, texts)


def test_seeds_that_replay_the_same_arrivals_are_said_to(here: Path) -> None:
    (here / "times.csv").write_text("arrival_s\n" + "".join(f"{0.2 * k:.1f}\n" for k in range(150)))
    command = ("compare", "video", "--policy", "ipa", "--seeds", 2, "--trace", "times.csv")
    assert "Warning: times.csv says when each request comes" in ipa(*command).stderr
    assert "says when" not in ipa(*command[:-1], "constant:5:30").stderr
