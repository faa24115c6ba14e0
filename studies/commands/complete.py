"""Shell completion: pipelines, policies, loads, and the keys of --set with their values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, get_args, get_origin

import click
from click.shell_completion import CompletionItem

import ipa

if TYPE_CHECKING:
    from pydantic import BaseModel

Items = list[CompletionItem]


def pipelines(_: click.Context, __: click.Parameter, typed: str) -> Items:
    """The shipped pipelines, and files."""
    return [*_beginning(typed, ipa.profiles.names()), CompletionItem(typed, type="file")]


def studies(_: click.Context, __: click.Parameter, typed: str) -> Items:
    """The shipped studies, and files."""
    return [*_beginning(typed, ipa.studies.many.study.SHIPPED_STUDIES), CompletionItem(typed, type="file")]


def policies(_: click.Context, __: click.Parameter, typed: str) -> Items:
    """The policies, with the choices of variants that most pipelines define, and files."""
    scaling = (ipa.policies.ScaleOnly, ipa.policies.Scaler)  # their argument names a choice of variants
    named = [
        f"{name}:{variants}"
        for name, kind in ipa.policies.POLICIES.items()
        if issubclass(kind, scaling)
        for variants in ("low", "high")
    ]
    return [*_beginning(typed, [*ipa.policies.POLICIES, *named]), CompletionItem(typed, type="file")]


def predictors(_: click.Context, __: click.Parameter, typed: str) -> Items:
    """The predictors, after those already typed."""
    before, comma, _last = typed.rpartition(",")
    return _beginning(typed, (f"{before}{comma}{name}" for name in ipa.policies.PREDICTORS))


def traces(_: click.Context, __: click.Parameter, typed: str) -> Items:
    """The named loads, and files."""
    return [*_beginning(typed, ipa.traces.known_names()), CompletionItem(typed, type="file")]


def keys(context: click.Context, _: click.Parameter, typed: str) -> Items:
    """The keys of a scenario and of its policy, with `=`; after it the key's allowed words."""
    key, equals, _value = typed.partition("=")
    if key.startswith("policy."):
        return _beginning(typed, [] if equals else (f"policy.{name}=" for name in _parameters(context)))
    scenario = ipa.studies.scenario
    words = _keys_of(scenario.Scenario)
    if equals:
        return _beginning(typed, (f"{key}={word}" for word in words.get(key, ())))
    inner = [
        *(f"guards.{name}=" for name in scenario.GuardBounds.model_fields),
        *(f"limits.{name}=" for name in scenario.ClusterLimits.model_fields),
    ]
    return _beginning(typed, [*(f"{name}=" for name in words), "policy.", *inner])


def _beginning(typed: str, words: Iterable[str]) -> Items:
    return [CompletionItem(word) for word in dict.fromkeys(words) if word.startswith(typed)]


def _parameters(context: click.Context) -> list[str]:
    """The parameters of the built-in policies on the command line; if it names none, those of ipa."""
    policies = context.params.get("policy") or context.params.get("policies") or "ipa"
    specs = [policies] if isinstance(policies, str) else list(policies)
    names = [name for spec in specs if (name := spec.split(":")[0].split()[0]) in ipa.policies.POLICIES]
    return [parameter.name for name in names for parameter in ipa.policies.manual_of(name).parameters]


def _keys_of(model: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """The keys of a part of scenario files, each with its allowed words if it is a choice."""
    words = {}
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))  # `Literal[...]`, alone or beside None
        words[name] = next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())
    return words
