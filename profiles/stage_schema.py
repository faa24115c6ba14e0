"""The stages of a pipeline file: their variants and figures, as pydantic models, and the laws within a stage.

The laws of figures are those of `ipa.profiles.figures`, the rules those of `ipa.profiles.stage`; errors here name the
file's lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, model_validator

from ipa.models import FileModel, refusal
from ipa.profiles.errors import listed
from ipa.profiles.fields import (
    ONE_FOR_ALL,
    OR_RULE,
    OR_TEXT,
    RULE_OR_NULL,
    Count,
    Rate,
    RowCount,
    Seconds,
    Slug,
    Text,
)
from ipa.profiles.figures import Figure, grid_problem, row_problem
from ipa.profiles.graph_schema import AfterStage, JoinKey
from ipa.profiles.stage import (
    START_UP_S,
    OutputForm,
    Stage,
    Variant,
    base_cores,
    output_form_problem,
    output_rows_problems,
    stage_sla_s,
)
from ipa.profiles.yaml_file import Loc


class Sources(FileModel):
    """The provenance of a row's three numbers; one key alone stands for all three."""

    mean: Slug
    p99: Slug
    throughput: Slug


class Within(FileModel):
    """Half-widths of the 95 % intervals of a row's latencies, as shares of them."""

    mean: Annotated[float, Field(ge=0)]
    p99: Annotated[float, Field(ge=0)] | None = None


class FigureRow(FileModel):
    """One allocation and batch size."""

    cores: Count = Field(description="cores of the replica")
    batch: Count = Field(description="requests in a full batch; every variant needs batch 1, and a full grid")
    mean_s: Seconds = Field(description="mean time of a whole batch; does not fall as batches grow")
    p99_s: Seconds = Field(description="its 99 % quantile, from the mean to 14.9 x the mean")
    throughput_rps: Rate = Field(description="what the replica sustains, at most batch / mean")
    sources: Annotated[Sources, ONE_FOR_ALL, OR_TEXT] = Field(alias="from")
    within: Within | None = None

    @model_validator(mode="after")
    def _lawful(self) -> FigureRow:
        problem = row_problem(self.figure())
        if problem:
            raise refusal(problem.text, problem.key)
        return self

    def figure(self) -> Figure:
        return Figure(
            self.cores,
            self.batch,
            self.mean_s,
            self.p99_s,
            self.throughput_rps,
            self.sources.mean,
            self.sources.p99,
            self.sources.throughput,
            self.within.mean if self.within else None,
            self.within.p99 if self.within else None,
        )


class Accuracy(FileModel):
    """A fraction of the stage's accuracy metric."""

    value: Annotated[float, Field(gt=0, le=1)]
    source: Slug = Field(alias="from")


class StartUp(FileModel):
    """The time from creating a replica until it is ready."""

    seconds: Annotated[float, Field(ge=0, le=86_400)]
    source: Slug = Field(alias="from")


class Memory(FileModel):
    """The most memory that a replica has held [MiB]."""

    value: Annotated[float, Field(gt=0, le=1e7)]
    source: Slug = Field(alias="from")


class PinnedCores(FileModel):
    """Base cores that are not the rule's, and why."""

    pinned: Count
    why: Text


class PinnedSla(FileModel):
    """A stage SLA that is not the rule's, and why."""

    pinned_s: Seconds
    why: Text


class VariantSection(FileModel):
    """A model for the stage's task."""

    name: Slug = Field(description="lower-case letters, digits and hyphens")
    accuracy: Accuracy
    start_up: StartUp | None = None
    memory_mb: Memory | None = None
    base_cores: Annotated[PinnedCores | None, RULE_OR_NULL, OR_RULE] = None
    figures: Annotated[list[FigureRow], Field(min_length=1)]

    @model_validator(mode="after")
    def _lawful(self) -> VariantSection:
        problem = grid_problem(self.grid())
        if problem:
            at: Loc = () if problem.row is None else (problem.row, problem.key)
            raise refusal(problem.text, "figures", *(part for part in at if part != ""))
        cores = sorted({row.cores for row in self.figures})
        if self.base_cores and self.base_cores.pinned not in cores:
            text = f"should be a profiled allocation: {listed(cores)}; given {self.base_cores.pinned}"
            raise refusal(text, "base_cores", "pinned")
        return self

    def grid(self) -> tuple[Figure, ...]:
        return tuple(row.figure() for row in self.figures)

    def base_cores_in_force(self, threshold_rps: float | None, sla_s: float) -> int | None:
        if self.base_cores:
            return self.base_cores.pinned
        singles = ((r.cores, r.throughput_rps, r.p99_s) for r in self.figures if r.batch == 1)
        return base_cores(singles, threshold_rps, sla_s)

    def variant(self, base_cores: int) -> Variant:
        return Variant(
            name=self.name,
            accuracy=self.accuracy.value,
            base_cores=base_cores,
            start_up_s=self.start_up.seconds if self.start_up else START_UP_S,
            figures=self.grid(),
            base_cores_why=self.base_cores.why.strip() if self.base_cores else "",
            accuracy_from=self.accuracy.source,
            start_up_from=self.start_up.source if self.start_up else "",
            memory_mb=self.memory_mb.value if self.memory_mb else None,
            memory_from=self.memory_mb.source if self.memory_mb else "",
        )


