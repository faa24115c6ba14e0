"""The entries of a comparison: policies with their parameters and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from ipa.policies import PLANNING_PARAMETERS, split_spec, takes
from ipa.profiles import did_you_mean
from ipa.studies.scenario import PolicyChoice, Scenario, ScenarioError, parse_value

Given = str | Mapping[str, Any]
"""A policy: a text, or a mapping with `name` and parameters."""

BASELINES = ("ipa", "foresight", "scale-only:low", "scale-only:high", "switch-only")
"""The systems of the publication: what a comparison runs by default."""


class Choosing(TypedDict, total=False):
    """The further arguments of `choose`."""

    parameters: Mapping[str, Any] | None
    log: Callable[[str], object]


def choose(
    base: Scenario,
    policies: Sequence[Given] = BASELINES,
    *,
    parameters: Mapping[str, Any] | None = None,
    log: Callable[[str], object] = lambda _: None,
) -> list[Scenario]:
    """A scenario for each policy, in the order given.

    `parameters`, by dotted key (`alpha`, `predictor.factor`), apply to every policy that has them; a policy's own value
    takes precedence. The base's policy keeps its parameters. `log` gets a message for policies
    that lack a parameter.

    Raises ScenarioError for two entries that are equal or have the same label, for parameters that no
    policy has, and for parameters of the base's policy if it is not compared; PolicyError for
    an unknown policy.
    """
    common = dict(parameters or {})
    entries = [_entry(base, policy) for policy in policies]
    own = base.policy
    if own.parameters and own.name not in [entry.name for entry in entries]:
        raise ScenarioError(
            f"policy: has parameters of {own.name!r} ({', '.join(own.parameters)}), which is not compared; compared: "
            f"{', '.join(entry.title for entry in entries)}"
        )
    chosen = [_with_parameters(base, entry, common) for entry in entries]
    for key in dict.fromkeys(map(_top, common)):
        _say_who_lacks(key, entries, log)
    _check_different([scenario.policy for scenario in chosen])
    return chosen


def _entry(base: Scenario, policy: Given) -> PolicyChoice:
    choice = base.with_values({"policy": policy if isinstance(policy, str) else dict(policy)}).policy
    name = as_spec(choice.name, choice.parameters)
    if name == base.policy.name:
        return base.policy.model_copy(update={"label": choice.label or base.policy.label})
    return PolicyChoice(name=name, label=choice.label)


def as_spec(name: str, parameters: Mapping[str, Any]) -> str:
    """A policy with its parameters behind its name."""
    return " ".join([name, *(f"{key}={_as_text(value)}" for key, value in parameters.items())])


def _with_parameters(base: Scenario, entry: PolicyChoice, common: Mapping[str, Any]) -> Scenario:
    own = split_spec(entry.name)[1]
    reaching = {
        f"policy.{key}": value for key, value in common.items() if _top(key) not in own and takes(entry.name, _top(key))
    }
    return base.with_values({"policy": entry.model_dump(), **reaching})


def _say_who_lacks(parameter: str, entries: Sequence[PolicyChoice], log: Callable[[str], object]) -> None:
    lacking = [entry.title for entry in entries if not takes(entry.name, parameter)]
    if len(lacking) == len(entries):
        is_known = parameter in PLANNING_PARAMETERS
        nearest = "" if is_known else did_you_mean(parameter, PLANNING_PARAMETERS, "policy.")
        raise ScenarioError(f"policy.{parameter}: none of the compared policies has it: {', '.join(lacking)}{nearest}")
    if lacking:
        have = "has" if len(lacking) == 1 else "have"
        log(f"policy.{parameter} does not reach {', '.join(lacking)}, which {have} no such parameter")


def _check_different(chosen: Sequence[PolicyChoice]) -> None:
    """Raise ScenarioError for two entries that would be the same runs or have the same title."""
    for position, policy in enumerate(chosen):
        for earlier in chosen[:position]:
            if policy.name == earlier.name and policy.title == earlier.title:
                raise ScenarioError(
                    f"--policy {policy.title}: given twice; a comparison runs each policy once per seed. With other "
                    f"parameters it is another one: --policy '{policy.title} KEY=VALUE'"
                )
            if _content(policy) == _content(earlier):
                raise ScenarioError(
                    f"--policy {earlier.title!r} and {policy.title!r} are the same policy with the same parameters; "
                    "leave one out"
                )
            if policy.title == earlier.title:
                raise ScenarioError(
                    f"label {policy.title!r}: is of {earlier.name!r} and of {policy.name!r}; give each its own"
                )


def _content(choice: PolicyChoice) -> tuple[str, dict[str, Any]]:
    name, own = split_spec(choice.name)
    return name, {**own, **choice.parameters}


def _top(key: str) -> str:
    return key.partition(".")[0]


def _as_text(value: object) -> str:
    """A value as in a policy's text: YAML in one line, unquoted if that is read back as the same value."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_as_text(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_as_text, value)) + "]"
    if isinstance(value, str) and re.fullmatch(r"[\w./-]+(:\w+)?", value) and parse_value(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)
