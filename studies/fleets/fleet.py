"""A fleet: several pipelines under one budget of cores or GPUs, as one validated value, from a YAML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from ipa.policies import Configuration
from ipa.policies.sharing import Member as Sharer
from ipa.policies.sharing import weights_of
from ipa.profiles import Document, FileModel, Loc, Pipeline, read_yaml, refusal, validate_document
from ipa.sim import CORES, GPUS, in_words
from ipa.studies.scenario import (
    Counting,
    Positive,
    Scenario,
    ScenarioError,
    Shared,
    Whole,
    check_names,
    choices,
    located,
    with_settings_beside,
)

SCHEMA_VERSION = 1


class Member(FileModel):
    """One pipeline of a fleet. In a file, the keys of its scenario stand beside its own."""

    name: str = Field(min_length=1, pattern=r"^[\w-]+$", description="what it is called, by tables and other keys")
    priority: Positive = Field(default=1.0, description="its weight where the budget does not suffice for all")
    at_least_cores: Whole = Field(default=0, description="its floor, kept free whatever others want")
    at_most_cores: Counting | None = Field(default=None, description="the most cores it may have; default: all")
    at_least_gpus: Whole = Field(default=0, description="as at_least_cores, in a fleet that shares GPUs")
    at_most_gpus: Counting | None = Field(default=None, description="as at_most_cores, in a fleet that shares GPUs")
    tenant: str | None = Field(default=None, description="whose it is; the pipelines of a tenant share its weight")
    scenario: Scenario

    @model_validator(mode="before")
    @classmethod
    def _scenario_beside(cls, data: Any) -> Any:
        """In a file, all other keys are those of the scenario."""
        if not isinstance(data, dict) or "scenario" in data:
            return data
        own = {key: value for key, value in data.items() if key in cls.model_fields}
        return {**own, "scenario": {key: value for key, value in data.items() if key not in own}}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = super().__get_pydantic_json_schema__(core, handler)
        own = handler.resolve_ref_schema(schema)
        scenario = handler.resolve_ref_schema(own["properties"].pop("scenario"))
        header = ("schema_version", "kind")
        own["properties"] |= {key: value for key, value in scenario["properties"].items() if key not in header}
        own["required"] = ["name", "pipeline"]
        return schema


class Fleet(FileModel):
    """Several pipelines under one budget, and the rule by which it is shared where it does not suffice."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    kind: str = Field(default="fleet", pattern="^fleet$")
    limit_cores: Counting | None = Field(
        default=None, description="the budget: no more cores exist at any time, of all pipelines together"
    )
    limit_gpus: Counting | None = Field(default=None, description="a budget of GPUs, in place of one of cores")
    sharing: choices.Sharing = Field(default="objective", description="who gets how many where all want more")
    tenants: dict[str, Positive] = Field(default_factory=dict, description="tenant -> weight; default: 1 each")
    pipelines: list[Member] = Field(min_length=1, description="the pipelines, each with its load and policy")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.limit_cores is None and self.limit_gpus is None:
            raise refusal("limit_cores is missing; allowed: this, or limit_gpus")
        if self.limit_cores is not None and self.limit_gpus is not None:
            raise refusal("a fleet shares one budget; allowed: limit_cores or limit_gpus, not both", "limit_gpus")
        for place, member in enumerate(self.pipelines):
            for key in ("at_least_cores", "at_most_cores", "at_least_gpus", "at_most_gpus"):
                if getattr(member, key) and not key.endswith(self.resource):
                    allowed = f"{key.rpartition('_')[0]}_{self.resource}"
                    raise refusal(f"the fleet shares {self.unit}; allowed: {allowed}", "pipelines", place, key)
        names: set[str] = set()
        for place, member in enumerate(self.pipelines):
            if member.name in names:
                raise refusal(
                    f"{member.name!r} is the name of two pipelines; each needs its own", "pipelines", place, "name"
                )
            names.add(member.name)
        tenants = [member.tenant for member in self.pipelines]
        if any(tenants) and not all(tenants):
            place = tenants.index(None)
            raise refusal("has no tenant, and others have one; allowed: all or none", "pipelines", place)
        for tenant in self.tenants:
            if tenant not in tenants:
                raise refusal("is the tenant of no pipeline", "tenants", tenant)
        return self

    def with_values(self, values: Mapping[str, Any]) -> Fleet:
        """The fleet with other values: the budget, `sharing`, `tenants.NAME`; `PIPELINE.KEY` for one pipeline, or a
        scenario's key for all of them. Raises ScenarioError naming the key."""
        fleet = self
        for key, value in values.items():
            fleet = fleet._with_value(key, value)
        return fleet

    def _with_value(self, key: str, value: Any) -> Fleet:
        first, _, rest = key.partition(".")
        data = self.model_dump(mode="json")
        if first in Fleet.model_fields and first != "pipelines":
            data[first] = {**self.tenants, rest: value} if rest else value
            return _validated(data, key)
        chosen = [member for member in self.pipelines if rest and member.name == first]
        if rest and not chosen and first not in Scenario.model_fields:
            names = ", ".join(member.name for member in self.pipelines)
            raise ScenarioError(f"{key}: no pipeline of the fleet is called {first!r}; it has {names}")
        key_of_member = rest if chosen else key
        for member in data["pipelines"]:
            if chosen and member["name"] != first:
                continue
            if key_of_member in Member.model_fields:
                member[key_of_member] = value
            else:
                scenario = Scenario.model_validate(member["scenario"])
                try:
                    member["scenario"] = scenario.with_values({key_of_member: value}).as_dict()
                except ScenarioError as error:
                    raise ScenarioError(f"pipelines[{member['name']}].{error}") from None
        return _validated(data, key)

    @cached_property
    def weights(self) -> list[Fraction]:
        """The weight of each pipeline, exact; they sum to 1."""
        members = self.pipelines
        return weights_of([m.priority for m in members], [m.tenant for m in members], self.tenants)

    @property
    def resource(self) -> str:
        """What is shared: cores or GPUs."""
        return CORES if self.limit_gpus is None else GPUS

    @property
    def budget(self) -> int:
        """How many of them there are."""
        budget = self.limit_cores if self.limit_gpus is None else self.limit_gpus
        assert budget is not None, "one of both is given"
        return budget

    def scenario_of(self, member: Member) -> Scenario:
        """The scenario of a pipeline as if it were alone: within the budget and its own limits."""
        key = f"limit_{self.resource}"
        limits = [self.budget, getattr(member, f"at_most_{self.resource}"), getattr(member.scenario, key)]
        return member.scenario.model_copy(update={key: min(limit for limit in limits if limit is not None)})

    def sharers(self, shared: Shared) -> list[Sharer]:
        """The pipelines as the rules see them: floors are at least what the lightest configuration takes.

        Raises ScenarioError if the floors exceed the budget, or a pipeline its own bound, or if one has no GPUs.
        """
        sharers = []
        at_least = f"at_least_{self.resource}"
        for member, weight in zip(self.pipelines, self.weights, strict=True):
            pipeline = shared.pipeline(member.scenario)
            if self.resource == GPUS and not pipeline.has_gpus:
                raise ScenarioError(f"pipelines[{member.name}]: no variant of {pipeline.name} has GPUs to share")
            own, lightest = getattr(member, at_least), fewest(self.resource, pipeline)
            most, floor = getattr(self.scenario_of(member), f"limit_{self.resource}"), max(own, lightest)
            if floor > most:
                demand = at_least if own > lightest else "one replica of each stage"
                raise ScenarioError(
                    f"pipelines[{member.name}]: {demand} takes {floor} {self.unit}; allowed: at most {most}"
                )
            sharers.append(Sharer(member.name, weight, floor, most))
        floors = sum(sharer.at_least for sharer in sharers)
        if floors > self.budget:
            parts = " + ".join(f"{sharer.name} {sharer.at_least}" for sharer in sharers)
            raise ScenarioError(
                f"limit_{self.resource}: {self.budget} is less than the floors; allowed: at least {floors} ({parts})"
            )
        return sharers

    @property
    def unit(self) -> str:
        """Cores or GPUs, as they are written."""
        return in_words(self.resource)

    @property
    def one_more(self) -> str:
        """One core more, or one GPU, in words."""
        return f"one {self.unit[:-1]} more"

    @property
    def title(self) -> str:
        """The names of the pipelines."""
        return ", ".join(member.name for member in self.pipelines)


