"""Predictors as a person names them."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

from ipa.policies import PREDICTORS, Predictor, create_predictor, plugins, reads
from ipa.policies.predictors.trained import load
from ipa.studies.scenario import ScenarioError, parse_value

NAMES = tuple(name for name, kind in PREDICTORS.items() if "future_rps" not in reads(kind))
"""The predictors that are built in, without those that know the future."""

SEEN = ("future_rps", "seasons_rps")
"""What a load alone can tell, of the fields that a predictor has to ask for."""


@dataclass(frozen=True)
class Chosen:
    """A predictor under the name that it was asked for by."""

    name: str
    predictor: Predictor


@dataclass(frozen=True)
class Manual:
    """What there is to say of a predictor that has a name; its parameters as Python writes them."""

    name: str
    summary: str
    parameters: dict[str, str]


def manuals() -> list[Manual]:
    """The predictors that have a name: those built in, then those of installed packages."""
    names = (*PREDICTORS, *(name for name in plugins.installed("ipa.predictors") if name not in PREDICTORS))
    return [_manual(name, plugins.find("predictor", name, PREDICTORS, "ipa.predictors")) for name in names]


def _manual(name: str, factory: Any) -> Manual:
    summary = " ".join((inspect.getdoc(factory) or "").partition("\n\n")[0].split())
    given = inspect.signature(factory).parameters.values()
    defaults = {each.name: "" if each.default is each.empty else repr(each.default) for each in given}
    return Manual(name, summary, defaults)


def choose(text: str) -> Chosen:
    """The predictor of a name, a class in a file or a model's file, perhaps with parameters: `poisson k=1.2`.

    ScenarioError: a value that is none, and a predictor that reads more than the load. PolicyError: as
    `create_predictor`.
    """
    name, *assignments = re.split(r"\s+(?=[A-Za-z_]\w*=)", text.strip())
    given = {"name": name}
    if name.endswith((".npz", ".keras")):
        given = {"name": load(name).kind, "model": name}
    for assignment in assignments:
        key, _, value = assignment.partition("=")
        try:
            given[key] = parse_value(value)
        except ScenarioError as error:
            raise ScenarioError(f"predictor {text!r}: {assignment}: {error}") from None
    predictor = create_predictor(given)
    unseen = [field for field in reads(predictor) if field not in SEEN]
    if unseen:
        raise ScenarioError(f"predictor {text!r} reads {', '.join(unseen)}, which a load alone does not give")
    return Chosen(text, predictor)
