"""The search space: keys of a scenario, each with the values to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ipa.policies import Choices, PolicyError, Range, knows_future, parse_range, ranges_of, split_spec
from ipa.studies.scenario import Scenario, ScenarioError, pipeline_of, policy_of

if TYPE_CHECKING:
    from optuna.trial import Trial

Space = Mapping[str, Range | Choices]
"""Key of a scenario (`policy.alpha`) -> the values to try."""

Values = Mapping[str, Any]
"""Key of a scenario -> one value."""

OF_POLICY = "policy."

A_BOUND = "knows the load to come, which is a bound and no choice; tune another policy or predictor"
"""Why a policy is not tuned."""

OWN_KEYS = (
    *("pipeline", "trace", "window", "scale", "scaling", "seed", "records"),
    *("time_column", "time_unit", "time_zone", "count_column", "count_step_s", "skip_bad_lines"),
)
"""Keys that define what is run and are the same for all settings."""

DIGITS = 4
"""Significant digits of the numbers tried, so that printed values are exact."""


def space_of(scenario: Scenario, vary: Sequence[str] = ()) -> Space:
    """The keys to vary: those of `vary`, each `KEY=RANGE` (see `parse_range`) or a `KEY` of the policy with a default
    range; by default all parameters of the policy with such a range that the scenario does not set.

    Raises ScenarioError for a key that cannot be varied, or a range that is invalid.
    """
    spec = scenario.policy.name
    known = {f"{OF_POLICY}{name}": text for name, text in ranges_of(spec).items()}
    own = split_spec(spec)[1]
    if not vary:
        given = {f"{OF_POLICY}{name}" for name in (*own, *scenario.policy.parameters)}
        known = {key: text for key, text in known.items() if key not in given}
        if not known:
            raise ScenarioError(f"policy {spec}: no parameter is left to tune; name keys with --vary KEY=FROM:TO")
        return {key: _default(key, text, spec) for key, text in known.items()}
    found: dict[str, Range | Choices] = {}
    for each in vary:
        key, equals, text = each.partition("=")
        if key in found:
            raise ScenarioError(f"--vary {each}: {key} is given twice")
        if not all(key.split(".")):
            raise ScenarioError(f"--vary {each}: should be KEY=FROM:TO with a key such as policy.alpha or interval_s")
        if key.partition(".")[0] in OWN_KEYS:
            raise ScenarioError(f"--vary {each}: {key} says what is run, and is the same for all settings")
        if key.removeprefix(OF_POLICY) in own and key.startswith(OF_POLICY):
            raise ScenarioError(f"--vary {each}: --policy {spec} gives it a value already")
        if not equals and key not in known:
            raise ScenarioError(f"--vary {each}: has no range of its own; give one: {each}=FROM:TO")
        try:
            found[key] = parse_range(text, key.rpartition(".")[2]) if equals else _default(key, known[key], spec)
        except PolicyError as error:
            raise ScenarioError(f"--vary {each}: {error}") from None
    return found


def _default(key: str, text: str, spec: str) -> Range | Choices:
    """The default range of a key, which a user's policy may state. Raises ScenarioError."""
    try:
        return parse_range(text)
    except PolicyError as error:
        raise ScenarioError(
            f"{key}: the default range of policy {spec} cannot be used: {error}; give one with --vary {key}=FROM:TO"
        ) from None


def check_values(scenario: Scenario, space: Space) -> None:
    """Raise ScenarioError for a choice, or both ends of a range, that is invalid for all values of the other keys.

    Of the other keys, only the scenario's values and their first and last values are tried.
    """
    ends = {key: each.values if isinstance(each, Choices) else (each.low, each.high) for key, each in space.items()}
    for key, values in ends.items():
        others = [{}, *({name: each[end] for name, each in ends.items() if name != key} for end in (0, -1))]
        wrong = [why for value in values if (why := _wrong(scenario, key, value, others))]
        if wrong and (isinstance(space[key], Choices) or len(wrong) == len(values)):
            raise ScenarioError(f"--vary {key}: {wrong[0]}")


def _wrong(scenario: Scenario, key: str, value: Any, others: Sequence[Values]) -> str:
    """Why this value is invalid with all of these other values; empty if it is valid with some."""
    said = []
    for each in others:
        try:
            changed = scenario.with_values({**each, key: value})
            policy = policy_of(changed, pipeline_of(changed))
        except ValueError as error:
            said.append(str(error))
        else:
            if not knows_future(policy):
                return ""
            said.append(f"{value}: {A_BOUND}")
    return said[0]


def suggested(trial: Trial, space: Space) -> dict[str, Any]:
    """Optuna's suggestion for a trial; the same as before if it has been asked already."""
    return {key: _suggested(trial, key, each) for key, each in space.items()}


def _suggested(trial: Trial, key: str, each: Range | Choices) -> Any:
    if isinstance(each, Choices):
        if all(isinstance(value, str | int | float) for value in each.values):
            return trial.suggest_categorical(key, each.values)
        # Optuna stores only numbers and texts; other values, such as mappings, are given by index.
        return each.values[trial.suggest_categorical(key, range(len(each.values)))]
    if each.is_whole:
        return trial.suggest_int(key, int(each.low), int(each.high), step=int(each.step or 1))
    value = trial.suggest_float(key, each.low, each.high, step=each.step, log=each.log)
    return min(max(float(f"{value:.{DIGITS}g}"), each.low), each.high)
