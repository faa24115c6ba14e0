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

OWN_KEYS = ("pipeline", "trace", "read", "window", "scale", "scaling", "seed", "records")
"""Keys that define what is run and are the same for all settings."""

DIGITS = 4
"""Significant digits of the numbers tried, so that printed values are exact."""


def space_of(scenario: Scenario, vary: Sequence[str] = ()) -> Space:
    """The keys to vary: those of `vary`, each `KEY=RANGE` (see `parse_range`) or a `KEY` of the policy with a default
    range; by default all parameters of the policy with such a range that the scenario does not set.

    Raises ScenarioError for a key that cannot be varied, or a range that is invalid.
    """
    spec = scenario.policy.name
    ranges = {f"{OF_POLICY}{name}": text for name, text in ranges_of(spec).items()}
    own = split_spec(spec)[1]
    if not vary:
        already_set = {f"{OF_POLICY}{name}" for name in (*own, *scenario.policy.parameters)}
        ranges = {key: text for key, text in ranges.items() if key not in already_set}
        if not ranges:
            raise ScenarioError(f"policy {spec}: no parameter is left to tune; name keys with --vary KEY=FROM:TO")
        return {key: _default(key, text, spec) for key, text in ranges.items()}
    space: dict[str, Range | Choices] = {}
    for argument in vary:
        key, equals, text = argument.partition("=")
        if key in space:
            raise ScenarioError(f"--vary {argument}: {key} is given twice")
        if not all(key.split(".")):
            raise ScenarioError(
                f"--vary {argument}: should be KEY=FROM:TO with a key such as policy.alpha or interval_s"
            )
        if key.partition(".")[0] in OWN_KEYS:
            raise ScenarioError(f"--vary {argument}: {key} says what is run, and is the same for all settings")
        if key.removeprefix(OF_POLICY) in own and key.startswith(OF_POLICY):
            raise ScenarioError(f"--vary {argument}: --policy {spec} gives it a value already")
        if not equals and key not in ranges:
            raise ScenarioError(f"--vary {argument}: has no range of its own; give one: {argument}=FROM:TO")
        try:
            space[key] = parse_range(text, key.rpartition(".")[2]) if equals else _default(key, ranges[key], spec)
        except PolicyError as error:
            raise ScenarioError(f"--vary {argument}: {error}") from None
    return space


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
    ends = {
        key: of_key.values if isinstance(of_key, Choices) else (of_key.low, of_key.high)
        for key, of_key in space.items()
    }
    for key, values in ends.items():
        others = [{}, *({name: of_key[end] for name, of_key in ends.items() if name != key} for end in (0, -1))]
        wrong = [why for value in values if (why := _wrong(scenario, key, value, others))]
        if wrong and (isinstance(space[key], Choices) or len(wrong) == len(values)):
            raise ScenarioError(f"--vary {key}: {wrong[0]}")


def _wrong(scenario: Scenario, key: str, value: Any, others: Sequence[Values]) -> str:
    """Why this value is invalid with all of these other values; empty if it is valid with some."""
    problems = []
    for values in others:
        try:
            changed = scenario.with_values({**values, key: value})
            policy = policy_of(changed, pipeline_of(changed))
        except ValueError as error:
            problems.append(str(error))
        else:
            if not knows_future(policy):
                return ""
            problems.append(f"{value}: {A_BOUND}")
    return problems[0]


def suggested(trial: Trial, space: Space) -> dict[str, Any]:
    """Optuna's suggestion for a trial; the same as before if it has been asked already."""
    return {key: _suggested(trial, key, of_key) for key, of_key in space.items()}


def _suggested(trial: Trial, key: str, values: Range | Choices) -> Any:
    if isinstance(values, Choices):
        if all(isinstance(value, str | int | float) for value in values.values):
            return trial.suggest_categorical(key, values.values)
        # Optuna stores only numbers and texts; other values, such as mappings, are given by index.
        return values.values[trial.suggest_categorical(key, range(len(values.values)))]
    if values.is_whole:
        return trial.suggest_int(key, int(values.low), int(values.high), step=int(values.step or 1))
    value = trial.suggest_float(key, values.low, values.high, step=values.step, log=values.log)
    return min(max(float(f"{value:.{DIGITS}g}"), values.low), values.high)
