"""Policies by name: built in, or from a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ipa import profiles
from ipa.numbers import in_own_unit
from ipa.policies import plugins
from ipa.policies.interface import Policy, PolicyError, facts, reads

if TYPE_CHECKING:
    from ipa.profiles import Pipeline


class _Places(Mapping[str, type[Any]]):
    """Classes by name, each imported when it is first looked up: a run of one policy imports one."""

    def __init__(self, places: Mapping[str, str]) -> None:
        """`places`: name -> `module:Class`, a module of this folder."""
        self.places = places

    def __getitem__(self, name: str) -> type[Any]:
        module, _, kind = self.places[name].partition(":")
        policy_class: type[Any] = getattr(import_module(f"ipa.policies.{module}"), kind)
        return policy_class

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def name_of(self, kind: type) -> str | None:
        """The name of a class, None if it is none of these; imports nothing."""
        place = f"{kind.__module__.removeprefix('ipa.policies.')}:{kind.__qualname__}"
        return next((name for name, place_of_name in self.places.items() if place_of_name == place), None)


POLICIES = _Places(
    {
        "ipa": "ipa:Ipa",
        "foresight": "foresight.policy:Foresight",
        "scale-only": "scale_only:ScaleOnly",
        "switch-only": "switch_only:SwitchOnly",
        "hpa": "hpa:Hpa",
        "kpa": "kpa:Kpa",
        "inferline": "inferline:InferLine",
        "faro": "faro:Faro",
        "planner": "planner:Planner",
        "ray": "ray:Ray",
        "rate": "rate:Rate",
        "oracle": "oracle:Oracle",
        "static": "static:Static",
    }
)


def create(
    spec: str, pipeline: Pipeline, parameters: Mapping[str, Any] | None = None, world: Mapping[str, Any] | None = None
) -> Policy:
    """The policy that a spec names, for a pipeline, with parameters.

    A spec is a name, a name with an argument ("scale-only:high", "scale-only:yolov5s,resnet50", "switch-only:3,3",
    "static:yolov5n:8:3,resnet18:1:2"), or a class in a file ("my.py:MyPolicy"). The class is called with
    (pipeline, **parameters); its `from_argument(argument, pipeline)` turns an argument into parameters. Parameters may
    also follow in the spec itself, each value as in a YAML file: "ipa alpha=2 predictor={name: mean, factor: 1.1}".

    `world`: the `FACTS` of the run, of which the class gets those that it names in `facts`: as parameters where its
    constructor names them, otherwise (as in a subclass that passes `**others` on) as attributes, once it is made. A
    parameter that is given wins: it is what the policy is to believe, whatever the world is.

    PolicyError: an unknown name, parameter or class, an impossible value, or an error in the file.
    """
    _check_spec(spec)
    whole, (spec, in_spec) = spec, split_spec(spec)
    own_parameters = _joined(
        whole, in_spec, {key: in_own_unit(value, key) for key, value in (parameters or {}).items()}
    )
    name, colon, argument = (spec, "", "") if plugins.is_file(spec) else spec.partition(":")
    factory = plugins.find("policy", name, POLICIES, "decide")
    if colon:
        own_parameters = _with_argument(name, argument, factory, pipeline, own_parameters)
    facts_of_run = {
        fact: (world or {})[fact] for fact in facts(factory) if fact in (world or {}) and fact not in own_parameters
    }
    own = plugins.parameters_of(factory, 1)[0]
    named = {fact: value for fact, value in facts_of_run.items() if fact in own}
    policy = plugins.call(f"policy {name!r}", factory, pipeline, parameters={**named, **own_parameters})
    if not isinstance(policy, Policy):
        raise PolicyError(f"policy {name!r}: {type(policy).__name__} has no decide()")
    for fact in facts_of_run.keys() - named.keys():
        setattr(policy, fact, facts_of_run[fact])
    reads(policy)
    return policy


def takes(spec: str, parameter: str) -> bool:
    """Whether the policy that a spec names has a parameter of that name. PolicyError: an unknown name or class."""
    _, names, is_open = plugins.parameters_of(factory_of(spec), 1)
    return is_open or parameter in names


def facts_of(spec: str) -> tuple[str, ...]:
    """The facts of a run that the policy a spec names takes. PolicyError as `create`, for the name or class."""
    return facts(factory_of(spec))


def factory_of(spec: str) -> plugins.Factory:
    """The class that a spec names. PolicyError: an unknown name or class."""
    _check_spec(spec)
    spec, _ = split_spec(spec)
    return plugins.find("policy", spec if plugins.is_file(spec) else spec.partition(":")[0], POLICIES, "decide")


def _check_spec(spec: object) -> None:
    if not isinstance(spec, str) or not spec:
        raise PolicyError(f"policy {spec!r} must be a name: {', '.join(POLICIES)}, or file.py:Class")


def describe(policy: object) -> dict[str, Any]:
    """The policy's name and effective parameters, JSON-able, for manifests.

    The parameters are the policy's attribute `parameters` if it has one, else its public attributes as far as they are
    JSON-able. Policies and predictors among them are described in turn.
    """
    name = POLICIES.name_of(type(policy)) or type(policy).__name__
    stated = getattr(policy, "parameters", None)
    if not isinstance(stated, Mapping):
        stated = {k: v for k, v in getattr(policy, "__dict__", {}).items() if not k.startswith("_")}
    plain = {str(key): _plain(value) for key, value in stated.items()}
    return {"name": name, "parameters": {k: v for k, v in plain.items() if v is not _OPAQUE}}


_OPAQUE = object()

_PARAMETER = re.compile(r"""\s+[A-Za-z_][\w.]*=(?:"(?:[^"\\]|\\.)*"|'[^']*'|(?!\s+[A-Za-z_][\w.]*=).)*""", re.DOTALL)
"""A parameter behind a policy's name, up to the next one; an equals sign in quotes begins none."""


