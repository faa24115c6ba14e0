"""A question of the page: its scenarios, and the equivalent command, file and Python code.

The page's controls are generated from the schema of scenarios and the manuals of policies, so a new key or parameter
gets one by itself. Values are the texts of the controls, parsed and refused as by `--set KEY=VALUE`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import yaml

from ipa import policies, profiles, traces
from ipa.policies import Choices, PolicyError, Range
from ipa.studies import results
from ipa.studies.many import systems
from ipa.studies.scenario import LARGEST_SEED, Scenario, ScenarioError, find, parse_value

MOST_POLICIES = 16
MOST_SEEDS = 50
"""The most seeds of one question."""

SECTIONS = {
    "Load": ("trace", "scale", "window", "scaling", "arrivals"),
    "World": ("sla_s", "interval_s", "start_up_s", "limit_cores", "drop", "service_factor", "seed"),
    "Variants": ("profile_factors", "limits.ruled_out"),
}
"""The keys of the first sections; all others are under the title of their own part."""

NOT_ASKED = ("schema_version", "kind", "pipeline", "policy")
"""Keys that the page has elsewhere, or that do not affect a simulation."""

OF_VARIANTS = {"object": "factors", "array": "names"}
"""JSON type of a key's value for a stage -> what it holds: a factor for each variant, or names of variants."""

UNITS = {"s": "seconds", "rps": "requests per second", "cores": "cores"}


