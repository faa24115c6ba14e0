"""`ipa compare`: several policies at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipa.policies import describe
from ipa.studies import prepare, read_comparison
from tests.command import POLICIES, SHORT, SUMMARY_NAMES, answer, ipa, is_refused, refusal


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
        (
            "compare video --set policy.bta=2",
            ["policy.bta", "none of the compared policies has it", "did you mean 'policy.beta'"],
        ),
    ],
)
def test_a_comparison_that_cannot_be_is_refused_with_what_is_allowed(command: str, texts: list[str]) -> None:
    is_refused(command, texts)


def test_one_policy_is_compared_with_itself_with_other_parameters(here: Path) -> None:
    """Each goes by what was given; --set is for all, behind what each has of its own."""
    given = ("ipa", "ipa alpha=200", "ipa predictor={name: mean, factor: 1.5} beta=0.01")
    command = ("compare", "video", *(word for each in given for word in ("--policy", each)), *SHORT, "--out", "three")
    summaries = answer(*command, "--set", "policy.beta=5", "-q", "--json")
    assert [each["policy"] for each in summaries] == list(given)
    assert len({each["pas_mean"] for each in summaries}) == 3
    parameters = [describe(prepare(run.scenario).policy)["parameters"] for run in read_comparison(here / "three").runs]
    assert sorted((each["alpha"], each["beta"]) for each in parameters) == [(2, 0.01), (2, 5), (200, 5)]
    assert answer(*command, "--set", "policy.beta=5", "-q", "--json") == summaries  # all of them are found again
    alone = ("simulate", "video", "--policy", given[2], *SHORT, "--json")
    assert answer(*alone)["pas_mean"] == summaries[2]["pas_mean"]


def test_labels_and_parameters_for_all_on_the_command_line(here: Path) -> None:
    (here / "my.py").write_text("class Ten:\n    def predict(self, observation):\n        return 10.0\n")
    given = ("ipa label='IPA x=1'", "rate predictor=my.py:Ten", "rate predictor={name: mean, factor: 1.1}", "hpa")
    policies = (word for each in given for word in ("--policy", each))
    command = ("compare", "video", *policies, *SHORT, "--set", "policy.alpha=3", "--out", "out")
    result = ipa(*command, "--json")
    assert result.exit_code == 0, result.stderr
    names = ["IPA x=1", *given[1:]]
    assert [run["policy"] for run in json.loads(result.stdout)] == names
    (note,) = [line for line in result.stderr.splitlines() if "reach" in line]
    assert note == f"policy.alpha does not reach {', '.join(names[1:])}, which have no such parameter"
    quiet = ipa(*command, "-q")
    assert quiet.stderr == ""
    assert all(name in quiet.stdout for name in names)


def test_an_error_in_a_run_names_its_policy_and_its_seed(here: Path) -> None:
    (here / "my.py").write_text(
        POLICIES
        + """

class Second(Hold):
    def decide(self, observation, memory):
        if observation.seed == 2:
            raise ValueError("not today")
        return super().decide(observation, memory)
"""
    )
    (line,) = [n for n, text in enumerate((here / "my.py").read_text().splitlines(), 1) if "not today" in text]
    said = refusal("compare", "video", "--policy", "static", "--policy", "my.py:Second", "--seeds", 2, *SHORT)
    assert said == f"my.py:Second, seed 2: step 0 (at 0 s): my.py:{line}: ValueError: not today"


def test_seeds_that_replay_the_same_arrivals_are_said_to(here: Path) -> None:
    (here / "times.csv").write_text("arrival_s\n" + "".join(f"{0.2 * k:.1f}\n" for k in range(150)))
    command = ("compare", "video", "--policy", "ipa", "--seeds", 2, "--trace", "times.csv")
    assert "Warning: times.csv says when each request comes" in ipa(*command).stderr
    assert "says when" not in ipa(*command[:-1], "constant:5:30").stderr


@pytest.mark.long
def test_intervals_over_one_log_say_that_they_hold_it_fixed(here: Path) -> None:
    """In the terminal and on the page, of a comparison and of a sweep; not those over drawn loads, nor of one seed."""
    (here / "log.csv").write_text("count\n" + "5\n" * 30)
    compared = ("compare", "video", "--policy", "ipa", "--policy", "rate")
    swept = ("sweep", "video", "--vary", "policy.alpha=1,50", "--out")
    for trace, seeds, is_said in (("log.csv", 2, True), ("constant:5:30", 2, False), ("log.csv", 1, False)):
        for place, command in enumerate((compared, (*swept, f"{trace[:3]}{seeds}"))):
            page = here / f"page{place}.html"
            shown = ipa(*command, "--trace", trace, "--seeds", seeds, "--report", page)
            assert shown.exit_code == 0, shown.output
            for text in (" ".join(shown.stdout.split()), page.read_text()):
                assert ("A log is the same load with every seed" in text) is is_said, (command, trace, seeds)


def test_intervals_of_five_seeds_stand_on_one_line(here: Path) -> None:
    """The table would be 125 columns wide; each policy has one line of 120 at most."""
    policies = ("ipa", "scale-only:low", "scale-only:high")
    asked = [text for policy in policies for text in ("--policy", policy)]
    table = ipa("compare", "video", "--seeds", 5, *asked).stdout.partition("Intervals are")[0]
    rows = [line.rstrip() for line in table.splitlines() if "[" in line]
    assert [row.split()[0] for row in rows] == list(policies)
    assert max(map(len, rows)) <= 120
