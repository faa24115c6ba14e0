"""What can be said of a policy without a pipeline: what it does, and its parameters.

A parameter's type and default are those of the signature. What it means stands in the docstring of the class, or of a
class below it, as "`name`: what it means." up to the end of the sentence, or to the next name after a semicolon.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ipa.policies import plugins
from ipa.policies.interface import PolicyError
from ipa.policies.optimiser import PIPELINE_PARAMETERS, Programme
from ipa.policies.registry import POLICIES


class _OfPipeline:
    """The default of a parameter that every pipeline has its own value of."""

    def __repr__(self) -> str:
        return "the pipeline's"


@dataclass(frozen=True)
class Parameter:
    """A parameter of a policy; type and default as Python writes them, `default` None: it has to be given."""

    name: str
    type: str
    default: str | None
    meaning: str


@dataclass(frozen=True)
class Manual:
    """What a policy says of itself. `argument`: what may follow its name after a colon, empty if nothing may."""

    name: str
    summary: str
    text: str
    argument: str
    parameters: tuple[Parameter, ...]


def policy_names() -> tuple[str, ...]:
    """The policies that have a name: those built in, then those of installed packages."""
    return (*POLICIES, *(name for name in plugins.installed("ipa.policies") if name not in POLICIES))


def manual_of(spec: str) -> Manual:
    """What there is to say of a policy by name, or of a class in a file (`my.py:MyPolicy`).

    PolicyError: an unknown name or class, or an error in the file.
    """
    if plugins.is_file(spec):
        kind = plugins.from_file(spec, "decide")
    else:
        name, colon, _ = spec.partition(":")
        if colon:
            raise PolicyError(f"{spec!r}: give the policy's name alone, {name!r}")
        kind = plugins.find("policy", name, POLICIES, "ipa.policies")
    text = inspect.getdoc(kind) or ""
    argument = inspect.getdoc(getattr(kind, "from_argument", None)) or ""
    return Manual(
        name=spec,
        summary=" ".join(text.partition("\n\n")[0].split()),
        text=text,
        argument=argument.removeprefix("The parameters of ").replace("NAME:", f"{spec}:"),
        parameters=tuple(_parameters(kind)),
    )


def _parameters(kind: Any) -> Iterator[Parameter]:
    """The class's own parameters, then those that it hands on to the classes it is made of."""
    classes = [each for each in (*getattr(kind, "__mro__", (kind,)), *Programme.__mro__) if each is not object]
    own = {each.name: each for each in _signature(kind)[1:]}  # the first is the pipeline
    handed_on = (name for name in getattr(kind, "further_parameters", ()) if name not in own)
    found = [*own.values(), *(_inherited(name, classes) for name in handed_on)]
    for each in found:
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
            yield Parameter(each.name, _type(each), _default(each), _meaning(each.name, classes))


def _signature(kind: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(kind).parameters.values())
    except (TypeError, ValueError):
        return []


def _inherited(name: str, classes: list[Any]) -> inspect.Parameter:
    for each in classes[1:]:
        for parameter in _signature(each):
            if parameter.name == name and each is Programme and name in PIPELINE_PARAMETERS:
                return parameter.replace(default=_OfPipeline())
            if parameter.name == name:
                return parameter
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY)


def _type(parameter: inspect.Parameter) -> str:
    if parameter.annotation is not parameter.empty:
        return inspect.formatannotation(parameter.annotation).strip("'")
    return "any" if parameter.default in (parameter.empty, None) else type(parameter.default).__name__


def _default(parameter: inspect.Parameter) -> str | None:
    return None if parameter.default is parameter.empty else repr(parameter.default)


def _meaning(name: str, classes: list[Any]) -> str:
    """The first docstring's words for a name; empty where none has any."""
    for each in classes:
        text = " ".join((inspect.getdoc(each) or "").split())
        found = re.search(rf"`{name}`: (.+?)(?=\. |\.$|; `\w+`:|$)", text)
        if found:
            return found[1]
    return ""
