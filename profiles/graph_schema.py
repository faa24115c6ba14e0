"""What a pipeline file says of its graph: what each stage is after, joins, and accuracies of the whole.

`graph_of` makes the frozen value of it; the laws are those of `ipa.profiles.graph_laws`, said with the file's lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo, WithJsonSchema, model_validator

from ipa.models import FileModel, refusal
from ipa.profiles import conditions
from ipa.profiles.conditions import Condition
from ipa.profiles.counts import read_counts
from ipa.profiles.errors import ProfileError, did_you_mean, listed
from ipa.profiles.fields import OR_TEXT, Slug, Text
from ipa.profiles.graph import Edge, Graph, Join, in_order
from ipa.profiles.graph_laws import MOST_ITEMS, GraphProblem, Variants, graph_problem, idle_join
from ipa.profiles.yaml_file import Loc

# ---- fields ----


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _items(value: Any) -> float | dict[str, float]:
    by_variant = value if isinstance(value, dict) else {"": value}
    for variant, number in by_variant.items():
        if not (_is_number(number) and 0 <= number <= MOST_ITEMS):
            at = (variant,) if variant else ()
            raise refusal(f"should be a number from 0 to {MOST_ITEMS}, or one by variant; given {number!r}", *at)
    return {name: float(number) for name, number in value.items()} if isinstance(value, dict) else float(value)


def _counts(value: Any, info: ValidationInfo) -> dict[str, tuple[int, ...]]:
    if isinstance(value, str):
        try:
            return read_counts((info.context or {}).get("folder", Path()) / value)
        except ProfileError as error:
            raise refusal(str(error)) from None
    numbers = f"whole numbers from 0 to {MOST_ITEMS}"
    if not (isinstance(value, dict) and value):
        raise refusal(f"should be a CSV file with a column for each variant, or lists of {numbers} by variant")
    for variant, counts in value.items():
        if not (isinstance(counts, list) and counts):
            raise refusal(f"should be a list of {numbers}", variant)
        for number, count in enumerate(counts):
            if not (type(count) is int and 0 <= count <= MOST_ITEMS):
                raise refusal(f"should be a whole number from 0 to {MOST_ITEMS}; given {count!r}", variant, number)
    return {variant: tuple(counts) for variant, counts in value.items()}


def _join(value: Any) -> Join:
    if value in ("all", "any"):
        return Join(value)
    if isinstance(value, dict) and list(value) == ["wait_s"] and _is_number(value["wait_s"]):
        if 0 < value["wait_s"] <= 86_400:
            return Join("wait", float(value["wait_s"]))
        raise refusal(f"should be above 0 and at most 86400; given {value['wait_s']!r}", "wait_s")
    raise refusal(f"should be all, any or {{wait_s: SECONDS}}; given {value!r}")


def _when(value: Any) -> Condition:
    if not isinstance(value, str):
        raise refusal(f"{conditions.ALLOWED}; given {value!r}")
    try:
        return conditions.parsed(value)
    except ValueError as error:
        raise refusal(str(error)) from None


_NUMBER = {"type": "number", "minimum": 0, "maximum": MOST_ITEMS}
_COUNTED = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": MOST_ITEMS}, "minItems": 1}
_WAIT = {"type": "number", "exclusiveMinimum": 0, "maximum": 86_400}

Items = Annotated[
    float | dict[str, float],
    PlainValidator(_items),
    WithJsonSchema({"anyOf": [_NUMBER, {"type": "object", "additionalProperties": _NUMBER}]}),
]
Counts = Annotated[
    dict[str, tuple[int, ...]],
    PlainValidator(_counts),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": _COUNTED, "minProperties": 1}]}
    ),
]
When = Annotated[Condition, PlainValidator(_when), WithJsonSchema({"type": "string", "pattern": conditions.PATTERN})]
JoinKey = Annotated[
    Join,
    PlainValidator(_join),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["all", "any"]},
                {
                    "type": "object",
                    "properties": {"wait_s": _WAIT},
                    "required": ["wait_s"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


# ---- models ----


class After(FileModel):
    """A stage before, and how many of a request's items go on from there."""

    stage: Slug = Field(description="the stage before")
    items: Items = Field(default=1.0, description="items that one item there gives on average, or by its variant")
    spread: Annotated[float, Field(ge=0, le=1000)] = Field(
        default=0.0, description="variance of that number over its mean; 0: the mean's floor or ceiling, 1: Poisson"
    )
    persist_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        default=0.0,
        description="numbers of requests that far apart correlate by about 1/e; 0: they are independent",
    )
    counts: Counts = Field(
        default_factory=dict,
        description="measured numbers in place of items and spread: a CSV file with a column by variant, or lists",
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(default=1.0, description="share of the items that goes on")
    switch: Slug | None = Field(default=None, description="of a stage's edges with one switch, an item takes just one")
    partial: Literal["ok"] | None = Field(default=None, description="a request goes on without an item dropped here")
    source: Slug | None = Field(default=None, alias="from", description="the numbers' key in the provenance")
    items_from: Text | None = Field(
        default=None, description="live: the output there whose every row is an item here; `items` is what is planned"
    )
    when: When | None = Field(
        default=None,
        description='live: what takes the edge, as in `score < 0.5` or `label == "car"`; `share` is planned',
    )

    def edge(self, child: str) -> Edge:
        """The frozen value."""
        return Edge(
            parent=self.stage,
            child=child,
            items=self.items,
            spread=self.spread,
            persist_s=self.persist_s,
            counts=self.counts,
            share=self.share,
            switch=self.switch or "",
            partial=self.partial is not None,
            source=self.source or "",
            items_from=self.items_from or "",
            when=self.when,
        )


def _named(value: Any) -> Any:
    return {"stage": value} if isinstance(value, str) else value


AfterStage = Annotated[After, BeforeValidator(_named), OR_TEXT]
"""A stage alone stands for an edge on which every item there becomes one here."""


class Combination(FileModel):
    """A variant of each stage, and what they reach together."""

    variants: dict[Slug, Slug] = Field(description="stage -> its variant; a stage with only one may be left out")
    value: Annotated[float, Field(ge=0, le=1)]


class AccuracySection(FileModel):
    """What the whole reaches: measured for combinations of variants, or made of the stages' accuracies."""

    combine: Literal["product"] | None = Field(
        default=None, description="assume that accuracies multiply along each way to an exit"
    )
    exits: dict[str, Annotated[float, Field(gt=0, le=1e9)]] = Field(
        default_factory=dict, description="exit -> weight of its accuracy; default: all weigh the same"
    )
    combinations: Annotated[list[Combination], Field(min_length=1)] | None = Field(
        default=None, description="measured accuracies, of every combination of variants"
    )
    source: Slug | None = Field(default=None, alias="from", description="the measured ones' key in the provenance")

    @model_validator(mode="after")
    def _lawful(self) -> AccuracySection:
        if self.combinations is None and self.combine is None:
            raise refusal("say `combine: product`, which assumes that accuracies multiply, or give `combinations`")
        if self.combinations is None and self.source:
            raise refusal("only measured `combinations` come from somewhere", "from")
        if self.combinations is not None:
            for key in ("combine", "exits"):
                if getattr(self, key):
                    raise refusal("`combinations` say it all: leave this out", key)
            if not self.source:
                raise refusal("say which entry of the provenance the combinations come `from`")
        return self

    def measured(self, variants: Variants) -> dict[tuple[str, ...], float]:
        """The measured accuracies by variants in the order of the stages."""
        accuracies: dict[tuple[str, ...], float] = {}
        for number, combination in enumerate(self.combinations or ()):
            at = ("accuracy", "combinations", number)
            for stage, name in combination.variants.items():
                if stage not in variants:
                    text = f"no stage is called {stage!r}{did_you_mean(stage, variants)}; stages: {listed(variants)}"
                    raise refusal(text, *at, "variants", stage)
                if name not in variants[stage]:
                    hint = did_you_mean(name, variants[stage])
                    text = f"{stage} has no variant {name!r}{hint}; variants: {listed(variants[stage])}"
                    raise refusal(text, *at, "variants", stage)
            missing = [
                stage for stage, names in variants.items() if stage not in combination.variants and len(names) > 1
            ]
            if missing:
                raise refusal(f"the stage {missing[0]!r} is missing", *at, "variants")
            names = tuple(combination.variants.get(stage, of_stage[0]) for stage, of_stage in variants.items())
            if names in accuracies:
                raise refusal(f"the accuracy of {listed(names)} is given twice", *at)
            accuracies[names] = combination.value
        return accuracies


# ---- the graph ----


def graph_of(
    after: Mapping[str, Sequence[After] | None],
    joins: Mapping[str, Join],
    accuracy: AccuracySection | None,
    variants: Variants,
) -> Graph:
    """The graph of stages, all in the order of the file, with an SLA of 1 s; raises what a validator raises.

    `after`: stage -> what it is after; where all are None, they are a chain.
    """
    if all(edges_before is None for edges_before in after.values()):
        edges = [Edge(*pair) for pair in pairwise(after)]
    else:
        edges = [edge_before.edge(stage) for stage, edges_before in after.items() for edge_before in edges_before or ()]
    graph = Graph(
        edges=tuple(edges),
        sla_s=1.0,
        joins=joins,
        exits=accuracy.exits if accuracy else {},
        assumes_product=accuracy is not None and accuracy.combine == "product",
    )
    _refuse(graph_problem(graph, variants) or idle_join(graph, variants), after)
    if accuracy is None or accuracy.combinations is None:
        return graph
    ordered = {stage: variants[stage] for stage in in_order(list(variants), edges)}
    accuracies = accuracy.measured(ordered)
    combinations = math.prod(map(len, ordered.values()))
    if len(accuracies) < combinations:
        text = f"every combination of variants needs its accuracy: {combinations}; given {len(accuracies)}"
        raise refusal(text, "accuracy", "combinations")
    return replace(graph, accuracies=accuracies, accuracies_from=accuracy.source or "")


def is_chain(graph: Graph, stages: Sequence[str]) -> bool:
    """Whether it says no more than that each of the stages, in their order, comes after the one before it."""
    plain = all(edge.is_plain for edge in graph.edges) and not graph.joins and not graph.accuracies
    return plain and {(edge.parent, edge.child) for edge in graph.edges} == set(pairwise(stages))


def _refuse(problem: GraphProblem | None, after: Mapping[str, Sequence[After] | None]) -> None:
    if problem is None:
        return
    at: Loc = ("accuracy", problem.part, problem.at)
    names = list(after)
    if problem.part == "edges":
        places = [(s, k) for s, edges_before in enumerate(after.values()) for k in range(len(edges_before or ()))]
        stage, place = places[int(problem.at)]
        at = ("stages", stage, "after", place)
    elif problem.part == "joins":
        at = ("stages", names.index(str(problem.at)), "join")
    raise refusal(problem.text, *at, *((problem.key,) if problem.key else ()))
