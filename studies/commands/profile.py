"""`ipa profile`: lists, shows, compares and measures profiles."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

import ipa
from ipa import studies
from ipa.studies import profiling
from ipa.studies.commands import printing, reports
from ipa.studies.commands.group import Group
from ipa.studies.commands.options import Number, output_options, page_option
from ipa.studies.commands.profile_fit import fit
from ipa.studies.commands.profile_run import run
from ipa.studies.scenario import ScenarioError


@click.group(cls=Group)
def profile() -> None:
    """Measure, inspect and compare profiles: variants, latencies, and where each number comes from."""


# ---- list ----


@profile.command("list")
@output_options
def list_(as_json: bool) -> None:
    """List the shipped pipelines with their stages, variants and SLAs."""
    pipelines = [ipa.profiles.load(name) for name in ipa.profiles.names()]
    if as_json:
        printing.print_json(
            [
                {
                    "name": pipeline.name,
                    "description": pipeline.description,
                    "sla_s": pipeline.sla_s,
                    "stages": {stage.name: [variant.name for variant in stage.variants] for stage in pipeline.stages},
                }
                for pipeline in pipelines
            ]
        )
        return
    table = printing.new_table("", "pipeline", "SLA s", "stages, each with its number of variants")
    table.columns[-1].justify = "left"
    for pipeline in pipelines:
        stages = ", ".join(f"{stage.name} ({len(stage.variants)})" for stage in pipeline.stages)
        table.add_row(pipeline.name, f"{pipeline.sla_s:.2f}", stages)
    printing.print_table(table)


# ---- show ----


@profile.command()
@click.argument("pipeline", metavar="PIPELINE|FILE")
@click.option("--stage", help="Show only this stage.")
@page_option
@output_options
def show(pipeline: str, stage: str | None, to: Path | None, as_json: bool) -> None:
    """Show accuracy, base cores, latency and throughput of every variant, and which of them are measured."""
    loaded = ipa.profiles.load(pipeline)
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


# ---- compare ----


@profile.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option(
    "--threshold",
    "threshold_percent",
    type=Number(min=0.0, max=1000.0),
    default=5.0,
    help="Ignore changes up to this many per cent. Default: 5.",
)
@click.option("--all", "shows_all", is_flag=True, help="Show what is the same or copied, too.")
@output_options
def compare(before: str, after: str, threshold_percent: float, shows_all: bool, as_json: bool) -> None:
    """Report what got worse from pipeline A to B, such as profiles of two builds of a model.

    A change counts if it exceeds the threshold and the 95 % intervals of both measurements; if these are wider or
    unknown, it is unsure. A number that both files took from one measurement is copied. Exit code 1 if anything got
    worse.
    """
    old, new = ipa.profiles.load(before), ipa.profiles.load(after)
    changes = profiling.changes(old, new, threshold_percent / 100)
    if not changes:
        raise ScenarioError(
            f"{before} and {after} have no figures in common: none of the same stage, variant, cores and batch size"
        )
    counts = Counter(change.verdict for change in changes)
    warnings = [
        f"{name}: {disturbance}"
        for name, pipeline in ((before, old), (after, new))
        for disturbance in profiling.disturbances(pipeline)
    ]
    if as_json:
        printing.print_json(
            {
                "before": before,
                "after": after,
                "counts": dict(counts),
                "warnings": warnings,
                "changes": [{**asdict(change), "ratio": change.ratio} for change in changes],
            }
        )
    else:
        shown = [change for change in changes if shows_all or change.verdict not in ("same", "copied")]
        if shown:
            _print(shown, f"{before} against {after}")
        verdicts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in profiling.VERDICTS)
        printing.print_line(f"{len(changes)} numbers: {verdicts}")
    for warning in warnings:
        printing.log(f"Warning: {warning} while it was measured")
    if counts["worse"]:
        raise click.exceptions.Exit(1)


def _print(changes: list[profiling.FigureChange], title: str) -> None:
    table = printing.new_table(
        title, "stage", "variant", "cores", "batch", "what", "before", "after", "change %", "±", "verdict", names=2
    )
    for change in changes:
        table.add_row(
            *(change.stage, change.variant, str(change.cores or ""), str(change.batch or ""), change.what),
            *(f"{change.before:.4g}", f"{change.after:.4g}", f"{100 * (change.ratio - 1):+.1f}"),
            *("?" if change.within is None else f"{100 * change.within:.1f}", change.verdict),
        )
    printing.print_table(table)


profile.add_command(run)
profile.add_command(fit)
