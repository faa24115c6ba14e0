"""The pipeline file: its pydantic models, and the laws that hold between its parts.

The models say what a file may hold; `PipelineFile.pipeline()` makes the frozen values of it. The
laws of figures are those of `ipa.profiles.figures`, the rules those of `ipa.profiles.stage`; here they are
said with the file's lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ipa.profiles.defaults import CONSTANTS, Defaults, defaults_problem
from ipa.profiles.errors import did_you_mean, listed
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
    Weight,
)
from ipa.profiles.figures import Figure, grid_problem, row_problem
from ipa.profiles.pipeline import Pipeline, Provenance
from ipa.profiles.stage import (
    MOST_INTERFERENCE,
    START_UP_S,
    Stage,
    Variant,
    base_cores,
    interference_problems,
    output_rows_problems,
    pairs_problem,
    stage_sla_s,
)
from ipa.profiles.yaml_file import FileModel, Loc, refusal


class Measured(FileModel):
    """Figures taken from a measurement."""

    kind: Literal["measured"]
    source: Text


class Interpolated(FileModel):
    """Figures computed from others by a law."""

    kind: Literal["interpolated"]
    law: Text


class Calibrated(FileModel):
    """Figures that were never published, chosen so that published results come out.

    `against` says which results, `how` what was varied until they did.
    """

    kind: Literal["calibrated"]
    against: Text
    how: Text


class Assumed(FileModel):
    """Figures that nobody measured and no law gives."""

    kind: Literal["assumed"]
    why: Text


Origin = Annotated[Measured | Interpolated | Calibrated | Assumed, Field(discriminator="kind")]


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
    """From creating a replica to its being ready."""

    seconds: Annotated[float, Field(ge=0, le=86_400)]
    source: Slug = Field(alias="from")


class Memory(FileModel):
    """The most memory that a replica has held [MiB]."""

    value: Annotated[float, Field(gt=0, le=1e7)]
    source: Slug = Field(alias="from")


class Interference(FileModel):
    """How much longer batches take, on average, beside so many busy cores of other replicas than alone."""

    busy_cores: Count
    factor: Annotated[float, Field(gt=0, le=MOST_INTERFERENCE)]


class Beside(FileModel):
    """What other replicas on the same machine do to a batch's time."""

    measured: Annotated[list[Interference], Field(min_length=1)]
    source: Slug = Field(alias="from")

    def pairs(self) -> tuple[tuple[int, float], ...]:
        return tuple((each.busy_cores, each.factor) for each in self.measured)


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
    interference: Beside | None = None
    base_cores: Annotated[PinnedCores | None, RULE_OR_NULL, OR_RULE] = None
    figures: Annotated[list[FigureRow], Field(min_length=1)]

    @model_validator(mode="after")
    def _lawful(self) -> VariantSection:
        problem = grid_problem(self.grid())
        if problem:
            at: Loc = () if problem.row is None else (problem.row, problem.key)
            raise refusal(problem.text, "figures", *(part for part in at if part != ""))
        for text in interference_problems(self.interference.pairs() if self.interference else ()):
            raise refusal(text, "interference", "measured")
        cores = sorted({row.cores for row in self.figures})
        if self.base_cores and self.base_cores.pinned not in cores:
            given = f"given {self.base_cores.pinned}"
            text = f"should be a profiled allocation: {listed(cores)}; {given}"
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
            interference=self.interference.pairs() if self.interference else (),
            interference_from=self.interference.source if self.interference else "",
        )


class StageSection(FileModel):
    """A task with its queue."""

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
    inputs: dict[Text, Text] = Field(
        default_factory=dict, description="live: input tensor -> output of the stage before; default: by the same names"
    )
    output_rows: dict[Text, RowCount] = Field(
        default_factory=dict, description="live: output -> rows per row of the input, or the output that counts them"
    )
    variants: Annotated[list[VariantSection], Field(min_length=1)]

    @model_validator(mode="after")
    def _lawful(self) -> StageSection:
        _refuse_twins("variants", "variant", (variant.name for variant in self.variants))
        for output, problem in output_rows_problems(self.output_rows):
            raise refusal(problem, "output_rows", output)
        sla_s = self.sla_in_force_s()
        for index, variant in enumerate(self.variants):
            if variant.base_cores_in_force(self.threshold_rps, sla_s) is None:
                rate = f"throughput_rps at least {self.threshold_rps:g} and " if self.threshold_rps else ""
                text = (
                    f"the rule finds no allocation with {rate}p99_s at most {sla_s:g} at batch size 1; "
                    "pin it: {pinned: ..., why: ...}"
                )
                raise refusal(text, "variants", index, "base_cores")
        return self

    def sla_in_force_s(self) -> float:
        if self.sla:
            return self.sla.pinned_s
        return stage_sla_s(
            max((row.cores, row.p99_s) for row in variant.figures if row.batch == 1)[1] for variant in self.variants
        )

    def stage(self) -> Stage:
        sla_s = self.sla_in_force_s()
        bases = (v.base_cores_in_force(self.threshold_rps, sla_s) for v in self.variants)
        variants = tuple(
            section.variant(base) for section, base in zip(self.variants, bases, strict=True) if base is not None
        )
        return Stage(
            name=self.name,
            task=self.task.strip(),
            sla_s=sla_s,
            threshold_rps=float(self.threshold_rps or min(variant.throughput_rps(1) for variant in variants)),
            variants=variants,
            sla_why=self.sla.why.strip() if self.sla else "",
            accuracy_metric=self.accuracy_metric.strip(),
            drop_limit_s=self.drop_limit_s,
            inputs=dict(self.inputs),
            output_rows=dict(self.output_rows),
        )


