"""Policies by name, with arguments and parameters, and from files; mistakes are answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipa.policies.interface import PolicyError
from ipa.policies.ipa import Ipa
from ipa.policies.registry import create, describe, split_spec, take_from_spec, takes
from ipa.policies.scale_only import ScaleOnly
from ipa.policies.static import Static
from ipa.policies.switch_only import SwitchOnly
from tests.tiny import chosen, observation, published, two_by_two

PIPELINE = two_by_two(published(accuracy="sum"))
EXAMPLE = Path(__file__).parents[2] / "studies" / "examples" / "my_policy.py"


def test_names_and_arguments_make_policies() -> None:
    assert isinstance(create("ipa", PIPELINE), Ipa)
    for spec, variants in [
        ("scale-only:low", {"a": "small", "b": "small"}),
        ("scale-only:high", {"a": "large", "b": "large"}),
        ("scale-only:large,small", {"a": "large", "b": "small"}),
    ]:
        policy = create(spec, PIPELINE)
        assert isinstance(policy, ScaleOnly)
        assert policy.variants == variants
    for spec, replicas in [("switch-only", {"a": 2, "b": 2}), ("switch-only:3,4", {"a": 3, "b": 4})]:
        policy = create(spec, PIPELINE)
        assert isinstance(policy, SwitchOnly)
        assert policy.replicas == replicas
    for spec, fixed in [
        ("static:1,1", {"a": ("small", 1, 1), "b": ("small", 1, 1)}),
        ("static:3,2", {"a": ("small", 1, 3), "b": ("small", 1, 2)}),
        ("static:large:2:3,small:1:1", {"a": ("large", 2, 3), "b": ("small", 1, 1)}),
    ]:
        policy = create(spec, PIPELINE)
        assert isinstance(policy, Static)
        assert chosen(policy.configuration) == fixed


def test_parameters_reach_the_optimiser_and_the_predictor() -> None:
    policy = create("ipa", PIPELINE, {"beta": 0.5, "predictor": {"name": "mean", "factor": 1.1}})
    parameters = describe(policy)["parameters"]
    assert (parameters["alpha"], parameters["beta"]) == (10.0, 0.5)
    assert parameters["predictor"]["factor"] == 1.1
    assert parameters["sla_s"] == 1.0


@pytest.mark.parametrize(
    ("spec", "parameters", "text"),
    [
        ("ipaa", {}, r"unknown policy 'ipaa' \(did you mean 'ipa'\?\); allowed: "),
        ("", {}, "policy '' must be a name"),
        ("ipa:fast", {}, "policy 'ipa' takes no argument; given: ipa:fast"),
        ("switch-only:", {}, "lacks its argument"),
        ("scale-only:large,smal", {}, "variants.b='smal' is none of: small, large .*'small'"),
        ("scale-only:low", {"variants": "high"}, "scale-only:low gives variants, and so do"),
        ("switch-only:3", {}, "replicas '3' must be whole numbers, one per stage: a, b"),
        ("switch-only:3,0", {}, "replicas.b=0 must be a whole number of at least 1"),
        ("static:small:1", {}, "must be variant:batch:replicas"),
        ("static:small:4:1,small:1:1", {}, "configuration.a.batch=4 is above the largest profiled for small: 2"),
        ("static", {"configuration": {"a": {"variant": "small"}}}, "configuration lacks b"),
        ("static", {"replicas": {"a": 1, "b": 1.5}}, "replicas=1.5 must be a whole number"),
        ("ipa", {"bta": 1}, r"unknown parameter 'bta' of policy 'ipa' \(did you mean 'beta'\?\); allowed: "),
        ("ipa", {"variants": "low"}, "unknown parameter 'variants' of policy 'ipa'"),
        ("ipa", {"load_margin": -2}, "load_margin=-2 must be a finite number above -1"),
        ("ipa", {"rounding": "up"}, "rounding='up' is none of: nearest, none"),
        ("scale-only:low", {"keep_variants": "yes"}, "keep_variants='yes' must be true or false"),
    ],
)
def test_mistakes_are_answered(spec: str, parameters: dict[str, object], text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        create(spec, PIPELINE, parameters)


# A user's file


def written(folder: Path, text: str) -> str:
    file = folder / "mine.py"
    file.write_text(text)
    return str(file)


def test_a_class_with_decide_is_all_a_file_needs(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "from ipa.policies.interface import Decision\n"
        "class Still:\n"
        "    def __init__(self, pipeline, *, patience=3):\n"
        "        self.patience = patience\n"
        "        self._secret = 1\n"
        "    def decide(self, observation, memory):\n"
        "        steps = memory.get('steps', 0) + 1\n"
        "        return Decision(observation.configuration, {'steps': steps})\n",
    )
    policy = create(f"{file}:Still", PIPELINE, {"patience": 5})
    decision = policy.decide(observation([1.0]), {"steps": 4})
    assert decision.memory == {"steps": 5}
    assert describe(policy) == {"name": "Still", "parameters": {"patience": 5}}


KNOWING = """
class Knowing:
    facts = {facts!r}
    def __init__(self, pipeline, *, interval_s=1.0, decision_delay_s=1.0):
        self.known = (interval_s, decision_delay_s)
    def decide(self, observation, memory):
        raise NotImplementedError
