"""The text of a pipeline file made from measured latencies, with what the rules say as comments to edit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ipa.profiles import rules
from ipa.profiles.errors import ProfileError
from ipa.profiles.latencies import Latencies, Row
from ipa.profiles.pipeline import Pipeline
from ipa.profiles.schema import PipelineFile
from ipa.profiles.stage import Stage
from ipa.profiles.yaml_file import parse_yaml, validate_document

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 ./()-]*")
_WORDS = ("null", "true", "false")


def pipeline_text(table: Latencies, name: str) -> str:
    """The text of a valid pipeline file of that name.

    Numbers are those of the table. What it leaves out is said under `provenance`: a throughput is batch / mean_s, a
    start-up the rule's. SLAs, base cores and defaults are the rules', each in a comment with its value. ProfileError if
    the rules find no base cores for a variant.
    """
    text = "\n".join(_body(table, name)) + "\n"
    try:
        pipeline = validate_document(PipelineFile, parse_yaml(text, table.path)).pipeline()
    except ProfileError as error:
        raise ProfileError(re.sub(r"^(.*?):\d+: ", r"\1: ", str(error), flags=re.MULTILINE)) from None
    for stage in pipeline.stages:
        said = "".join(f"    {line}\n" for line in _stage_rules(stage))
        text = text.replace(f"  # the rules of {stage.name}\n", said)
    return text + "\n".join(_defaults(pipeline)) + "\n"


def _body(table: Latencies, name: str) -> Iterator[str]:
    source = _text(" and ".join(Path(file).name for file in table.files))
    rows = [row for variants in table.stages.values() for measured in variants.values() for row in measured]
    accuracies = "in per cent" if table.in_percent else "as fractions"
    yield f"# Made from {source}: {len(rows)} measurements, accuracies {accuracies}."
    yield "# Every line that is commented out says what a rule gives: edit it and take the # away to say otherwise."
    yield "# `ipa pipeline check` checks this file and explains its rules."
    yield from ("schema_version: 1", "kind: pipeline", f"name: {_text(name)}")
    yield f"description: {_text(' then '.join(table.stages) + ', measured')}"
    yield ""
    yield _beside("provenance:", "where the numbers come from")
    yield f"  measured: {{kind: measured, source: {source}}}"
    if any(row.throughput_rps is None for row in rows):
        yield "  served: {kind: interpolated, law: throughput_rps = batch / mean_s}"
    yield ""
    yield "stages:"
    for stage, variants in table.stages.items():
        yield f"  - name: {_text(stage)}"
        yield f"    task: {_text(stage)}"
        first = next(iter(variants.values()))[0]
        yield f"    accuracy_metric: {_text(first.accuracy_metric or 'accuracy')}"
        yield f"  # the rules of {stage}"
        yield "    variants:"
        for variant, measured in variants.items():
            yield from _variant(variant, measured)
        yield ""


def _variant(name: str, rows: Sequence[Row]) -> Iterator[str]:
    yield f"      - name: {_text(name)}"
    yield f"        accuracy: {{value: {rows[0].accuracy!r}, from: measured}}"
    start_up_s = rows[0].start_up_s
    if start_up_s is None:
        yield f"        # start_up: {{seconds: {rules.START_UP_S:g}, from: measured}}"
    else:
        yield f"        start_up: {{seconds: {start_up_s!r}, from: measured}}"
    yield "        figures:"
    for row in sorted(rows, key=lambda row: (row.cores, row.batch)):
        figure = row.figure()
        source = "{mean: measured, p99: measured, throughput: served}" if row.throughput_rps is None else "measured"
        yield (
            f"          - {{cores: {figure.cores}, batch: {figure.batch}, mean_s: {figure.mean_s!r}, "
            f"p99_s: {figure.p99_s!r}, throughput_rps: {figure.throughput_rps!r}, from: {source}}}"
        )


def _stage_rules(stage: Stage) -> Iterator[str]:
    yield _beside(f"# sla: {{pinned_s: {stage.sla_s:.6g}, why: ...}}", "25 x the mean p99 at batch 1 and most cores")
    yield _beside(f"# threshold_rps: {stage.threshold_rps!r}", "what the fewest cores that keep the SLA carry")


def _defaults(pipeline: Pipeline) -> Iterator[str]:
    defaults = pipeline.defaults
    yield "# What policies use unless told otherwise; any key may be left out."
    yield "# defaults:"
    yield _beside(f"#   load_rps: {defaults.load_rps:g}", "a usual forecast, for which the rules are made")
    yield _beside(f"#   alpha: {defaults.alpha:g}", "of accuracy; low and high are worth the same then")
    yield _beside(f"#   beta: {defaults.beta:g}", "of a core")
    yield _beside(f"#   load_margin: {defaults.load_margin:g}", "planned load = forecast x (1 + margin)")
    yield _beside("#   scale_only:", "low: the lightest variants, high: the most accurate that keep the SLA")
    for label, chosen in defaults.scale_only.items():
        yield f"#     {label}: {_mapping(chosen)}"
    yield "#   # replicas with which the lightest variants carry 1.5 x load_rps:"
    yield f"#   switch_only_replicas: {_mapping(defaults.switch_only_replicas)}"


def _beside(text: str, comment: str) -> str:
    return f"{text:<33} # {comment}"


def _mapping(values: Mapping[str, object]) -> str:
    shown = (f"{key}: {_text(value) if isinstance(value, str) else value}" for key, value in values.items())
    return "{" + ", ".join(shown) + "}"


def _text(text: str) -> str:
    """A text as a YAML scalar: as it stands if that is plain text, in quotes otherwise."""
    is_plain = _PLAIN.fullmatch(text) and text.strip() == text and text.lower() not in _WORDS
    return text if is_plain else json.dumps(text)
