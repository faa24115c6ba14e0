"""`ipa pipeline`: lists, shows, checks and makes pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import ipa
from ipa import studies
from ipa.live.profiling import Effort
from ipa.studies.commands import printing, reports
from ipa.studies.commands.group import Group
from ipa.studies.commands.options import FOLDER, NEW_FILE, json_option, page_option, quiet_option
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from ipa.profiles import Latencies, Pipeline


@click.group(cls=Group)
def pipeline() -> None:
    """List, show, check and make pipelines."""


# ---- list ----


@pipeline.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the shipped pipelines with their stages, variants and SLAs."""
    pipelines = [ipa.profiles.load(name) for name in ipa.profiles.names()]
    if as_json:
        printing.print_json(
            [
                {
                    "name": shipped.name,
                    "description": shipped.description,
                    "sla_s": shipped.sla_s,
                    "stages": {stage.name: [variant.name for variant in stage.variants] for stage in shipped.stages},
                }
                for shipped in pipelines
            ]
        )
        return
    table = printing.new_table("", "pipeline", "SLA s", "stages, each with its number of variants")
    table.columns[-1].justify = "left"
    for shipped in pipelines:
        stages = ", ".join(f"{stage.name} ({len(stage.variants)})" for stage in shipped.stages)
        table.add_row(shipped.name, f"{shipped.sla_s:.2f}", stages)
    printing.print_table(table)


# ---- show ----


@pipeline.command()
@click.argument("name", metavar="PIPELINE|FILE")
@click.option("--stage", help="Show only this stage.")
@page_option
@json_option
def show(name: str, stage: str | None, to: Path | None, as_json: bool) -> None:
    """Show accuracy, base cores, latency and throughput of every variant, and which of them are measured."""
    loaded = ipa.profiles.load(name)
    stages = loaded.stages if stage is None else (loaded.stage(stage),)
    if to is not None:
        reports.write_page(studies.pages.profile.page(loaded, stages), to)
    if as_json:
        printing.print_json(studies.profile.as_dict(loaded, stages))
        return
    for shown in stages:
        printing.print_table(studies.profile.ShownStage(loaded, shown))
    printing.print_table(studies.profile.notes(loaded, stages))
    printing.print_places(None, to)


# ---- new ----


@pipeline.command()
@click.argument("file", type=NEW_FILE)
@click.option(
    "--from",
    "sources",
    metavar="CSV",
    required=True,
    multiple=True,
    help="CSV table of the measurements. What it lacks may follow: 'perf.csv stage=sort batch=4'. Repeatable.",
)
@quiet_option
def new(file: Path, sources: Sequence[str]) -> None:
    """Write a pipeline file, whose name is the pipeline's, from a CSV table of measured latencies.

    A row of the table is one stage, variant, number of cores and batch size:

    \b
    stage,variant,accuracy,cores,batch,mean_ms,p99_ms
    sort,small,0.84,1,1,50,70
    sort,small,0.84,1,4,160,200

    Tables of Triton's perf_analyzer (-f) and Model Analyzer, that of the published project's parser, and tables of
    other tools whose columns have such names are read as well.

    Accuracies are fractions, or per cent if all are above 1. Times are of a whole batch, in _s, _ms or _us. Further
    columns: throughput_rps, start_up_s, accuracy_metric. Every variant needs batch size 1, and each of its numbers of
    cores with each of its batch sizes.
    """
    if file.suffix not in (".yaml", ".yml"):
        raise ScenarioError(f"{file}: should end in .yaml")
    if file.exists():
        raise ScenarioError(f"{file}: already exists")
    table = ipa.profiles.read_latencies(*map(ipa.profiles.LatencySource.of, sources))
    called = ipa.profiles.slug(file.stem)
    if not called:
        raise ScenarioError(f"{file}: its name should have lower-case letters or digits")
    studies.results.write_text(ipa.profiles.pipeline_text(table, called), file)
    printing.print_line(f"Pipeline: {file}")
    _say(table)


def _say(table: Latencies) -> None:
    """Say on stderr how the table was read."""
    printing.note(f"Accuracies of {table.path} were read {'as per cent' if table.in_percent else 'as fractions'}")
    if table.unused:
        printing.note(f"Columns that are not used: {', '.join(table.unused)}")
    if table.renamed:
        names = ", ".join(f"{text} is {name}" for text, name in table.renamed.items())
        printing.note(f"Names have lower-case letters, digits and hyphens: {names}")


# ---- check ----


