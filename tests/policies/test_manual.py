"""What is said of policies without a pipeline: their parameters, with types, defaults and meanings."""

from __future__ import annotations

from inspect import Parameter, signature
from pathlib import Path

import pytest

from ipa import profiles
from ipa.policies import POLICIES, PolicyError, create, manual_of


@pytest.mark.parametrize("name", POLICIES)
def test_every_parameter_of_every_policy_has_a_type_a_default_and_a_meaning(name: str) -> None:
    found = manual_of(name)
    assert found.summary.endswith(".")
    for each in found.parameters:
        assert each.type not in ("", "any"), each.name
        assert each.default is not None, each.name
        assert len(each.meaning) > 5, each.name


@pytest.mark.parametrize("name", POLICIES)
def test_the_parameters_are_those_that_the_policy_takes(name: str) -> None:
    """One more is refused, and the refusal lists all that are allowed, each once."""
    with pytest.raises(PolicyError) as refused:
        create(name, profiles.load("video"), {"no_such_thing": 1})
    allowed = str(refused.value).partition("allowed: ")[2].split(", ")
    assert len(allowed) == len(set(allowed))
    assert sorted(each.name for each in manual_of(name).parameters) == sorted(allowed)


def test_defaults_are_those_of_the_signature_and_the_pipelines_where_it_has_its_own() -> None:
    defaults = {each.name: each.default for each in manual_of("oracle").parameters}
    own = {
        each.name: repr(each.default)
        for each in signature(POLICIES["oracle"]).parameters.values()
        if each.kind is Parameter.KEYWORD_ONLY
    }
    assert {name: defaults[name] for name in own} == own
    assert (defaults["alpha"], defaults["max_replicas"]) == ("the pipeline's", "100")


MINE = '''
class Mine:
    """Does little.

    `level`: how much of it; `odd`: whether at odd steps. `plain` is not explained.
    """

    def __init__(self, pipeline, level, odd: bool = False, plain=1.5):
        pass

    def decide(self, observation, memory):
        pass

    @staticmethod
    def from_argument(argument, pipeline):
        """The parameters of `NAME:3`, the level."""
'''


def test_a_users_policy_is_shown_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text(MINE)
    found = manual_of(f"{tmp_path}/my.py:Mine")
    assert (found.summary, found.argument) == ("Does little.", f"`{tmp_path}/my.py:Mine:3`, the level.")
    assert [(each.name, each.type, each.default, each.meaning) for each in found.parameters] == [
        ("level", "any", None, "how much of it"),
        ("odd", "bool", "False", "whether at odd steps"),
        ("plain", "float", "1.5", ""),
    ]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("ipo", "unknown policy 'ipo' (did you mean 'ipa'?)"),
        ("scale-only:low", "'scale-only:low': give the policy's name alone, 'scale-only'"),
        ("none.py:Mine", "none.py: cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_policy_is_refused(spec: str, text: str) -> None:
    with pytest.raises(PolicyError) as refused:
        manual_of(spec)
    assert text in str(refused.value)
