"""The pipeline file: its pydantic models, and the laws between its parts.

The models define what a file may hold; `PipelineFile.pipeline()` makes frozen values of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ipa.models import FileModel, refusal
from ipa.profiles.defaults import CONSTANTS, Defaults, defaults_problem
from ipa.profiles.errors import did_you_mean, listed
from ipa.profiles.fields import Count, Rate, Seconds, Slug, Text, Weight
from ipa.profiles.graph import Graph, in_order
from ipa.profiles.graph_schema import AccuracySection, graph_of, is_chain
from ipa.profiles.language_model import GPU_CORES
from ipa.profiles.language_schema import (
    AnyStage,
    GpuCores,
    LanguageModelSection,
    LanguageStageSection,
    PlannedStage,
    planned,
)
from ipa.profiles.pipeline import AGAINST, Pipeline, Provenance
from ipa.profiles.stage import pairs_problem
from ipa.profiles.stage_schema import StageSection, VariantSection, refuse_twins
from ipa.profiles.yaml_file import Loc


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


class DefaultsSection(FileModel):
    """The defaults of policies; see `ipa.profiles.Defaults`. Missing ones follow from rules."""

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
        values = self.model_dump(exclude_unset=True)
        by_rule = tuple(key for key in CONSTANTS if key not in values)
        if has_pairs:
            values.setdefault("accuracy", "pairs")
        return Defaults(**values, by_rule=by_rule)


class PairAccuracies(FileModel):
    """Accuracies of two variants together: variant of the first stage -> variant of the second -> a fraction."""

    source: Slug = Field(alias="from")
    values: dict[Slug, dict[Slug, Annotated[float, Field(ge=0, le=1)]]]


class PipelineFile(FileModel):
    """A pipeline: its stages, profiles and where their figures come from."""

    schema_version: Literal[1] = Field(description="the version of the format")
    kind: Literal["pipeline"] = Field(description="what the file is")
    name: Slug = Field(description="lower-case letters, digits and hyphens")
    description: Text = Field(description="what the pipeline does")
    provenance: dict[Slug, Origin] = Field(description="key -> where figures that name it in `from` come from")
    stages: Annotated[list[AnyStage], Field(min_length=1)] = Field(
        description="in the order that requests pass, or with what each is after"
    )
    sla_s: Seconds | None = Field(
        default=None, description="end to end, shared out to the stages as theirs; default: the sum on the longest way"
    )
    gpu_cores: GpuCores | None = Field(default=None, description=f"what a GPU costs, in cores; default: {GPU_CORES}")
    accuracy: AccuracySection | None = Field(default=None, description="of a graph: what the whole reaches")
    pair_accuracies: PairAccuracies | None = None
    defaults: DefaultsSection | None = None
    published: DefaultsSection | None = Field(
        default=None, description="`defaults`, where they are those of the published runs of the pipeline"
    )

    @model_validator(mode="after")
    def _lawful(self) -> PipelineFile:
        refuse_twins("stages", "stage", (stage.name for stage in self.stages))
        self._check_graph()
        self._check_provenance()
        if self.defaults and self.published:
            raise refusal("`defaults` are given as well: the two say the same, so give only one", "published")
        self._check_accuracies()
        key, section = self._defaults_section()
        wrong = defaults_problem(section.defaults(bool(self.pair_accuracies)), self._variants())
        if wrong:
            raise refusal(wrong[1], key, *wrong[0])
        return self

    def _variants(self) -> dict[str, list[str]]:
        return {stage.name: [variant.name for variant in stage.variants] for stage in self.stages}

    def _defaults_section(self) -> tuple[str, DefaultsSection]:
        """The key that is given, if any, and what it says."""
        return ("published", self.published) if self.published else ("defaults", self.defaults or DefaultsSection())

    # ---- the graph ----

    def _graph(self) -> Graph:
        """The graph, which may be a chain."""
        return graph_of(
            {stage.name: stage.after for stage in self.stages},
            {stage.name: stage.join for stage in self.stages if stage.join},
            self.accuracy,
            self._variants(),
        )

    def _check_graph(self) -> None:
        graph = self._graph()
        stages = self._planned(graph)
        slas_s = self._slas_s(graph, stages)
        language_stages = [stage for stage in self.stages if isinstance(stage, LanguageStageSection)]
        if self.gpu_cores and not any(variant.gpus for stage in language_stages for variant in stage.variants):
            raise refusal("no variant has GPUs: leave this out", "gpu_cores")
        for index, stage in enumerate(self.stages):
            if stage.inputs and not graph.into(stage.name):
                text = f"no stage is before {stage.name}: its inputs are the client's"
                raise refusal(text, "stages", index, "inputs")
            if lacking := stages[stage.name].without_base_cores(slas_s[stage.name]):
                raise refusal(lacking[1], "stages", index, "variants", lacking[0], "base_cores")
        if not is_chain(graph, list(slas_s)):
            if self.pair_accuracies:
                raise refusal("are those of a chain; of a graph, say `accuracy`", "pair_accuracies")
            if self.accuracy is None:
                text = "the key 'accuracy' is missing: measure combinations of variants, or assume {combine: product}"
                raise refusal(text)

    def _planned(self, graph: Graph) -> dict[str, StageSection | PlannedStage]:
        """Name -> stage, in topological order."""
        order = in_order([stage.name for stage in self.stages], graph.edges)
        return planned(self.stages, order, graph, self.gpu_cores.value if self.gpu_cores else GPU_CORES)

    def _slas_s(self, graph: Graph, stages: Mapping[str, StageSection | PlannedStage]) -> dict[str, float]:
        """Stage -> its SLA, in the order of the stages. An SLA of the pipeline is shared out as the stages' own."""
        own_s = {name: stage.own_sla_s() for name, stage in stages.items()}
        if self.sla_s is None:
            return own_s
        longest_s = math.fsum(own_s[name] for name in graph.longest_way(own_s))
        return {name: sla_s * self.sla_s / longest_s for name, sla_s in own_s.items()}

    # ---- what the parts name of each other ----

    def _check_accuracies(self) -> None:
        key, section = self._defaults_section()
        if self.pair_accuracies:
            names = list(self._variants().values())
            problem = pairs_problem(self.pair_accuracies.values, names)
            if problem:
                raise refusal(problem[1], "pair_accuracies", *(("values", *problem[0]) if len(names) == 2 else ()))
            if self.accuracy:
                raise refusal("`pair_accuracies` say it: leave this out", "accuracy")
        if section.accuracy == "pairs" and not self.pair_accuracies:
            raise refusal("'pairs' needs pair_accuracies, which are missing", key, "accuracy")
        if section.accuracy_scale == "rank":
            if self.pair_accuracies and section.accuracy != "product":
                raise refusal("accuracies of pairs have no rank; say accuracy: product", key, "accuracy_scale")
            if self.accuracy and self.accuracy.combinations:
                raise refusal("accuracies of combinations have no rank", key, "accuracy_scale")

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
        if self.accuracy and self.accuracy.source:
            yield self.accuracy.source, ("accuracy", "from")
        if self.gpu_cores:
            yield self.gpu_cores.source, ("gpu_cores", "from")
        for s, stage in enumerate(self.stages):
            for a, edge in enumerate(stage.after or ()):
                if edge.source:
                    yield edge.source, ("stages", s, "after", a, "from")
            if isinstance(stage, LanguageStageSection):
                yield stage.tokens.source, ("stages", s, "tokens", "from")
            variants: Sequence[VariantSection | LanguageModelSection] = stage.variants
            for v, variant in enumerate(variants):
                at = ("stages", s, "variants", v)
                yield variant.accuracy.source, (*at, "accuracy", "from")
                for key in ("start_up", "memory_mb", "step", "gpu_cores"):
                    if section := getattr(variant, key, None):
                        yield section.source, (*at, key, "from")
                for f, row in enumerate(getattr(variant, "figures", ())):
                    for number, key in row.sources.model_dump().items():
                        yield key, (*at, "figures", f, "from", number)

    def pipeline(self) -> Pipeline:
        """The frozen value."""
        graph = self._graph()
        sections = self._planned(graph)
        slas_s = self._slas_s(graph, sections)
        why = "" if self.sla_s is None else f"its share of the pipeline's, sla_s: {self.sla_s:g}"
        stages = {name: section.stage(slas_s[name], why) for name, section in sections.items()}
        sla_s = self.sla_s or round(math.fsum(slas_s[name] for name in graph.longest_way(slas_s)), 9)
        return Pipeline(
            name=self.name,
            description=self.description.strip(),
            stages=tuple(stages[name] for name in slas_s),
            defaults=self._defaults_section()[1].defaults(bool(self.pair_accuracies)),
            provenance={key: _provenance(origin) for key, origin in self.provenance.items()},
            pair_accuracies=self.pair_accuracies.values if self.pair_accuracies else {},
            pair_accuracies_from=self.pair_accuracies.source if self.pair_accuracies else "",
            graph=None if is_chain(graph, list(slas_s)) else replace(graph, sla_s=sla_s),
            gpu_cores=self.gpu_cores.value if self.gpu_cores else GPU_CORES,
            gpu_cores_from=self.gpu_cores.source if self.gpu_cores else "",
        )


def _provenance(origin: Measured | Interpolated | Calibrated | Assumed) -> Provenance:
    match origin:
        case Measured():
            text = origin.source
        case Interpolated():
            text = origin.law
        case Calibrated():
            text = f"{origin.how.strip()}{AGAINST}{origin.against}"
        case Assumed():
            text = origin.why
    return Provenance(origin.kind, " ".join(text.split()))
