"""Stages of language models in a pipeline file, as pydantic models of the values of `ipa.profiles.language_model`.

What a plan takes a variant for follows from its step and the stage's tokens, which may be those of a stage before: so
`planned` makes all stages, in the order of the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, PlainValidator, Tag, ValidationInfo, WithJsonSchema, model_validator

from ipa.models import FileModel, refusal
from ipa.profiles.csv_table import read_numbers
from ipa.profiles.errors import ProfileError, did_you_mean, listed
from ipa.profiles.fields import Count, Slug, Text
from ipa.profiles.graph import Graph
from ipa.profiles.language_model import (
    BLOCK_TOKENS,
    MOST_TOKENS,
    TOKENS_PER_STEP,
    LanguageModel,
    StageTokens,
    StepTime,
    TokenLaw,
)
from ipa.profiles.stage import START_UP_S, Stage, Variant, stage_sla_s
from ipa.profiles.stage_schema import Accuracy, StageBase, StageSection, StartUp, refuse_twins

NotNegative = Annotated[float, Field(ge=0, le=86_400)]
Tokens = Annotated[int, Field(ge=1, le=MOST_TOKENS)]

# ---- tokens ----


class LawSection(FileModel):
    """Tokens of a request: lognormal, or those that another stage has put out, and `plus` more."""

    mean: float | None = Field(default=None, description="mean tokens of a request, at least 1")
    p99: float | None = Field(default=None, description="99 % quantile, from the mean to 14.9 x the mean")
    after: Slug | None = Field(default=None, description="the stage before whose output tokens these are")
    plus: Annotated[int, Field(ge=0, le=MOST_TOKENS)] = Field(default=0, description="tokens beside those of `after`")

    @model_validator(mode="after")
    def _lawful(self) -> LawSection:
        if self.after is not None:
            for key in ("mean", "p99"):
                if getattr(self, key) is not None:
                    raise refusal(f"follows from the stage {self.after!r}: leave this out", key)
            return self
        if self.plus:
            raise refusal("goes with `after`: leave this out", "plus")
        for key in ("mean", "p99"):
            if getattr(self, key) is None:
                raise refusal(f"the key {key!r} is missing: say mean and p99, or `after` another stage")
        if problem := self.law(None).problem:
            raise refusal(problem[1], problem[0])
        return self

    def law(self, before: TokenLaw | None) -> TokenLaw:
        """The value; `before`: the output of the stage that it is after."""
        if self.after is None:
            return TokenLaw(float(self.mean or 0), float(self.p99 or 0))
        assert before is not None, "checked by `planned`"
        return TokenLaw(before.mean + self.plus, before.p99 + self.plus, self.after, self.plus)


PAIRS = "whole numbers of input and output tokens, from 1"


def _pairs(value: Any, info: ValidationInfo) -> tuple[tuple[int, int], ...]:
    if isinstance(value, str):
        try:
            return read_pairs((info.context or {}).get("folder", Path()) / value)
        except ProfileError as error:
            raise refusal(str(error)) from None
    if not (isinstance(value, list) and value):
        raise refusal(f"should be a CSV file with the columns {listed(COLUMNS)}, or a list of pairs: {PAIRS}")
    for number, pair in enumerate(value):
        if not (isinstance(pair, list) and len(pair) == 2 and all(_is_tokens(tokens) for tokens in pair)):
            raise refusal(f"should be a pair of {PAIRS}; given {pair!r}", number)
    return tuple((pair[0], pair[1]) for pair in value)


def _is_tokens(value: object) -> bool:
    return type(value) is int and 1 <= value <= MOST_TOKENS


COLUMNS = ("input_tokens", "output_tokens")
"""Of a table of measured pairs; others are not read."""


def read_pairs(path: Path) -> tuple[tuple[int, int], ...]:
    """The pairs of a CSV table. ProfileError for what is no such table, with file, line and column."""
    pairs = []
    for line, tokens in read_numbers(path, COLUMNS).items():
        for name, number in zip(COLUMNS, tokens, strict=True):
            if not (number.is_integer() and 1 <= number <= MOST_TOKENS):
                allowed = f"should be a whole number from 1 to {MOST_TOKENS}"
                raise ProfileError(f"{path}:{line}: {name}: {allowed}; given {number:g}")
        pairs.append((int(tokens[0]), int(tokens[1])))
    return tuple(pairs)


_PAIR = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "maxItems": 2}
Pairs = Annotated[
    tuple[tuple[int, int], ...],
    PlainValidator(_pairs),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": _PAIR, "minItems": 1}]}),
]


class TokensSection(FileModel):
    """The tokens of a stage's requests."""

    input: LawSection | None = Field(default=None, description="of the prompt")
    output: LawSection | None = Field(default=None, description="that are generated")
    table: Pairs | None = Field(
        default=None, description="measured pairs instead: a CSV file with input_tokens and output_tokens, or the pairs"
    )
    columns: Annotated[list[Text], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="of the load, that have them: input, output; the laws are then what is planned with"
    )
    source: Slug = Field(alias="from")

    @model_validator(mode="after")
    def _lawful(self) -> TokensSection:
        if self.table is not None:
            for key in ("input", "output", "columns"):
                if getattr(self, key) is not None:
                    raise refusal("`table` says it all: leave this out", key)
            return self
        for key in ("input", "output"):
            if getattr(self, key) is None:
                why = "; `columns` are not known to a plan" if self.columns else ", or give a `table`"
                raise refusal(f"the key {key!r} is missing: say mean and p99{why}")
        if self.output and self.output.after:
            raise refusal("only the input can be what another stage has put out", "output", "after")
        if self.columns and self.input and self.input.after:
            raise refusal("either the load's columns say the input, or another stage: leave this out", "columns")
        return self

    def tokens(self, before: TokenLaw | None) -> StageTokens:
        """The value; `before`: the output of the stage that the input is after."""
        if self.table is not None:
            return StageTokens.of_pairs(self.table, self.source)
        assert self.input is not None
        assert self.output is not None
        columns = None if self.columns is None else (self.columns[0], self.columns[1])
        return StageTokens(self.input.law(before), self.output.law(None), (), columns, self.source)