"""
WORLD = {"interval_s": 5.0, "decision_delay_s": 2.0, "dispatch": "eager"}


def test_a_class_gets_the_facts_that_it_names_and_what_is_given_wins(tmp_path: Path) -> None:
    spec = f"{written(tmp_path, KNOWING.format(facts=('interval_s',)))}:Knowing"
    made = [
        create(spec, PIPELINE, {}, WORLD),
        create(spec, PIPELINE, {"interval_s": 3.0}, WORLD),
        create(f"{spec} interval_s=4", PIPELINE, None, WORLD),
        create(spec, PIPELINE),
    ]
    assert [policy.known for policy in made] == [(5.0, 1.0), (3.0, 1.0), (4, 1.0), (1.0, 1.0)]  # type: ignore[attr-defined]


HANDING_ON = """
from ipa.policies import Foresight, Ipa
class HandingOn(Foresight):
    def __init__(self, pipeline, *, share=0.5, **others):
        super().__init__(pipeline, **others)
        self.ipa = Ipa(pipeline, **others)
"""


def test_facts_go_to_the_class_that_names_them_not_through_a_subclass_that_passes_parameters_on(tmp_path: Path) -> None:
    """An interval among the `others` would be an unknown parameter of IPA; `foresight` within knows the world."""
    spec = f"{written(tmp_path, HANDING_ON)}:HandingOn"
    policy: Any = create(spec, PIPELINE, {"alpha": 3.0}, WORLD)
    assert (policy.ipa.parameters["alpha"], policy.parameters["alpha"]) == (3.0, 3.0)
    assert {fact: policy.parameters[fact] for fact in WORLD} == WORLD
    assert policy._lead_s == 2.0 + policy.start_up_s


def test_a_subclass_that_passes_parameters_on_takes_those_of_its_parent(tmp_path: Path) -> None:
    text = HANDING_ON.replace("        self.ipa = Ipa(pipeline, **others)\n", "")
    spec = f"{written(tmp_path, text)}:HandingOn"
    policy: Any = create(spec, PIPELINE, {"risk": 0.01, "decision_delay_s": 3.0}, WORLD)
    assert (policy.risk, policy.decision_delay_s, policy.interval_s) == (0.01, 3.0, 5.0)
    assert takes(spec, "rise")
    with pytest.raises(PolicyError, match=r"unknown parameter 'rize' .*did you mean 'rise'"):
        create(spec, PIPELINE, {"rize": 2.0}, WORLD)


@pytest.mark.parametrize("facts", [("start_up_s",), "interval_s"])
def test_a_fact_that_is_none_is_answered_with_those_there_are(tmp_path: Path, facts: object) -> None:
    spec = f"{written(tmp_path, KNOWING.format(facts=facts))}:Knowing"
    with pytest.raises(PolicyError, match=r"Knowing.facts .*interval_s, decision_delay_s, dispatch"):
        create(spec, PIPELINE, {}, WORLD)


def test_a_file_may_hold_dataclasses(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\n"
        "class Fixed:\n"
        "    pipeline: object\n"
        "    replicas: int = 1\n"
        "    def decide(self, observation, memory):\n"
        "        raise NotImplementedError\n",
    )
    assert describe(create(f"{file}:Fixed", PIPELINE, {"replicas": 2}))["parameters"] == {"replicas": 2}


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("class A:\n    def decide(self)\n        pass\n", "A", r"mine\.py:2: syntax error: expected ':'"),
        ("x = 1\n\ny = x / 0\n", "A", r"mine\.py:3: ZeroDivisionError: division by zero"),
        ("import nothing_like_it\n", "A", r"mine\.py:1: ModuleNotFoundError"),
        ("class Mine:\n    pass\n", "Min", r"no class 'Min' \(did you mean 'Mine'\?\); classes there: Mine"),
        ("\nclass Mine:\n    pass\n", "Mine", r"mine\.py:2: Mine has no method 'decide'"),
        (
            (
                "class Mine:\n    def __init__(self, pipeline):\n        self.x = pipeline.nam\n"
                "    def decide(self, o, m): ...\n"
            ),
            "Mine",
            r"mine\.py:3: policy .*: AttributeError: .*nam",
        ),
        (
            "class Mine:\n    def __init__(self, pipeline, *, gain): ...\n    def decide(self, o, m): ...\n",
            "Mine",
            "needs the parameter gain",
        ),
        (
            (
                "class Mine:\n    reads = ('wind',)\n    def __init__(self, pipeline): ...\n"
                "    def decide(self, o, m): ...\n"
            ),
            "Mine",
            "Mine.reads names 'wind'; allowed: latency",
        ),
    ],
)
def test_errors_in_a_file_are_told_with_their_line(tmp_path: Path, text: str, name: str, expected: str) -> None:
    with pytest.raises(PolicyError, match=expected):
        create(f"{written(tmp_path, text)}:{name}", PIPELINE)


def test_a_file_that_is_not_there_or_names_no_class(tmp_path: Path) -> None:
    missing = tmp_path / "none.py"
    with pytest.raises(PolicyError, match=r"none\.py: cannot be read: No such file"):
        create(f"{missing}:A", PIPELINE)
    with pytest.raises(PolicyError, match=r"names no class; write .*none\.py:ClassName"):
        create(str(missing), PIPELINE)


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    body = "class A:\n    n = {}\n    def __init__(self, pipeline): ...\n    def decide(self, o, m): ...\n"
    for n in (1, 2):
        policy = create(f"{written(tmp_path, body.format(n))}:A", PIPELINE)
        assert vars(type(policy))["n"] == n


# The example


def test_the_example_keeps_variants_for_a_small_gain_only() -> None:
    """4 rps, small at hand: large gains 2 a stage, 4 in all (10 x 0.3 - 1 core, twice)."""
    seen = observation([4.0] * 40)
    bold = create(f"{EXAMPLE}:Steady", PIPELINE, {"least_gain": 3.9})
    shy = create(f"{EXAMPLE}:Steady", PIPELINE, {"least_gain": 4.1, "predictor": "reactive"})
    assert chosen(bold.decide(seen, {}).configuration)["a"] == ("large", 1, 1)
    decision = shy.decide(seen, {})
    assert chosen(decision.configuration)["a"] == ("small", 1, 1)
    assert decision.notes == ("kept the variants; a change gains 4",)
    assert describe(shy)["parameters"]["ipa"]["parameters"]["predictor"]["name"] == "reactive"


# ---- parameters in the spec ----


def test_parameters_may_follow_a_policys_name_in_its_spec() -> None:
    spec = "scale-only:high  load_margin=0.2 predictor={name: mean, factor: 1.5} rounding=none"
    given = {"load_margin": 0.2, "predictor": {"name": "mean", "factor": 1.5}, "rounding": "none"}
    assert describe(create(spec, PIPELINE)) == describe(create("scale-only:high", PIPELINE, given))
    joined = describe(create("ipa beta=3", PIPELINE, {"alpha": 9}))["parameters"]
    assert (joined["alpha"], joined["beta"]) == (9, 3)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("ipa alpha=[1", "policy 'ipa alpha=[1': alpha=[1: not valid YAML"),
        ("ipa alpha=1 alpha=2", "policy 'ipa alpha=1 alpha=2': gives alpha twice"),
        ("ipa alhpa=1", "unknown parameter 'alhpa' of policy 'ipa' (did you mean 'alpha'?)"),
        ("ipa predictor.factor=2", "give the whole of predictor, as in predictor={factor: 2}"),
    ],
)
def test_wrong_parameters_in_a_spec_are_refused_with_what_is_allowed(spec: str, text: str) -> None:
    with pytest.raises(PolicyError) as refused:
        create(spec, PIPELINE, {"beta": 1})
    assert text in str(refused.value)


def test_an_equals_sign_in_quotes_begins_no_parameter() -> None:
    spec = """ipa label="IPA alpha=2" predictor={name: mean, factor: 1.1} note='a b=c'"""
    own = {"label": "IPA alpha=2", "predictor": {"name": "mean", "factor": 1.1}, "note": "a b=c"}
    assert split_spec(spec) == ("ipa", own)
    rest = """ipa predictor={name: mean, factor: 1.1} note='a b=c'"""
    assert take_from_spec(spec, "label") == (rest, "IPA alpha=2")
    assert take_from_spec(rest, "label") == (rest, None)
    assert take_from_spec("my label.py:Mine", "label") == ("my label.py:Mine", None)


def test_whether_a_policy_takes_a_parameter_is_known_without_a_pipeline() -> None:
    assert [takes(spec, "predictor") for spec in ("ipa", "scale-only:low alpha=2", "rate", "hpa:high", "oracle")] == [
        *(True, True, True),
        *(False, False),
    ]
    with pytest.raises(PolicyError, match="did you mean 'ipa'"):
        takes("ipaa", "alpha")