def _with_argument(
    name: str, argument: str, factory: Any, pipeline: Pipeline, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    parse = getattr(factory, "from_argument", None)
    if parse is None or not argument:
        problem = "takes no argument" if parse is None else "lacks its argument after ':'"
        raise PolicyError(f"policy {name!r} {problem}; given: {name}:{argument}")
    return _joined(f"{name}:{argument}", parse(argument, pipeline), parameters)


def split_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """A spec without the parameters behind it, and these. PolicyError: a value that is no YAML, a name given twice."""
    parameters: dict[str, Any] = {}
    for text in _PARAMETER.findall(spec):
        key, _, value = text.strip().partition("=")
        if "." in key:
            whole, _, inner = key.partition(".")
            raise PolicyError(f"policy {spec!r}: {key}: give the whole of {whole}, as in {whole}={{{inner}: {value}}}")
        if key in parameters:
            raise PolicyError(f"policy {spec!r}: gives {key} twice")
        try:
            parameters[key] = in_own_unit(profiles.value_in_text(value, PolicyError), key)
        except PolicyError as error:
            raise PolicyError(f"policy {spec!r}: {text.strip()}: {str(error).partition(': ')[2]}") from None
    return _PARAMETER.sub("", spec).strip(), parameters


def take_from_spec(spec: str, parameter: str) -> tuple[str, Any]:
    """A spec without one of the parameters behind it, and that one's value; None: it is not there.

    PolicyError as `split_spec`.
    """
    if not any(_is_of(parameter, text) for text in _PARAMETER.findall(spec)):
        return spec, None
    rest = _PARAMETER.sub(lambda match: "" if _is_of(parameter, match[0]) else match[0], spec)
    return rest.strip(), split_spec(spec)[1][parameter]


def _is_of(parameter: str, text: str) -> bool:
    return text.strip().partition("=")[0] == parameter


def _joined(spec: str, in_spec: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in a spec and those given beside it."""
    twice = [key for key in in_spec if key in parameters]
    if twice:
        raise PolicyError(f"{spec} gives {twice[0]}, and so do the parameters")
    return {**in_spec, **parameters}


def _plain(value: Any) -> Any:
    """`value` as dicts, lists, numbers and strings; _OPAQUE if it cannot be written so."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        items = {str(key): _plain(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item is not _OPAQUE}
    if isinstance(value, (list, tuple)):
        return [item for item in map(_plain, value) if item is not _OPAQUE]
    if any(hasattr(value, method) for method in ("decide", "forecast", "predict")):
        return describe(value)
    return _OPAQUE