# ---- variants and stages ----


class StepSection(FileModel):
    """What a step takes."""

    base_s: Annotated[float, Field(gt=0, le=86_400)] = Field(description="a step without tokens")
    per_token_s: NotNegative = Field(description="for each token that it computes")
    per_cached_token_s: NotNegative = Field(
        default=0.0, description="for each token that is read, of requests of which it computes one token"
    )
    source: Slug = Field(alias="from")

    def time(self) -> StepTime:
        return StepTime(self.base_s, self.per_token_s, self.per_cached_token_s)


class GpuCores(FileModel):
    """What a GPU costs, in cores."""

    value: Count
    source: Slug = Field(alias="from")


class LanguageModelSection(FileModel):
    """A language model for the stage's task."""

    name: Slug = Field(description="lower-case letters, digits and hyphens")
    accuracy: Accuracy
    start_up: StartUp | None = None
    start_up_s: NotNegative | None = Field(default=None, description="`start_up`, with the source of the step")
    step: StepSection
    sequences: Count = Field(description="the most requests at once")
    kv_blocks: Annotated[int, Field(ge=1, le=1_000_000_000)] = Field(description="blocks for their keys and values")
    block_tokens: Count = Field(default=BLOCK_TOKENS, description="tokens of a block")
    tokens_per_step: Tokens = Field(default=TOKENS_PER_STEP, description="the most tokens that a step computes")
    cores: Count = Field(default=1, description="of a replica")
    gpus: Annotated[int, Field(ge=0, le=1024)] = Field(default=0, description="of a replica")
    gpu_cores: GpuCores | None = Field(default=None, description="what these GPUs cost each; default: the pipeline's")

    @model_validator(mode="after")
    def _lawful(self) -> LanguageModelSection:
        if self.start_up and self.start_up_s is not None:
            raise refusal("`start_up` says it: leave this out", "start_up_s")
        if self.gpu_cores and not self.gpus:
            raise refusal("a replica has no GPUs: leave this out", "gpu_cores")
        return self

    def model(self) -> LanguageModel:
        return LanguageModel(
            self.step.time(),
            self.sequences,
            self.kv_blocks,
            self.tokens_per_step,
            self.block_tokens,
            self.gpus,
            self.cores,
            self.gpu_cores.value if self.gpu_cores else None,
        )

    def room_problem(self, tokens: StageTokens) -> str:
        """What to say if the blocks do not hold a mean request; empty if they do."""
        if self.model().most_at_once(tokens) >= 1:
            return ""
        mean, room = tokens.input.mean + tokens.output.mean, self.kv_blocks * self.block_tokens
        blocks = f"{self.kv_blocks} blocks of {self.block_tokens}"
        return f"should hold a mean request of {mean:.6g} tokens; {blocks} hold {room}"

    def variant(self, tokens: StageTokens, gpu_cores: int) -> Variant:
        """The value, with the figures that follow. ProfileError for those that break a law."""
        model = self.model()
        start_up_s = self.start_up_s if self.start_up is None else self.start_up.seconds
        return Variant(
            name=self.name,
            accuracy=self.accuracy.value,
            base_cores=model.cost_cores(gpu_cores),
            start_up_s=START_UP_S if start_up_s is None else start_up_s,
            figures=model.figures(tokens, gpu_cores, self.step.source),
            base_cores_why=model.cost_text(gpu_cores),
            accuracy_from=self.accuracy.source,
            start_up_from=self.start_up.source if self.start_up else self.step.source if start_up_s is not None else "",
            language_model=model,
        )