@dataclass(frozen=True)
class ExplorerQuestion:
    """Policies on a pipeline, with `seeds` seeds each; `what`: PIPELINE, FILE or results folder, as for every command.

    `policies`: as after `--policy`; empty: the scenario's. `values`: key of the scenario -> text as after `--set`.
    `among`: the folder of a sweep or study whose points the page shows too; `measured`: the folder of a live run whose
    figures it pins.
    """

    what: str = "video"
    policies: tuple[str, ...] = ()
    seeds: int = 1
    values: Mapping[str, str] = field(default_factory=dict)
    among: str = ""
    measured: str = ""

    @classmethod
    def of(cls, plain: Any) -> ExplorerQuestion:
        """The question from JSON. Raises ScenarioError if it is malformed."""
        if not isinstance(plain, dict) or not set(plain) <= {"what", "policies", "seeds", "values"}:
            raise ScenarioError("a question should have the keys what, policies, seeds and values, and no other")
        what, named = plain.get("what", "video"), plain.get("policies", [])
        values, seeds = plain.get("values", {}), plain.get("seeds", 1)
        if not isinstance(what, str) or not what or "\0" in what:
            raise ScenarioError("what: should be a shipped pipeline, a pipeline or scenario file, or a results folder")
        if not (
            isinstance(named, list) and len(named) <= MOST_POLICIES and all(isinstance(text, str) for text in named)
        ):
            raise ScenarioError(f"policies: should be a list of at most {MOST_POLICIES} policies")
        if not (isinstance(values, dict) and all(isinstance(text, str) for text in values.values())):
            raise ScenarioError("values: should be a mapping of keys to texts")
        if not (isinstance(seeds, int) and not isinstance(seeds, bool) and 1 <= seeds <= MOST_SEEDS):
            raise ScenarioError(f"seeds: should be a whole number from 1 to {MOST_SEEDS}; given {seeds!r}")
        if wrong := sorted({key.partition(".")[0] for key in values} & set(NOT_ASKED)):
            raise ScenarioError(f"{wrong[0]}: should not be among the values of a question")
        return cls(what, tuple(named), seeds, dict(values))

    @classmethod
    def of_scenario(cls, scenario: Scenario, seeds: int) -> ExplorerQuestion:
        """The question for a scenario, with seeds from its own on, and with the records of all requests for curves."""
        own = scenario.model_dump(mode="json", exclude_defaults=True, exclude={"records"})
        values = {key: _as_value(value) for key, value in _flat(own)}
        return cls(scenario.pipeline, (spec(scenario.policy.model_dump()),), min(seeds, MOST_SEEDS), values)

    @property
    def plain(self) -> dict[str, Any]:
        """The question as the page asks it, JSON-able."""
        return {"what": self.what, "policies": list(self.policies), "seeds": self.seeds, "values": dict(self.values)}

    @property
    def address(self) -> str:
        """The question as the query of the page's address."""
        seeds = [("seeds", str(self.seeds))] if self.seeds > 1 else []
        among = [("among", self.among)] if self.among else []
        pin = [("pin", urlencode({"measured": self.measured}))] if self.measured else []
        policies = [("policy", each) for each in self.policies]
        return urlencode([("from", self.what), *policies, *seeds, *self.values.items(), *among, *pin])

    @property
    def parsed(self) -> dict[str, Any]:
        """The parsed values. Raises ScenarioError as a command does for `--set`."""
        parsed = {}
        for key, text in self.values.items():
            try:
                parsed[key] = parse_value(text)
            except ScenarioError as error:
                raise ScenarioError(f"--set {key}={text}: {error}") from None
        return parsed

    def scenarios(self) -> list[list[Scenario]]:
        """For each policy its scenarios, by seed. Raises InputErrors, as a command does."""
        if len(self.policies) <= 1:
            policy = {"policy": self.policies[0]} if self.policies else {}
            by_policy = [_scenario(self.what, {**policy, **self.parsed})]
        else:
            by_policy = systems.choose(_scenario(self.what, self.parsed), self.policies)
        if by_policy[0].seed + self.seeds - 1 > LARGEST_SEED:
            raise ScenarioError(f"seed {by_policy[0].seed}: {self.seeds} seeds from there on are too large")
        return [
            [scenario.with_values({"seed": scenario.seed + place}) for place in range(self.seeds)]
            for scenario in by_policy
        ]

    @property
    def is_one_run(self) -> bool:
        return len(self.policies) <= 1 and self.seeds == 1

    def ways(self, scenario: Scenario) -> dict[str, str]:
        """The equivalent command and Python code, and the file of its first scenario, which is given."""
        named = self.policies or (() if self.is_one_run else (scenario.policy.name,))
        options = [word for policy in named for word in ("--policy", policy)]
        options += [word for key, text in self.values.items() for word in ("--set", f"{key}={text}")]
        if not self.is_one_run:
            options += ["--seeds", str(self.seeds)]
        command = shlex.join(["ipa", "simulate" if self.is_one_run else "compare", self.what, *options])
        return {"command": command, "python": self._python(named), "file": _file(scenario)}

    def _python(self, named: Sequence[str]) -> str:
        what, values = json.dumps(self.what), self.parsed
        if self.is_one_run:
            parameters = {**values, **({"policy": named[0]} if named else {})}
            arguments = f", {parameters!r}" if parameters else ""
            code = f"run = simulate(find({what}{arguments}))\nprint(run.summary)\n"
            return f"from ipa.studies import find, simulate\n\n{code}"
        stored = results.asked(self.what)
        if stored is not None and stored.kind == "runs":
            values = {**values, "policy": named[0]}  # a comparison has none of its own
        arguments = f", {values!r}" if values else ""
        call = f"compare(find({what}{arguments}), {list(named)!r}, seeds={self.seeds})"
        return f"from ipa.studies import compare, find\n\ncomparison = {call}\nprint(comparison)\n"


def _scenario(what: str, values: Mapping[str, Any] | None = None) -> Scenario:
    """The scenario of a pipeline, a file, or a results folder; for a comparison, with one of its policies."""
    stored = results.asked(what)
    return find(what, values) if stored is None else stored.scenario.with_values(values or {})


def spec(policy: Mapping[str, Any]) -> str:
    """A policy as after `--policy`."""
    return " ".join([policy["name"], *(f"{key}={json.dumps(value)}" for key, value in policy.items() if key != "name")])


def _file(scenario: Scenario) -> str:
    """The scenario as a file, with what differs from the defaults."""
    own = scenario.model_dump(mode="json", exclude_defaults=True)
    head = {"schema_version": scenario.schema_version, "kind": scenario.kind, "pipeline": scenario.pipeline}
    return yaml.safe_dump({**head, "policy": scenario.policy.model_dump(), **own}, sort_keys=False, allow_unicode=True)


# ---- the controls ----