@pipeline.command()
@click.argument("file", metavar="FILE|PIPELINE")
@click.option("--models", type=FOLDER, help="Check the models in this folder as well: [PIPELINE/]STAGE/VARIANT/.")
@json_option
def check(file: str, models: Path | None, as_json: bool) -> None:
    """Check a pipeline file, and show what it can serve and which values follow from rules.

    Each mistake in the file is reported with its line, and the exit code is 2. What is allowed but likely to surprise
    is a warning on stderr. With --models, each model is started and tested: whether a batch gives the outputs that its
    requests give alone, and whether each stage accepts the outputs of the one before.
    """
    pipeline = ipa.profiles.load(file)
    warnings = list(studies.profile.warnings(pipeline)) + ([] if models is None else _of_models(file, pipeline, models))
    if as_json:
        printing.print_json({**studies.profile.checked(pipeline), "warnings": warnings})
        return
    _print_variants(pipeline)
    _print_graph(pipeline)
    _print_ends(pipeline)
    _print_rules(pipeline)
    for warning in warnings:
        printing.log(f"Warning: {warning}")


def _of_models(file: str, pipeline: Pipeline, models: Path) -> list[str]:
    pairs = [(stage.name, target.name) for stage in pipeline.stages for target in stage.variants]
    targets = studies.profiling.targets_of(pipeline, models, pairs)
    batches = [(target, pipeline.stage(target.stage).variant(target.variant).batches()) for target in targets]
    return list(studies.profiling.check(batches, pipeline, 1, Effort(), file))


def _print_variants(pipeline: Pipeline) -> None:
    table = printing.new_table(
        f"{pipeline.name}: SLA {studies.profile.sla_sum(pipeline)}",
        *("stage", "variant", "accuracy", "cores", "batches", "p99 s", "rps", "starts in s"),
        names=2,
    )
    for stage in pipeline.stages:
        for variant in stage.variants:
            table.add_row(
                stage.name,
                variant.name,
                f"{100 * variant.accuracy:.2f}",
                f"{variant.base_cores}" + (f" ({gpus} GPU{'s' * (gpus > 1)})" if (gpus := variant.gpus) else ""),
                _sizes(variant.batches()),
                f"{variant.p99_s(1):.3g}",
                f"{ipa.profiles.default_rules.replica_rps(pipeline.defaults, stage, variant):.4g}",
                f"{variant.start_up_s:g}",
            )
    printing.print_table(table)


def _sizes(batches: Sequence[int]) -> str:
    """All of up to three sizes; of more the first two and the last."""
    shown = batches if len(batches) <= 3 else (batches[0], batches[1], f"... {batches[-1]}")
    return ", ".join(map(str, shown))


def _print_graph(pipeline: Pipeline) -> None:
    """Print edges, joins and paths; nothing for a chain."""
    edges = studies.profile.edge_lines(pipeline)
    if not edges:
        return
    table = printing.new_table("Graph", "stage", "after", "items per item", "join", "items per request", names=4)
    for edge in edges:
        per_request = f"{edge.low:.3g}" if edge.low == edge.high else f"{edge.low:.3g} (low), {edge.high:.3g} (high)"
        table.add_row(edge.stage, edge.after or "(entry)", edge.items, edge.join, per_request)
    printing.print_table(table)
    ways = printing.new_table("Ways", "way", "takes at least s", names=1)
    ways.columns[0].no_wrap = False
    for way in studies.profile.way_lines(pipeline):
        ways.add_row(" → ".join(way.stages), f"{way.fastest_s:.3g}")
    printing.print_table(ways)
    printing.print_line(f"Accuracy: {studies.profile.accuracy_said(pipeline)}.")


def _print_ends(pipeline: Pipeline) -> None:
    table = printing.new_table(
        "What it can do",
        *("policy", "variants", "PAS", f"cores at {pipeline.defaults.load_rps:g} rps", "serves up to rps"),
        names=2,
        folds_names=True,
    )
    for end in studies.profile.ends(pipeline):
        variants = ", ".join(end.variants.values())
        table.add_row(f"scale-only:{end.name}", variants, f"{end.pas:.2f}", str(end.cores), f"{end.most_rps:.0f}")
    printing.print_table(table)
    printing.print_line(
        "p99 s: at batch 1. rps: of a replica, at its best batch size within the stage's SLA. Loads are forecasts; up "
        f"to rps: with {studies.profile.MOST_REPLICAS} replicas at the slowest stage."
    )


def _print_rules(pipeline: Pipeline) -> None:
    rules = list(studies.profile.ruled(pipeline))
    if rules:
        table = printing.new_table("By rule", "key", "value", "why", names=3)
        table.columns[1].no_wrap = table.columns[2].no_wrap = False
        for rule in rules:
            table.add_row(rule.key, rule.value, rule.why)
        printing.print_table(table)
