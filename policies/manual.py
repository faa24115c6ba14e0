"""The manual of a policy, without a pipeline: what it does, its parameters, and values worth trying.

A parameter's type and default are those of the signature. What it means stands in the docstring of the class, or of a
class below it, as "`name`: what it means." up to the end of the sentence, or to the next name after a semicolon.

Values worth trying are written in one line: `0:1` is a range; `10:60:5` the same in steps; `0.1:100:log` one of which
every tenfold counts alike; `p99,mean` a choice. A policy of a user's own may say them too, as
`ranges = {"level": "1:10:1"}`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from ipa import profiles
from ipa.numbers import in_own_unit, quantity_of
from ipa.policies import plugins
from ipa.policies.interface import PolicyError
from ipa.policies.optimiser import PIPELINE_PARAMETERS, Programme
from ipa.policies.registry import POLICIES, factory_of, takes


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


def manual_of(spec: str) -> Manual:
    """What there is to say of a policy by name, or of a class in a file (`my.py:MyPolicy`).

    PolicyError: an unknown name or class, or an error in the file.
    """
    name, colon, _ = spec.partition(":")
    if colon and not plugins.is_file(spec):
        raise PolicyError(f"{spec!r}: give the policy's name alone, {name!r}")
    kind = plugins.find("policy", spec, POLICIES, "decide")
    text = inspect.getdoc(kind) or ""
    takes_argument = getattr(kind, "from_argument", None)
    argument = (inspect.getdoc(takes_argument) or "") if takes_argument else ""
    return Manual(
        name=spec,
        summary=" ".join(text.partition("\n\n")[0].split()),
        text=text,
        argument=argument.removeprefix("The parameters of ").replace("NAME:", f"{spec}:"),
        parameters=tuple(_parameters(kind)),
    )


def _parameters(kind: Any) -> Iterator[Parameter]:
    """The class's own parameters, then those that it hands on to the classes it is made of."""
    classes = [base for base in (*getattr(kind, "__mro__", (kind,)), *Programme.__mro__) if base is not object]
    own, names, _ = plugins.parameters_of(kind, 1)
    for name in names:
        parameter = own.get(name) or _inherited(name, classes)
        yield Parameter(name, _type(parameter), _default(parameter), _meaning(name, classes))


def _inherited(name: str, classes: list[Any]) -> inspect.Parameter:
    for ancestor in classes[1:]:
        parameter = plugins.parameters_of(ancestor, 0)[0].get(name)
        if parameter is not None:
            is_pipelines = ancestor is Programme and name in PIPELINE_PARAMETERS
            return parameter.replace(default=_OfPipeline()) if is_pipelines else parameter
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY)


def _type(parameter: inspect.Parameter) -> str:
    if parameter.annotation is not parameter.empty:
        return inspect.formatannotation(parameter.annotation).strip("'")
    return "any" if parameter.default in (parameter.empty, None) else type(parameter.default).__name__


def _default(parameter: inspect.Parameter) -> str | None:
    if parameter.default is parameter.empty:
        return None
    return repr(parameter.default).replace("<factory>", "{}")  # a dataclass's empty mapping


def _meaning(name: str, classes: list[Any]) -> str:
    """The first docstring's words for a name; empty where none has any."""
    for ancestor in classes:
        text = " ".join((inspect.getdoc(ancestor) or "").split())
        match = re.search(rf"`{name}`: (.+?)(?=\. |\.$|; `\w+`:|$)", text)
        if match:
            return match[1]
    return ""


RANGES: Mapping[str, str] = {
    # of policies that ask the optimiser
    "predictor": "mean,max,ewma,quantile-gbm,lstm-quantile",
    "quantile": "0.3:0.99",
    "horizon_s": "10:60:5",
    "load_margin": "0:0.5",
    "alpha": "0.1:100:log",
    "throughput_share": "0.7:1",
    "batch_cap": "1,2,4,8,16,32,64",
    "statistic": "p99,mean",
    # of autoscalers
    "margin": "0:1",
    "target": "0.3:0.95",
    "tolerance": "0:0.3",
    "scale_down_window_s": "0:600:30",
    "utilisation": "0.3:0.95",
    "stable_window_s": "20:300:10",
    "panic_threshold": "1.2:4",
    "stable_s": "5:60:5",
    "recent_s": "10:120:10",
    "solve_s": "10:60:10",
    "overload_s": "0:60:10",
    "throughput_interval_s": "20:300:20",
    "down_sensitivity": "0.3:1",
    "target_ongoing_requests": "1:32:log",
    "upscale_delay_s": "0:60:10",
    "downscale_delay_s": "0:600:60",
}
"""The ranges of the parameters of the policies here, by name. Others are not tried unless a range is given for them."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both allowed; in steps of `step`, whole ones where both are; `log`: by their
    logarithm."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.step, int)


@dataclass(frozen=True)
class Choices:
    """One of several values."""

    values: tuple[Any, ...]


def ranges_of(spec: str) -> dict[str, str]:
    """The ranges of the parameters that the policy of a spec has, by name. PolicyError: an unknown name or class."""
    own = getattr(factory_of(spec), "ranges", {})
    if not isinstance(own, Mapping):
        raise PolicyError(f"policy {spec!r}: ranges is {own!r}; allowed: a mapping of parameters to ranges")
    common = {name: text for name, text in RANGES.items() if takes(spec, name)}
    return {**common, **{str(name): str(text) for name, text in own.items()}}


def parse_range(text: str, name: str = "") -> Range | Choices:
    """What a text means: `FROM:TO`, `FROM:TO:STEP`, `FROM:TO:log` or `VALUE,VALUE,...`, of the parameter of that name.

    Raises PolicyError with what is allowed.
    """
    parts = text.split(":")
    if 2 <= len(parts) <= 3 and "," not in text and "{" not in text:
        return _range(text, parts, name)
    try:
        values = profiles.parse_yaml(f"values: [{text}]", "", error=PolicyError).data["values"]
    except PolicyError:
        raise _wrong(text) from None
    if not isinstance(values, list) or len(values) < 2:
        raise _wrong(text)
    if any(values.count(value) > 1 for value in values):
        raise PolicyError(f"range {text!r}: names a value twice")
    return Choices(tuple(in_own_unit(values, name)))


def _range(text: str, parts: list[str], name: str) -> Range:
    is_log = parts[2:] == ["log"]
    numbers = [_number(part, name) for part in (parts[:2] if is_log else parts)]
    if None in numbers:
        raise _wrong(text)
    low, high, *step = (number for number in numbers if number is not None)
    if not low < high:
        raise PolicyError(f"range {text!r}: should begin below its end")
    if is_log and low <= 0:
        raise PolicyError(f"range {text!r}: should begin above 0, as it goes by logarithms")
    if step and not 0 < step[0] <= high - low:
        raise PolicyError(f"range {text!r}: its step should be above 0 and at most {high - low:g}")
    return Range(low, high, step[0] if step else None, is_log)


def _number(text: str, name: str) -> int | float | None:
    value = quantity_of(text, name)
    return value if value is not None and isfinite(value) else None


def _wrong(text: str) -> PolicyError:
    return PolicyError(
        f"range {text!r}: should be FROM:TO, FROM:TO:STEP, FROM:TO:log or VALUE,VALUE,..., such as 0:0.5 or mean,max"
    )