class OutputSection(FileModel):
    """An output as the protocol's metadata have it."""

    datatype: Text = Field(description="of the Open Inference Protocol, such as FP32")
    shape: list[int] = Field(description="-1 for the rows, then the size of each other axis")

    def form(self) -> OutputForm:
        return OutputForm(self.datatype, tuple(self.shape))


class StageBase(FileModel):
    """What every stage has: a task with its queue."""

    name: Slug = Field(description="lower-case letters, digits and hyphens")
    task: Text = Field(description="what the stage does")
    accuracy_metric: Text = Field(description="what its accuracies are")
    threshold_rps: Rate | None = Field(
        default=None, description="load that base cores must carry; default: the SLA only"
    )
    sla: Annotated[PinnedSla | None, RULE_OR_NULL, OR_RULE] = None
    drop_limit_s: Seconds | None = Field(
        default=None,
        description="age at which a request is dropped; default: 2 x SLA at the first stage, the SLA later",
    )
    after: list[AfterStage] | None = Field(
        default=None, description="the stages before; where no stage has it, they are a chain as listed"
    )
    join: JoinKey | None = Field(
        default=None,
        description="when a request's items go on as one: all, any or {wait_s: ...}; default: each by itself",
    )
    inputs: dict[Text, Text] = Field(
        default_factory=dict, description="live: input tensor -> output of the stage before; default: by the same names"
    )

    def frozen(self, sla_s: float, why: str, variants: tuple[Variant, ...], **of_kind: Any) -> Stage:
        """The value with these variants and that SLA in force; `why`: why it is not the rule's, where the stage does
        not say it; `of_kind`: the values that only some kinds of stages have.
        """
        return Stage(
            name=self.name,
            task=self.task.strip(),
            sla_s=sla_s,
            threshold_rps=float(self.threshold_rps or min(variant.throughput_rps(1) for variant in variants)),
            variants=variants,
            sla_why=self.sla.why.strip() if self.sla else why,
            accuracy_metric=self.accuracy_metric.strip(),
            drop_limit_s=self.drop_limit_s,
            inputs=dict(self.inputs),
            **of_kind,
        )


class StageSection(StageBase):
    """A stage whose variants serve batches."""

    output_rows: dict[Text, RowCount] = Field(
        default_factory=dict,
        description="live: output -> rows per row of the input, output that counts them, or 0: any, without batches",
    )
    outputs: dict[Text, OutputSection] = Field(
        default_factory=dict,
        description="live, in a graph: output -> its datatype and shape, where the models' metadata lack them",
    )
    variants: Annotated[list[VariantSection], Field(min_length=1)] = Field(description="models for the task")

    @model_validator(mode="after")
    def _lawful(self) -> StageSection:
        refuse_twins("variants", "variant", (variant.name for variant in self.variants))
        most_batch = max(row.batch for variant in self.variants for row in variant.figures)
        for output, problem in output_rows_problems(self.output_rows, most_batch):
            raise refusal(problem, "output_rows", output)
        for output, section in self.outputs.items():
            if problem := output_form_problem(section.form()):
                raise refusal(problem, "outputs", output)
        return self

    def without_base_cores(self, sla_s: float) -> tuple[int, str] | None:
        """The first variant for which the rule finds no base cores at that SLA of the stage, and what to say of it."""
        for index, variant in enumerate(self.variants):
            if variant.base_cores_in_force(self.threshold_rps, sla_s) is None:
                rate = f"throughput_rps at least {self.threshold_rps:g} and " if self.threshold_rps else ""
                return index, (
                    f"the rule finds no allocation with {rate}p99_s at most {sla_s:g} at batch size 1; "
                    "pin it: {pinned: ..., why: ...}"
                )
        return None

    def own_sla_s(self) -> float:
        """The stage's SLA where the file has none for the whole pipeline."""
        if self.sla:
            return self.sla.pinned_s
        return stage_sla_s(
            max((row.cores, row.p99_s) for row in variant.figures if row.batch == 1)[1] for variant in self.variants
        )

    def stage(self, sla_s: float, why: str = "") -> Stage:
        """As `frozen`, with all variants."""
        bases = (v.base_cores_in_force(self.threshold_rps, sla_s) for v in self.variants)
        variants = tuple(
            section.variant(base) for section, base in zip(self.variants, bases, strict=True) if base is not None
        )
        outputs = {output: section.form() for output, section in self.outputs.items()}
        return self.frozen(sla_s, why, variants, output_rows=dict(self.output_rows), outputs=outputs)


def refuse_twins(key: str, owner: str, names: Iterable[str]) -> None:
    """Refuse the first name that stands twice."""
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in first:
            raise refusal(f"two {key} are called {name!r}; {owner} names differ", key, index, "name")
        first[name] = index