class DefaultsSection(FileModel):
    """What policies use unless told otherwise; see `ipa.profiles.Defaults`. What is left out is by rule."""

    load_rps: Rate = Field(default=Defaults.load_rps, description="usual forecast, for which the rules below are made")
    alpha: Weight | None = Field(
        default=None, description="weight of accuracy; default: low and high are worth the same"
    )
    beta: Weight = Field(default=Defaults.beta, description="weight of a core")
    gamma: Weight = Field(default=Defaults.gamma, description="weight of a batch size")
    accuracy: Literal["product", "sum", "average", "pairs"] = Field(
        default="product", description="how the stages' accuracies combine; default with `pair_accuracies`: pairs"
    )
    accuracy_scale: Literal["raw", "rank"] = Field(default="raw", description="fractions, or ranks from 0 to 1")
    accuracy_floor: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=Defaults.accuracy_floor, description="the least accuracy of a stage in the objective"
    )
    batch_cap: Count = Field(default=Defaults.batch_cap, description="the largest batch size to plan")
    load_margin: Annotated[float, Field(ge=0, le=10)] = Field(
        default=Defaults.load_margin, description="planned load = forecast x (1 + margin)"
    )
    throughput_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=Defaults.throughput_share, description="share of the profiled throughput to plan with"
    )
    candidates: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(
        default_factory=dict, description="stage -> variants to choose from; default: all"
    )
    scale_only: dict[Slug, dict[str, str]] = Field(
        default_factory=dict, description="name (low, high, yours) -> stage -> variant"
    )
    switch_only_replicas: dict[str, Count] = Field(
        default_factory=dict, description="stage -> replicas; default: low carries 1.5 x load_rps with them"
    )

    def defaults(self, has_pairs: bool) -> Defaults:
        """The frozen value. Where accuracies of pairs were measured, they count unless the file says otherwise."""
        given = self.model_dump(exclude_unset=True)
        by_rule = tuple(key for key in CONSTANTS if key not in given)
        if has_pairs:
            given.setdefault("accuracy", "pairs")
        return Defaults(**given, by_rule=by_rule)


class PairAccuracies(FileModel):
    """What two variants reach together: variant of the first stage -> variant of the second -> a fraction."""

    source: Slug = Field(alias="from")
    values: dict[Slug, dict[Slug, Annotated[float, Field(ge=0, le=1)]]]