def fewest(resource: str, pipeline: Pipeline) -> int:
    """The cores or GPUs of the fewest replicas that each stage may have, of the variant with the fewest."""
    return sum(
        pipeline.limits.least(stage.name)
        * (stage.lightest().base_cores if resource == CORES else min(variant.gpus for variant in stage.variants))
        for stage in pipeline.stages
    )


def units_taken(resource: str, pipeline: Pipeline, configuration: Configuration) -> int:
    """The cores or GPUs that a configuration takes."""
    if resource == CORES:
        return sum(stage.total_cores for stage in configuration.values())
    return sum(
        stage.replicas * pipeline.stage(name).variant(stage.variant).gpus for name, stage in configuration.items()
    )


def load_fleet(
    path: str | Path,
    values: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    budget: Callable[[Fleet], int] | None = None,
) -> Fleet:
    """The fleet in a YAML file; `values` override it, as in `with_values`; `defaults` are of pipelines that lack them,
    `budget` says the cores of a fleet that names none.

    Paths in the file are relative to its folder. Raises ScenarioError, with file and line, for anything wrong in it.
    """
    document = read_yaml(path, kind="fleet", schema_version=SCHEMA_VERSION, error=ScenarioError)
    folder = Path(path).parent
    pipelines = document.data.get("pipelines")
    if isinstance(pipelines, list):
        pipelines = [
            with_settings_beside({**(defaults or {}), **entry}, folder) if isinstance(entry, dict) else entry
            for entry in pipelines
        ]
        document = replace(document, data={**document.data, "pipelines": pipelines})
    values = dict(values or {})
    is_without = "limit_cores" not in document.data and "limit_gpus" not in document.data
    if is_without and budget is not None:
        document = replace(document, data={**document.data, "limit_cores": values.get("limit_cores", 1)})
    fleet = validate_document(Fleet, document, error=ScenarioError)
    if is_without and budget is not None and "limit_cores" not in values:
        values["limit_cores"] = budget(fleet)
    members = [member.model_copy(update={"scenario": located(member.scenario, folder)}) for member in fleet.pipelines]
    for place, member in enumerate(members):
        check_names(member.scenario, _Part.of(document, ("pipelines", place)), ())
    return fleet.model_copy(update={"pipelines": members}).with_values(values)


@dataclass(frozen=True)
class _Part(Document):
    """A part of a document as one of its own; errors are at their places in the whole."""

    whole: Document
    at: Loc

    @classmethod
    def of(cls, whole: Document, at: Loc) -> Self:
        data: Any = whole.data
        for key in at:
            data = data[key]
        return cls(whole.path, data, {}, whole, at)

    def error_at(self, loc: Loc, text: str) -> str:
        return self.whole.error_at((*self.at, *loc), text)


def _validated(data: dict[str, Any], key: str) -> Fleet:
    class Given(Document):
        def line_of(self, loc: Loc) -> int:
            return 0

        def error_at(self, loc: Loc, text: str) -> str:
            return f"{key}: {text}"

    return validate_document(Fleet, Given("", data, {}), error=ScenarioError)
