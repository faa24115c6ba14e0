"""Predictors by name, as on the command line."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

from ipa.policies import PREDICTORS, Predictor, create_predictor, reads
from ipa.policies.predictors.trained import load
from ipa.studies.scenario import ScenarioError, parse_value

NAMES = tuple(name for name, kind in PREDICTORS.items() if "future_rps" not in reads(kind))
"""The built-in predictors, without those that know the future."""

SEEN = ("future_rps",)
"""The optional observation fields that a load alone provides."""


@dataclass(frozen=True)
class Chosen:
    """A predictor, and the text by which it was chosen."""

    name: str
    predictor: Predictor


@dataclass(frozen=True)
class ManualPredictor:
    """The description of a named predictor; defaults of parameters as Python literals."""

    name: str
    summary: str
    parameters: dict[str, str]


def manuals() -> list[ManualPredictor]:
    """The descriptions of named predictors."""
    return [_manual(name, kind) for name, kind in PREDICTORS.items()]


def _manual(name: str, factory: Any) -> ManualPredictor:
    summary = " ".join((inspect.getdoc(factory) or "").partition("\n\n")[0].split())
    parameters = inspect.signature(factory).parameters.values()
    defaults = {
        parameter.name: "" if parameter.default is parameter.empty else repr(parameter.default)
        for parameter in parameters
    }
    return ManualPredictor(name, summary, defaults)


def choose(text: str) -> Chosen:
    """The predictor of a name, a class in a file or a model file, optionally with parameters: `poisson k=1.2`.

    Raises ScenarioError for an invalid value and for a predictor that reads more than the load, PolicyError as
    `create_predictor`.
    """
    name, *assignments = re.split(r"\s+(?=[A-Za-z_]\w*=)", text.strip())
    settings = {"name": name}
    if name.endswith(".npz"):
        settings = {"name": load(name).kind, "model": name}
    for assignment in assignments:
        key, _, value = assignment.partition("=")
        try:
            settings[key] = parse_value(value)
        except ScenarioError as error:
            raise ScenarioError(f"predictor {text!r}: {assignment}: {error}") from None
    predictor = create_predictor(settings)
    unseen = [field for field in reads(predictor) if field not in SEEN]
    if unseen:
        raise ScenarioError(f"predictor {text!r} reads {', '.join(unseen)}, which a load alone does not give")
    return Chosen(text, predictor)