class PipelineFile(FileModel):
    """A pipeline: its stages, profiles and where their figures come from."""

    schema_version: Literal[1] = Field(description="the version of the format")
    kind: Literal["pipeline"] = Field(description="what the file is")
    name: Slug = Field(description="lower-case letters, digits and hyphens")
    description: Text = Field(description="what the pipeline does")
    provenance: dict[Slug, Origin] = Field(description="key -> where figures that name it in `from` come from")
    stages: Annotated[list[StageSection], Field(min_length=1)] = Field(description="in the order that requests pass")
    pair_accuracies: PairAccuracies | None = None
    models: Literal["extra:ocr"] | None = Field(default=None, description="live: real models, those of the extra ocr")
    edges: list[Annotated[list[str], Field(min_length=2, max_length=2)]] | None = Field(
        default=None, description="pairs of stages; only the chain as listed is supported"
    )
    defaults: DefaultsSection | None = None
    published: DefaultsSection | None = Field(
        default=None, description="`defaults`, where they are those of the published runs of the pipeline"
    )

    @model_validator(mode="after")
    def _lawful(self) -> PipelineFile:
        _refuse_twins("stages", "stage", (stage.name for stage in self.stages))
        if self.stages[0].inputs:
            raise refusal("the first stage has none before it: its inputs are the client's", "stages", 0, "inputs")
        self._check_edges()
        self._check_provenance()
        if self.defaults and self.published:
            raise refusal("`defaults` are given as well: the two say the same, so give only one", "published")
        key, section = self._defaults_section()
        if self.pair_accuracies:
            names = [[variant.name for variant in stage.variants] for stage in self.stages]
            problem = pairs_problem(self.pair_accuracies.values, names)
            if problem:
                raise refusal(problem[1], "pair_accuracies", *(("values", *problem[0]) if len(names) == 2 else ()))
        if section.accuracy == "pairs" and not self.pair_accuracies:
            raise refusal("'pairs' needs pair_accuracies, which are missing", key, "accuracy")
        if section.accuracy_scale == "rank" and self.pair_accuracies and section.accuracy != "product":
            raise refusal("accuracies of pairs have no rank; say accuracy: product", key, "accuracy_scale")
        wrong = defaults_problem(
            section.defaults(bool(self.pair_accuracies)),
            {stage.name: [variant.name for variant in stage.variants] for stage in self.stages},
        )
        if wrong:
            raise refusal(wrong[1], key, *wrong[0])
        return self

    def _defaults_section(self) -> tuple[str, DefaultsSection]:
        """The key that is given, if any, and what it says."""
        return ("published", self.published) if self.published else ("defaults", self.defaults or DefaultsSection())

    def _check_edges(self) -> None:
        names = [stage.name for stage in self.stages]
        chain = [list(pair) for pair in pairwise(names)]
        for index, edge in enumerate(self.edges or ()):
            for name in edge:
                if name not in names:
                    hint = did_you_mean(name, names)
                    text = f"no stage is called {name!r}{hint}; stages: {listed(names)}"
                    raise refusal(text, "edges", index)
            if edge not in chain:
                text = f"{edge[0]} -> {edge[1]} is not supported yet: only a chain, as listed"
                raise refusal(f"{text}: {' -> '.join(names)}", "edges", index)
        if self.edges is not None and sorted(self.edges) != sorted(chain):
            text = f"is not supported yet: only a chain, every edge once: {' -> '.join(names)}"
            raise refusal(text, "edges")

    def _check_provenance(self) -> None:
        used = dict(self._sources())
        for key, at in used.items():
            if key not in self.provenance:
                hint = did_you_mean(key, self.provenance)
                text = f"no provenance is called {key!r}{hint}; there are: "
                raise refusal(text + (listed(self.provenance) or "none"), *at)
        for key in self.provenance:
            if key not in used:
                raise refusal("no figure comes from this; remove it", "provenance", key)

    def _sources(self) -> Iterator[tuple[str, Loc]]:
        """Every provenance key that is named, and where."""
        if self.pair_accuracies:
            yield self.pair_accuracies.source, ("pair_accuracies", "from")
        for s, stage in enumerate(self.stages):
            for v, variant in enumerate(stage.variants):
                at = ("stages", s, "variants", v)
                yield variant.accuracy.source, (*at, "accuracy", "from")
                for key in ("start_up", "memory_mb", "interference"):
                    if found := getattr(variant, key):
                        yield found.source, (*at, key, "from")
                for f, row in enumerate(variant.figures):
                    for number, key in row.sources.model_dump().items():
                        yield key, (*at, "figures", f, "from", number)

    def pipeline(self) -> Pipeline:
        """The frozen value."""
        return Pipeline(
            name=self.name,
            description=self.description.strip(),
            stages=tuple(stage.stage() for stage in self.stages),
            defaults=self._defaults_section()[1].defaults(bool(self.pair_accuracies)),
            provenance={key: _provenance(origin) for key, origin in self.provenance.items()},
            pair_accuracies=self.pair_accuracies.values if self.pair_accuracies else {},
            models=self.models or "",
            pair_accuracies_from=self.pair_accuracies.source if self.pair_accuracies else "",
        )


def _provenance(origin: Measured | Interpolated | Calibrated | Assumed) -> Provenance:
    match origin:
        case Measured():
            text = origin.source
        case Interpolated():
            text = origin.law
        case Calibrated():
            text = f"{origin.how.strip()}; calibrated against {origin.against}"
        case Assumed():
            text = origin.why
    return Provenance(origin.kind, " ".join(text.split()))


def _refuse_twins(key: str, what: str, names: Iterable[str]) -> None:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in first:
            raise refusal(f"two {key} are called {name!r}; {what} names differ", key, index, "name")
        first[name] = index
