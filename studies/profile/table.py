"""A pipeline's profiles in the terminal, two tables per stage, and the same as plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ipa.profiles import Figure, Pipeline, Stage, Variant
from ipa.studies.profile.graph import graph_as_dict, graph_facts
from ipa.studies.profile.numbers import MARKS, QUANTITIES, Quantity, besides, counts, pins, sla_sum, sources

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_WIDE = 100
"""The least width of a terminal that shows every batch size and number of cores [columns]."""

_AGAINST_CORES = QUANTITIES[1:]
"""The quantities shown over cores: p99 and throughput, to compare with the SLA and the load."""


@dataclass(frozen=True)
class ShownStage:
    """A stage's variants as tables of `rich`, fitted to the terminal: by batch size at their base cores, then by cores
    at batch 1 and at the largest batch."""

    pipeline: Pipeline
    stage: Stage

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        stage = self.stage
        is_narrow = options.max_width < _WIDE
        batches = _places(is_narrow, (batch for variant in stage.variants for batch in variant.batches()))
        title = f"{stage.name}: {stage.task}\nSLA {stage.sla_s:.4g} s, accuracy: {stage.accuracy_metric}"
        yield self._table(title, ("batch", *map(str, batches)), lambda variant: self._over_batches(variant, batches))
        cores = _places(is_narrow, (cores for variant in stage.variants for cores in variant.cores))
        if len(cores) > 1:
            title = f"{stage.name} over cores, at batch 1 and the largest"
            yield self._table(title, ("cores", *map(str, cores)), lambda variant: self._over_cores(variant, cores))

    def _table(self, title: str, head: Sequence[str], rows: Callable[[Variant], Iterator[list[str]]]) -> Table:
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
        table.add_column("variant", no_wrap=True)
        for name in head:
            table.add_column(name, justify="right", no_wrap=True)
        for variant in self.stage.variants:
            for cells in rows(variant):
                table.add_row(*cells)
            table.add_section()
        return table

    def _over_batches(self, variant: Variant, batches: Sequence[int]) -> Iterator[list[str]]:
        """One line per quantity, with the facts of the variant."""
        facts = (
            variant.name,
            f"accuracy {100 * variant.accuracy:.2f}{self._sign(variant.accuracy_from)}",
            f"{_in_cores(variant)}, starts in {variant.start_up_s:g} s{self._sign(variant.start_up_from)}",
        )
        figures = {figure.batch: figure for figure in variant.figures if figure.cores == variant.base_cores}
        for fact, quantity in zip(facts, QUANTITIES, strict=True):
            yield [fact, quantity.label, *self._cells(quantity, figures, batches)]

    def _over_cores(self, variant: Variant, cores: Sequence[int]) -> Iterator[list[str]]:
        """One line per quantity at batch 1, then at the largest batch; the base cores are beneath the name."""
        facts = iter((variant.name, f"base: {_in_cores(variant)}"))
        for batch in dict.fromkeys((variant.batches()[0], variant.max_batch())):
            figures = {figure.cores: figure for figure in variant.figures if figure.batch == batch}
            for quantity in _AGAINST_CORES:
                label = f"{quantity.label}, batch {batch}"
                yield [next(facts, ""), label, *self._cells(quantity, figures, cores)]

    def _cells(self, quantity: Quantity, figures: Mapping[int, Figure], places: Sequence[int]) -> Iterator[str]:
        figures_in_order = (figures.get(place) for place in places)
        return (self._cell(quantity, figure) if figure else "" for figure in figures_in_order)

    def _cell(self, quantity: Quantity, figure: Figure) -> str:
        return f"{quantity.value(figure):#.3g}".rstrip(".") + self._sign(quantity.source(figure))

    def _sign(self, source: str) -> str:
        """The mark of a provenance key; a pipeline made in code may have none."""
        origin = self.pipeline.provenance.get(source)
        return MARKS[origin.kind].sign if origin else ""


def _places(is_narrow: bool, profiled: Iterable[int]) -> list[int]:
    """The columns: the profiled values, ascending; if not all fit, the first, a middle one and the last."""
    places = sorted(set(profiled))
    return [places[0], places[len(places) // 2], places[-1]] if is_narrow and len(places) > 3 else places


def _in_cores(variant: Variant) -> str:
    cores = f"{variant.base_cores} {'core' if variant.base_cores == 1 else 'cores'}"
    return f"{cores} with {variant.gpus} GPU{'s' * (variant.gpus > 1)}" if variant.gpus else cores


def notes(pipeline: Pipeline, stages: Sequence[Stage]) -> Table:
    """The notes beneath the tables: the SLA, the marks, pinned values with reasons, and the sources of the numbers."""
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    total = counts(pipeline, stages)
    table.add_row("SLA, end to end", sla_sum(pipeline))
    shares = (f"{MARKS[kind].sign} {count} {kind}" for kind, count in total.items() if count)
    table.add_row(f"{sum(total.values())} numbers", ", ".join(shares))
    for label, text in (*graph_facts(pipeline).items(), *pins(stages).items(), *besides(stages).items()):
        table.add_row(label, text)
    for key in sources(pipeline, stages):
        origin = pipeline.provenance[key]
        table.add_row(f"{MARKS[origin.kind].sign} {key}", origin.text)
    return table


def as_dict(pipeline: Pipeline, stages: Sequence[Stage]) -> dict[str, Any]:
    """The profiles of some stages of a pipeline, JSON-able, with the rules' values and those in force."""
    return {
        "pipeline": pipeline.name,
        "description": pipeline.description,
        "sla_s": pipeline.sla_s,
        "stages": [_stage(stage) for stage in stages],
        **graph_as_dict(pipeline),
        "provenance": {key: asdict(pipeline.provenance[key]) for key in sources(pipeline, stages)},
    }


def _stage(stage: Stage) -> dict[str, Any]:
    plain = asdict(stage)
    variants = plain.pop("variants")
    rules = [{"base_cores_rule": stage.base_cores_rule(variant["name"])} for variant in variants]
    return {
        **plain,
        "sla_rule_s": stage.sla_rule_s,
        "variants": [{**variant, **rule} for variant, rule in zip(variants, rules, strict=True)],
    }