def base_of(what: str) -> dict[str, Any]:
    """The defaults of a pipeline or file: its policy, and the value of every key.

    `usual`: the pipeline's own values of keys that it sets. Raises as `find` and `profiles.load`.
    """
    scenario = _scenario(what)
    pipeline = profiles.load(scenario.pipeline)
    start_ups_s = [variant.start_up_s for stage in pipeline.stages for variant in stage.variants]
    own = {key: getattr(pipeline.defaults, key) for key in ("alpha", "beta", "gamma", "load_margin")}
    return {
        "pipeline": pipeline.name,
        "description": pipeline.description,
        "policy": spec({"name": scenario.policy.name, **scenario.policy.parameters}),
        "variants": {stage.name: [each.name for each in stage.variants] for stage in pipeline.stages},
        "values": {key: as_text(value) for key, value in _flat(scenario.as_dict())},
        "usual": {"sla_s": pipeline.sla_s, "start_up_s": max(start_ups_s), **own},
    }


def choices() -> dict[str, Any]:
    """All choices and controls that do not depend on the pipeline. JSON-able."""
    return {
        "controls": list(controls()),
        "pipelines": list(profiles.names()),
        "loads": list(traces.known_names()),
        "policies": {name: _manual(name) for name in policies.POLICIES},
        "most": {"policies": MOST_POLICIES, "seeds": MOST_SEEDS},
    }


def controls() -> Iterator[dict[str, Any]]:
    """For each key the data of its control: section, kind, words, bounds, unit and help."""
    schema = Scenario.model_json_schema()
    for name, about in schema["properties"].items():
        if name in (*NOT_ASKED, "trace_sha256"):
            continue
        reference = about.get("$ref", "").rpartition("/")[2]
        if reference:
            inner = schema["$defs"][reference]["properties"]
            for inner_key, inner_schema in inner.items():
                yield control(f"{name}.{inner_key}", inner_schema, name.capitalize())
        else:
            yield control(name, about, "Further keys")


def control(key: str, about: Mapping[str, Any], part: str) -> dict[str, Any]:
    of_value = next((alternative for alternative in about.get("anyOf", ()) if alternative.get("type") != "null"), about)
    kind = {"number": "number", "integer": "whole", "boolean": "choice"}.get(_type(of_value), "text")
    kind = OF_VARIANTS.get(_type(of_value.get("additionalProperties", {})), kind)
    words = ["true", "false"] if of_value.get("type") == "boolean" else of_value.get("enum", [])
    ending = key.rpartition("_")[2]
    return {
        "key": key,
        "section": next((title for title, keys in SECTIONS.items() if key in keys), part),
        "kind": "choice" if words else kind,
        "words": words,
        "least": of_value.get("minimum", of_value.get("exclusiveMinimum")),
        "most": of_value.get("maximum"),
        "unit": UNITS.get(ending, ""),
        "help": about.get("description", ""),
    }


def _type(schema: Mapping[str, Any]) -> str:
    """The JSON type of a value; a number may also be a text with a unit."""
    kind = schema.get("type", "")
    return str(kind[0] if isinstance(kind, list) else kind)


def _manual(name: str) -> dict[str, Any]:
    """A policy's description and parameters; those with ranges for tuning come first."""
    manual, ranges = policies.manual_of(name), policies.ranges_of(name)
    parameters = [
        {"name": each.name, "default": each.default, "help": each.meaning, "range": _range(ranges.get(each.name))}
        for each in manual.parameters
    ]
    first = ("alpha", "beta", "goal")
    parameters.sort(key=lambda each: (each["name"] not in first, each["range"] is None))
    return {"summary": manual.summary, "parameters": parameters}


def _range(text: str | None) -> dict[str, Any] | None:
    try:
        parsed = None if text is None else policies.parse_range(text)
    except PolicyError:  # a parameter of an installed policy
        return None
    if isinstance(parsed, Range):
        return {"low": parsed.low, "high": parsed.high, "step": parsed.step, "log": parsed.log}
    return {"words": [str(value) for value in parsed.values]} if isinstance(parsed, Choices) else None


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys that have a control, in dotted form."""
    for key, value in values.items():
        if key in ("guards", "limits", "read"):
            yield from ((f"{key}.{inner}", inner_value) for inner, inner_value in value.items())
        elif key not in NOT_ASKED:
            yield key, value


def _as_value(value: Any) -> str:
    """Any value as text after `--set KEY=`."""
    return value if isinstance(value, str) and parse_value(value) == value else json.dumps(value)


def as_text(value: Any) -> str:
    """A value as text after `--set KEY=`; empty for None."""
    return "" if value in (None, {}, []) else value if isinstance(value, str) else json.dumps(value)
