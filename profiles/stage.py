"""A stage of a pipeline, the variants that can serve it, and accuracies of pairs of variants: frozen values.

The published rules for a stage's SLA and a variant's base cores are functions of numbers. They are as the published
system computes them (its code; the paper's text has 5 times the mean at base cores for the SLA, which is circular: base
cores depend on the SLA). So the SLA comes first, from the largest allocation, and base cores second.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from statistics import fmean
from typing import TypeVar

from ipa.profiles.errors import ProfileError, did_you_mean, listed
from ipa.profiles.figures import Figure, FigureTable, grid_problem, row_problem, tables
from ipa.profiles.language_model import LanguageModel, StageTokens

SLA_FACTOR = 25.0
"""Stage SLA over the mean p99 of a single request at the largest profiled allocation."""

START_UP_S = 8.0
"""From creating a replica to its being ready, where a file does not say it [s]."""


def stage_sla_s(p99_s: Iterable[float]) -> float:
    """The stage's SLA in seconds: 25 x the mean over the variants of `p99_s`.

    `p99_s` holds one value a variant: its p99 latency at batch size 1 and its largest profiled
    allocation.
    """
    return SLA_FACTOR * fmean(p99_s)


def base_cores(
    allocations: Iterable[tuple[int, float, float]], threshold_rps: float | None, sla_s: float
) -> int | None:
    """The fewest cores that carry the threshold within the stage's SLA; None: no allocation does.

    `allocations` holds (cores, throughput_rps, p99_s) at batch size 1. An allocation will do when
    its throughput is at least `threshold_rps` (None: whatever it is) and its p99 latency at most `sla_s`, the SLA in
    force for the stage (pinned, if it is pinned).
    """
    least_rps = threshold_rps or 0.0
    fitting = (cores for cores, throughput_rps, p99_s in allocations if throughput_rps >= least_rps and p99_s <= sla_s)
    return min(fitting, default=None)


T = TypeVar("T")


@dataclass(frozen=True)
class Variant:
    """A model for a stage's task.

    `accuracy` is a fraction 0..1 of the stage's metric, `base_cores` the cores of a replica unless
    a policy says otherwise, `start_up_s` the time from creating a replica to its being ready.
    `base_cores_why` says why the base was pinned and not computed; the `..._from` name entries of
    the pipeline's provenance. `memory_mb` is the most memory that a replica has held (None: not measured).
    `language_model`: what it is if it serves text in steps; `figures` are then what a plan takes it for. ProfileError
    where the figures break a law.
    """

    name: str
    accuracy: float
    base_cores: int
    start_up_s: float
    figures: tuple[Figure, ...] = field(hash=False, repr=False)
    base_cores_why: str = ""
    accuracy_from: str = ""
    start_up_from: str = ""
    memory_mb: float | None = None
    memory_from: str = ""
    language_model: LanguageModel | None = None

    def __post_init__(self) -> None:
        if not 0 < self.accuracy <= 1:
            raise ProfileError(f"{self.name}: accuracy should be above 0 and at most 1; given {self.accuracy!r}")
        if not (math.isfinite(self.start_up_s) and self.start_up_s >= 0):
            raise ProfileError(f"{self.name}: start_up_s should be finite and at least 0; given {self.start_up_s!r}")
        row_problems = (row_problem(figure, row) for row, figure in enumerate(self.figures))
        problem = next(filter(None, row_problems), None) or grid_problem(self.figures)
        if problem:
            row = "figures" if problem.row is None else f"figures[{problem.row}] {problem.key}"
            raise ProfileError(f"{self.name}: {row.strip()}: {problem.text}")
        self._table(self.base_cores)

    @cached_property
    def _tables(self) -> dict[int, FigureTable]:
        return tables(self.figures)

    @property
    def cores(self) -> tuple[int, ...]:
        """The profiled allocations, ascending."""
        return tuple(self._tables)

    @property
    def gpus(self) -> int:
        """The GPUs of a replica, which its cores count at what they cost."""
        return self.language_model.gpus if self.language_model else 0

    def own_cores(self, cores: int) -> int:
        """The cores that a replica really has, of those that it costs."""
        return self.language_model.cores if self.language_model else cores

    def with_gpu_cores(self, gpu_cores: int) -> Variant:
        """The variant where a GPU costs so many cores."""
        if self.language_model is None:
            return self
        cores = self.language_model.cost_cores(gpu_cores)
        figures = tuple(replace(figure, cores=cores) for figure in self.figures)
        why = self.language_model.cost_text(gpu_cores)
        return replace(self, base_cores=cores, figures=figures, base_cores_why=why)

    def batches(self, cores: int | None = None) -> tuple[int, ...]:
        """The profiled batch sizes, ascending."""
        return self._table(cores).batches

    def planned_batches(self, cap: int) -> list[int]:
        """The profiled batch sizes up to `cap`, ascending (1 is always profiled): what may be planned with."""
        return [batch for batch in self.batches() if batch <= cap]

    def max_batch(self, cores: int | None = None) -> int:
        """The largest profiled batch size."""
        return self._table(cores).batches[-1]

    def mean_s(self, batch: int, cores: int | None = None) -> float:
        """Mean time of a batch of `batch` requests [s]; cores default to the base.

        ProfileError for cores that are not profiled and for a batch size outside 1..max; so for the
        three figures.
        """
        return self._look_up(self._table(cores).mean_s, batch)

    def p99_s(self, batch: int, cores: int | None = None) -> float:
        """99th percentile of the time of a batch [s]."""
        return self._look_up(self._table(cores).p99_s, batch)

    def throughput_rps(self, batch: int, cores: int | None = None) -> float:
        """Requests per second that one replica sustains; never above batch / mean."""
        return self._look_up(self._table(cores).throughput_rps, batch)

    def latency_table(self, cores: int | None = None) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(mean_s, p99_s), each indexed by the batch size 0..max; index 0 holds 0.0."""
        table = self._table(cores)
        return table.mean_s, table.p99_s

    def taking(self, factor: float) -> Variant:
        """The variant with batches that take `factor` times as long; its base cores stay. ProfileError where the
        figures would break a law."""
        figures = (
            replace(
                figure,
                mean_s=factor * figure.mean_s,
                p99_s=factor * figure.p99_s,
                throughput_rps=figure.throughput_rps / factor,
            )
            for figure in self.figures
        )
        model = self.language_model and self.language_model.taking(factor)
        return replace(self, figures=tuple(figures), language_model=model)

    def _table(self, cores: int | None) -> FigureTable:
        allocation = self.base_cores if cores is None else cores
        table = self._tables.get(allocation)
        if table is None:
            raise ProfileError(f"{self.name} is not profiled with {allocation!r} cores; profiled: {listed(self.cores)}")
        return table

    def _look_up(self, values: tuple[float, ...], batch: int) -> float:
        if 0 < batch < len(values):
            return values[batch]
        raise ProfileError(f"{self.name} has no batch size {batch!r}; allowed: 1 to {len(values) - 1}")


DATATYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BF16", "BYTES"),
)
"""The datatypes of the Open Inference Protocol V2."""


@dataclass(frozen=True)
class OutputForm:
    """An output of a model, as the protocol's metadata have it: the first axis of `shape` is -1, for the rows."""

    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Stage:
    """A task with its queue: one of `variants` serves it.

    `sla_s` is the SLA in force; `sla_why` says why it was pinned, and is empty where it is the
    rule's. `threshold_rps` is what a base allocation must carry; `accuracy_metric` says what the
    variants' accuracies are fractions of. `drop_limit_s` is the age at which a request is dropped
    here, None for the default (see `Pipeline.drop_limits_s`). `inputs` (live mode) names for each
    input tensor the output tensor of the stage before that it takes; empty: the same names.
    `output_rows` (live mode) says of outputs that do not have the input's rows how many rows each row
    of the input has there: a number, or the name of the output that has the number for each; 0: as many
    as it gives, which takes a stage without batches. `outputs` (live mode) describes the outputs of a stage in
    a graph whose models' metadata do not; empty: they do. `tokens`: those of its requests, of a stage whose variants
    are language models; None for others.
    """

    name: str
    task: str
    sla_s: float
    threshold_rps: float
    variants: tuple[Variant, ...]
    sla_why: str = ""
    accuracy_metric: str = ""
    drop_limit_s: float | None = None
    inputs: Mapping[str, str] = field(default_factory=dict, hash=False)
    output_rows: Mapping[str, int | str] = field(default_factory=dict, hash=False)
    outputs: Mapping[str, OutputForm] = field(default_factory=dict, hash=False)
    tokens: StageTokens | None = None

    def __post_init__(self) -> None:
        for key in ("sla_s", "threshold_rps", "drop_limit_s"):
            value = getattr(self, key)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ProfileError(f"{self.name}: {key} should be finite and above 0; given {value!r}")
        refuse_twins(self.name, "variant", (variant.name for variant in self.variants))
        for variant in self.variants:
            if (variant.language_model is None) != (self.tokens is None):
                raise ProfileError(f"{self.name}: {variant.name}: all variants are language models if there are tokens")
        most_batch = max(variant.max_batch() for variant in self.variants)
        for output, problem in output_rows_problems(self.output_rows, most_batch):
            raise ProfileError(f"{self.name}: output_rows.{output}: {problem}")
        for output, form in self.outputs.items():
            if problem := output_form_problem(form):
                raise ProfileError(f"{self.name}: outputs.{output}: {problem}")

    @cached_property
    def _by_name(self) -> dict[str, Variant]:
        return {variant.name: variant for variant in self.variants}

    @property
    def fills_batches(self) -> bool:
        """Whether requests wait for a batch to fill; with language models, they join a running one."""
        return self.tokens is None

    @cached_property
    def largest_batches(self) -> Mapping[str, Mapping[int, int]]:
        """Variant -> its profiled cores, ascending -> the largest batch size with these: all that may be configured."""
        return {variant.name: {cores: variant.max_batch(cores) for cores in variant.cores} for variant in self.variants}

    def variant(self, name: str) -> Variant:
        """The variant of that name; ProfileError names the nearest."""
        return named(name, self._by_name, f"{self.name} has no variant")

    def ranks(self, candidates: Sequence[Variant]) -> dict[str, Fraction]:
        """Variant -> rank of its accuracy, from 0 for the lowest to 1 for the highest; an only variant has 1.

        Ranks are among the candidates. Any other variant, which may still be serving, has the rank of the best
        candidate whose accuracy it reaches, or else the lowest.
        """
        levels = sorted({variant.accuracy for variant in candidates})
        top = len(levels) - 1
        place = {v.name: max(bisect_right(levels, v.accuracy) - 1, 0) for v in self.variants}
        return {name: Fraction(at, top) if top else Fraction(1) for name, at in place.items()}

    def lightest(self, without: Collection[str] = ()) -> Variant:
        """The variant with the fewest base cores, then the least accuracy, then the quickest, of those not in `without`
        (if any)."""
        variants_left = [variant for variant in self.variants if variant.name not in without]
        return min(
            variants_left or self.variants, key=lambda variant: (variant.base_cores, variant.accuracy, variant.p99_s(1))
        )

    @property
    def sla_rule_s(self) -> float:
        """The SLA by the published rule, whether or not it is the one in force."""
        return stage_sla_s(variant.p99_s(1, max(variant.cores)) for variant in self.variants)

    def base_cores_rule(self, name: str, threshold_rps: float | None = None) -> int | None:
        """A variant's base cores by the published rule, in force or not; None: there are none.

        They are those for `threshold_rps`, by default the stage's own.
        """
        variant = self.variant(name)
        allocations = ((c, variant.throughput_rps(1, c), variant.p99_s(1, c)) for c in variant.cores)
        return base_cores(allocations, threshold_rps or self.threshold_rps, self.sla_s)


