"""A pipeline's profiles as one HTML page: tables, plots, and where each number comes from."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from ipa.profiles import Pipeline, Stage, Variant
from ipa.studies.pages.colours import SLA_COLOUR, in_css
from ipa.studies.pages.document import facts, html_document
from ipa.studies.pages.profile_curves import VIEWS, colours, plot
from ipa.studies.pages.table import Cell, html_table
from ipa.studies.profile import MARKS, besides, counts, pins, sla_sum, sources
from ipa.studies.runs.results import write_text


def render(pipeline: Pipeline, stages: Sequence[Stage]) -> str:
    """The page for some stages of a pipeline; the same pipeline gives the same page, byte for byte.

    Raises ScenarioError where plotly is not installed.
    """
    subtitle = f"{escape(pipeline.description)}<br>SLA, end to end: {sla_sum(pipeline)}"
    sections = "".join(_section(pipeline, stage) for stage in stages)
    return html_document(f"Pipeline {pipeline.name}: profiles", subtitle, sections + _sources(pipeline, stages))


def write(pipeline: Pipeline, stages: Sequence[Stage], path: Path) -> None:
    """Write the page to a file, whole or not at all. Raises as `render`, and for an unusable path."""
    write_text(render(pipeline, stages), path)


def _section(pipeline: Pipeline, stage: Stage) -> str:
    pinned = f"pinned; the rule gives {stage.sla_rule_s:.4g} s" if stage.sla_why else "by the rule"
    task = stage.task[:1].upper() + stage.task[1:]
    reading = (
        f"{escape(task)}. Accuracy is {escape(stage.accuracy_metric)}. SLA of the stage: "
        f"{stage.sla_s:.4g} s ({pinned}). Base cores carry {stage.threshold_rps:g} rps."
    )
    said = facts({**pins([stage]), **besides([stage])})
    plots = "".join(f"<div>{plot(pipeline, stage, view).html()}</div>\n" for view in VIEWS)
    return (
        f'<section class="long">\n<h2>{escape(stage.name)}</h2>\n<p class="muted">{reading}</p>\n{_table(stage)}'
        f'<p class="key">{_key(stage)}</p>\n<div class="pair">\n{plots}</div>\n{said}</section>\n'
    )


def _key(stage: Stage) -> str:
    """What the colours, markers and lines of the plots stand for."""
    named = zip(stage.variants, colours(stage), strict=True)
    return "".join(
        [
            *(
                f'<span><i style="background:{in_css(colour)}"></i>{escape(variant.name)}</span>'
                for variant, colour in named
            ),
            *(f"<span>{mark.sign} {kind}</span>" for kind, mark in MARKS.items()),
            f'<span><b style="color:{in_css(SLA_COLOUR)}">- - -</b> SLA of the stage</span>',
        ]
    )


def _table(stage: Stage) -> str:
    """The variants at their base cores."""
    large = min(variant.max_batch() for variant in stage.variants)
    columns = ("variant", "accuracy", "base cores", "start-up", "mean, batch 1", "p99, batch 1", "rps, batch 1")
    rows = [
        (
            variant.name,
            f"{100 * variant.accuracy:.2f}",
            _base_cores(stage, variant),
            f"{variant.start_up_s:g} s",
            f"{variant.mean_s(1):.3f} s",
            f"{variant.p99_s(1):.3f} s",
            f"{variant.throughput_rps(1):.2f}",
            f"{variant.throughput_rps(large):.2f}",
        )
        for variant in stage.variants
    ]
    return html_table((*columns, f"rps, batch {large}"), rows, name=f"Variants of {stage.name} at their base cores")


def _base_cores(stage: Stage, variant: Variant) -> Cell:
    rule = stage.base_cores_rule(variant.name) or "none"
    return Cell(f"{variant.base_cores}", f"pinned; rule: {rule}" if variant.base_cores_why else "")


def _sources(pipeline: Pipeline, stages: Sequence[Stage]) -> str:
    total = counts(pipeline, stages)
    shares = ", ".join(f"{count} {kind}" for kind, count in total.items() if count)
    origins = {key: pipeline.provenance[key] for key in sources(pipeline, stages)}
    listed = {f"{MARKS[origin.kind].sign} {key}": f"{origin.kind}: {origin.text}" for key, origin in origins.items()}
    return (
        '<section class="long">\n<h2>Where the numbers come from</h2>\n'
        f'<p class="muted">Of the {sum(total.values())} latencies and throughputs of these profiles: {shares}.</p>\n'
        f"{facts(listed)}</section>\n"
    )
