"""What a shell is offered when Tab is pressed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from ipa import policies, profiles, traces
from ipa.studies.commands import main
from ipa.studies.scenario import ClusterLimits, GuardBounds, Scenario


def offered(line: str) -> list[str]:
    """The words offered at the end of a command line; files are left to the shell."""
    *words, typed = line.split(" ")
    items = ShellComplete(main, {}, "ipa", "_IPA_COMPLETE").get_completions(words[1:], typed)
    return [item.value for item in items if item.type == "plain"]


def test_pipelines_policies_and_loads_are_offered_by_name() -> None:
    assert offered("ipa simulate ") == list(profiles.names())
    assert offered("ipa profile show vi") == ["video"]
    assert offered("ipa compare video --policy sca") == ["scale-only", "scale-only:low", "scale-only:high"]
    assert set(policies.POLICIES) < set(offered("ipa replay j --policy "))
    assert offered("ipa compare video --predictors max,re") == ["max,reactive"]
    assert offered("ipa study pa") == ["paper"]
    assert offered("ipa trace info ") == list(traces.known_names())
    assert offered("ipa live run video --trace twitter:st") == ["twitter:steady-low", "twitter:steady-high"]


def test_the_keys_that_are_offered_are_those_of_the_scenario() -> None:
    keys = [each.removesuffix("=") for each in offered("ipa simulate video --set ")]
    guards = [f"guards.{name}" for name in GuardBounds.model_fields]
    limits = [f"limits.{name}" for name in ClusterLimits.model_fields]
    assert keys == [*Scenario.model_fields, "policy.", *guards, *limits]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ipa simulate video --set engine=", ["engine=auto", "engine=simpy", "engine=compiled"]),
        ("ipa simulate video --set scaling=t", ["scaling=thin"]),
        ("ipa simulate video --set hop_s=", []),
        ("ipa simulate video --arrivals po", ["poisson", "poisson-count"]),
        ("ipa simulate video --policy switch-only:3,3 --set policy.re", ["policy.replicas="]),
        ("ipa simulate video --set policy.al", ["policy.alpha="]),
        ("ipa compare video --policy hpa --policy static --set policy.re", ["policy.replicas="]),
        ("ipa simulate video --policy my.py:Mine --set policy.", []),
    ],
)
def test_keys_come_with_their_words_and_a_policy_with_its_parameters(line: str, words: list[str]) -> None:
    assert offered(line) == words


def test_completion_loads_nothing_that_takes_long() -> None:
    program = (
        "import sys\nfrom click.shell_completion import ShellComplete\nfrom ipa.studies.commands import main\n"
        "shell = ShellComplete(main, {}, 'ipa', '_IPA_COMPLETE')\n"
        "for words, typed in (('simulate',), ''), (('simulate', 'video', '--policy'), 's'), "
        "(('simulate', 'video', '--set'), 'policy.'), (('trace', 'info'), 'b'):\n"
        "    assert shell.get_completions(list(words), typed)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"pandas", "pydantic", "yaml", "scipy", "simpy", "numba", "rich"} & set(done.stdout.split())