class LanguageStageSection(StageBase):
    """A stage whose variants are language models."""

    accuracy_metric: Text = Field(default="accuracy", description="what its accuracies are")
    kind: Literal["llm"] = Field(description="llm: its variants serve text, in steps that requests join and leave")
    tokens: TokensSection = Field(description="of its requests")
    variants: Annotated[list[LanguageModelSection], Field(min_length=1)] = Field(description="models for the task")

    @model_validator(mode="after")
    def _lawful(self) -> LanguageStageSection:
        refuse_twins("variants", "variant", (variant.name for variant in self.variants))
        return self


def _kind(stage: Any) -> str:
    return (
        "llm" if isinstance(stage, LanguageStageSection) or (isinstance(stage, dict) and "kind" in stage) else "served"
    )


AnyStage = Annotated[
    Annotated[StageSection, Tag("served")] | Annotated[LanguageStageSection, Tag("llm")], Discriminator(_kind)
]


@dataclass(frozen=True)
class PlannedStage:
    """A stage of language models with what a plan takes its variants for; used as a `StageSection` is."""

    section: LanguageStageSection
    tokens: StageTokens
    variants: tuple[Variant, ...]

    def without_base_cores(self, sla_s: float) -> None:
        """None: the cores of a replica are said, not chosen."""

    def own_sla_s(self) -> float:
        """The stage's SLA where the file has none for the whole pipeline."""
        pinned = self.section.sla
        return pinned.pinned_s if pinned else stage_sla_s(variant.p99_s(1) for variant in self.variants)

    def stage(self, sla_s: float, why: str = "") -> Stage:
        """The frozen value with that SLA in force."""
        return self.section.frozen(sla_s, why, self.variants, tokens=self.tokens)


def planned(
    sections: Sequence[StageSection | LanguageStageSection], order: Sequence[str], graph: Graph, gpu_cores: int
) -> dict[str, StageSection | PlannedStage]:
    """Name -> stage, in `order`, which has each after those before it. Raises what a validator raises."""
    stages: dict[str, StageSection | PlannedStage] = {}
    places = {section.name: place for place, section in enumerate(sections)}
    for name in order:
        section = sections[places[name]]
        if isinstance(section, StageSection):
            stages[name] = section
            continue
        before = _output_before(section, graph, stages, places[name])
        tokens = section.tokens.tokens(before)
        variants = []
        for number, variant in enumerate(section.variants):
            at = ("stages", places[name], "variants", number)
            if problem := variant.room_problem(tokens):
                raise refusal(problem, *at, "kv_blocks")
            try:
                variants.append(variant.variant(tokens, gpu_cores))
            except ProfileError as error:  # a law of figures that only extreme numbers break
                raise refusal(str(error), *at, "step") from None
        stages[name] = PlannedStage(section, tokens, tuple(variants))
    return stages


def _output_before(
    section: LanguageStageSection, graph: Graph, stages: Mapping[str, StageSection | PlannedStage], place: int
) -> TokenLaw | None:
    """The output of the stage that a stage's input is after; None if it is after none."""
    after = section.tokens.input.after if section.tokens.input else None
    if after is None:
        return None
    parents = [edge.parent for edge in graph.into(section.name)]
    of_parents = {name: stage.tokens for name in parents if isinstance(stage := stages[name], PlannedStage)}
    if after not in of_parents:
        hint = did_you_mean(after, of_parents)
        text = f"should be a stage of language models just before {section.name}"
        allowed = listed(of_parents) or "there is none"
        raise refusal(f"{text}{hint}; allowed: {allowed}; given {after!r}", "stages", place, "tokens", "input", "after")
    return of_parents[after].output