def output_rows_problems(output_rows: Mapping[str, int | str], most_batch: int) -> Iterator[tuple[str, str]]:
    """Outputs whose rows are declared in a way that cannot be followed at a stage with batches of up to `most_batch`,
    and why not."""
    for output, rows in output_rows.items():
        if isinstance(rows, str) and rows in output_rows:
            yield output, f"{rows!r} has one number for each row of the input, so it has no rows of its own to declare"
        elif isinstance(rows, int) and rows < 0:
            yield output, f"should be at least 0; given {rows}"
        elif rows == 0 and most_batch > 1:
            yield output, f"0, any number, is for stages profiled at batch 1 alone; here is a batch of {most_batch}"


def output_form_problem(form: OutputForm) -> str:
    """What is wrong with the form of an output; empty if nothing is."""
    if form.datatype not in DATATYPES:
        return f"datatype {form.datatype!r}{did_you_mean(form.datatype, DATATYPES)}; allowed: {listed(DATATYPES)}"
    if form.shape[:1] != (-1,) or any(size < 1 for size in form.shape[1:]):
        return f"shape should be -1, for the rows, and then sizes of at least 1; given {list(form.shape)}"
    return ""


def named(name: str, things: Mapping[str, T], lacks: str) -> T:
    """The thing of that name; ProfileError, beginning with `lacks`, names the nearest."""
    thing = things.get(name)
    if thing is None:
        raise ProfileError(f"{lacks} {name!r}{did_you_mean(str(name), things)}; allowed: {listed(things)}")
    return thing


def refuse_twins(owner: str, kind: str, names: Iterable[str]) -> None:
    """Raise ProfileError for no names, and for the first that stands twice."""
    names_before: list[str] = []
    for name in names:
        if name in names_before:
            raise ProfileError(f"{owner}: two {kind}s are called {name!r}")
        names_before.append(name)
    if not names_before:
        raise ProfileError(f"{owner}: at least one {kind} is needed")


Pairs = Mapping[str, Mapping[str, float]]
"""Variant of the first stage -> variant of the second -> their accuracy together, from 0 to 1."""

Measured = Mapping[tuple[str, ...], float]
"""One variant for each stage, in their order -> their accuracy together, from 0 to 1, for all; empty: not measured."""


def pairs_problem(pairs: Pairs, variants: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], str] | None:
    """Where accuracies of pairs are wrong for stages with these variants, and the text; None if all is well.

    Either none or every pair has one.
    """
    if not pairs:
        return None
    if len(variants) != 2:
        return (), f"should be given for a pipeline of two stages alone; this one has {len(variants)}"
    problem = _names_problem(pairs, variants[0])
    if problem:
        return problem
    for first, row in pairs.items():
        problem = _names_problem(row, variants[1])
        if problem:
            return (first, *problem[0]), problem[1]
        for second, accuracy in row.items():
            if not 0 <= accuracy <= 1:
                return (first, second), f"should be from 0 to 1; given {accuracy!r}"
    return None


def _names_problem(accuracies: Mapping[str, object], variants: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    for name in accuracies:
        if name not in variants:
            return (name,), f"no variant is called {name!r}{did_you_mean(name, variants)}; variants: {listed(variants)}"
    missing = [name for name in variants if name not in accuracies]
    return ((), f"the variant {missing[0]!r} is missing; every pair needs its accuracy") if missing else None
