"""Bands of the configurations of stages: a panel for each stage, a row for each policy, a colour for each variant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ipa.studies.many import PolicyRuns
from ipa.studies.pages.clock import lengths
from ipa.studies.pages.colours import BACKGROUND, HUES, ON_DARK, ON_LIGHT, between, colour, coloured
from ipa.studies.pages.panels import Panel, placed
from ipa.studies.pages.plots import Plot, Spec, axis, layout, row_axis, rows, safe
from ipa.studies.pages.scene import Scene
from ipa.studies.plans import Over
from ipa.studies.series import segments

_MOST_GAPS = 150
"""Rows with more parts have no gaps, which would fill them."""

_ROW, _HEAD, _BOTTOM = 30, 46, 52


@dataclass(frozen=True)
class Band:
    """A part of a row with one configuration, as plotly takes it; `hover_lines`: the lines of the hover text."""

    row: int
    variant: str
    served: str
    start: float | None
    length: float
    hover_lines: tuple[str, ...]


def over_time(scene: Scene) -> Plot:
    """Variant, batch size and replicas of every stage over time, with the reasons."""
    stages = list(dict.fromkeys(scene.groups[0].tables["decisions"]["stage"].astype(str)))
    parts = {stage: _decided(scene, stage) for stage in stages}
    traces, spec = _bands(
        {stage: (_variants(scene.groups, stage), of_stage) for stage, of_stage in parts.items()},
        [coloured(label, colour(group.place)) for label, group in zip(scene.labels, scene.groups, strict=True)],
        scene.clock.axis(),
        _ROW,
    )
    return Plot(
        "bands",
        "Variants and batches",
        "What was decided for each stage: the colour is the variant, from light to heavy; written where there is room, "
        f"3×b8 is three replicas with batches of up to 8. The pointer shows why it was decided.{scene.first}",
        traces,
        spec,
    )


def by_load(plans: Over, title: str) -> Plot:
    """The configuration of each stage by the load; `title`: that of its axis."""
    x = axis(title, range=[plans.plans[0].load_rps, plans.end_rps])
    stages = list(plans.plans[0].configuration)
    traces, spec = _bands({stage: _planned(plans, stage) for stage in stages}, [""], x, 34)
    return Plot(
        "bands",
        "Variants, batches and replicas",
        "What each stage is served with, by the load: the colour is the variant, from light to heavy; written where "
        "there is room, 3×b8 is three replicas with batches of up to 8.",
        traces,
        spec,
    )


def _bands(
    stages: Mapping[str, tuple[Sequence[str], Sequence[Band]]], names: Sequence[str], x: Spec, row: int
) -> tuple[list[Spec], Spec]:
    """Traces and layout, a row for each name. `stages`: the variants of each, the lightest first, and its parts."""
    panels, inner = placed([len(names) * row] * len(stages), _HEAD)
    axes: Spec = {}
    traces: list[Spec] = []
    named: Spec = {} if any(names) else {"showticklabels": False}
    for place, (panel, (stage, (variants, parts))) in enumerate(zip(panels, stages.items(), strict=True)):
        axes |= panel.y(row_axis(names, **named)) | panel.shared_x(x) | panel.legend(stage, 4 / inner)
        traces += _stage(panel, variants, parts, HUES[place % len(HUES)])
    margin = {"l": 64, "r": 24, "t": _HEAD, "b": _BOTTOM}
    looks = {"barmode": "overlay", "bargap": 0, "uniformtext": {"minsize": 10, "mode": "hide"}}
    return traces, layout(inner + _HEAD + _BOTTOM, margin=margin, **looks, **axes)


def _stage(panel: Panel, variants: Sequence[str], parts: Sequence[Band], hue: tuple[str, str]) -> list[Spec]:
    """The traces of a stage, one per variant."""
    most = max((sum(part.row == row for part in parts) for row in {part.row for part in parts}), default=0)
    gap = {"color": BACKGROUND, "width": 0.5 if most <= _MOST_GAPS else 0.0}
    traces = []
    for place, variant in enumerate(variants):
        depth = place / (len(variants) - 1) if len(variants) > 1 else 0.35
        own = [part for part in parts if part.variant == variant]
        name = safe(variant)
        lines = "<br>".join(f"%{{customdata[{line}]}}" for line in range(1, len(own[0].hover_lines))) if own else ""
        trace = rows(
            [part.length for part in own],
            [part.row for part in own],
            name,
            between(*hue, depth),
            base=[part.start for part in own],
            width=0.8,
            text=[part.served for part in own],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"size": 11, "color": ON_DARK if depth > 0.45 else ON_LIGHT},
            customdata=[part.hover_lines for part in own],
            hovertemplate=f"<b>%{{customdata[0]}}</b><br>{name} %{{text}}<br>{lines}<extra></extra>",
            legend=f"legend{panel.reference}",
            **panel.axes,
        )
        trace["marker"]["line"] = gap
        traces.append(trace)
    return traces


def _decided(scene: Scene, stage: str) -> list[Band]:
    """The parts of a stage over time: policy, time and reason."""
    clock, parts = scene.clock, []
    for row, group in enumerate(scene.groups):
        for part in segments(group.tables["decisions"], stage, group.duration_s):
            when = f"{clock.text(part.start_s)} to {clock.text(part.end_s)}"
            served = f"{part.replicas}×b{part.batch}"
            (start,), (length,) = clock.moments([part.start_s]), lengths([part.end_s - part.start_s])
            hover_lines = (scene.labels[row], when, scene.reasons[row].of(part.step))
            parts.append(Band(row, part.variant, served, start, length, hover_lines))
    return parts


def _planned(plans: Over, stage: str) -> tuple[list[str], list[Band]]:
    """The variants of a stage by the load, the lightest first, and its parts; equal neighbours are merged."""
    parts: list[tuple[tuple[str, int, int], float, float]] = []
    ends = [*(plan.load_rps for plan in plans.plans[1:]), plans.end_rps]
    for plan, end in zip(plans.plans, ends, strict=True):
        planned = plan.configuration[stage]
        served = (planned.variant, planned.batch, planned.replicas)
        if parts and parts[-1][0] == served:
            parts[-1] = (served, parts[-1][1], end)
        else:
            parts.append((served, plan.load_rps, end))
    variants = sorted({variant for (variant, _, _), _, _ in parts}, key=plans.weight(stage))
    return variants, [
        Band(0, variant, f"{replicas}×b{batch}", start, end - start, (safe(stage), f"from {start:g} rps on"))
        for (variant, batch, replicas), start, end in parts
    ]


def _variants(groups: Sequence[PolicyRuns], stage: str) -> list[str]:
    """The variants decided for a stage, the lightest first: by accuracy, cores, then name in natural order."""
    weight: dict[str, tuple[float, int]] = {}
    for group in groups:
        accuracies = group.accuracies.get(stage, {})
        decided = group.tables["decisions"]
        decided = decided[decided["stage"] == stage]
        for variant, cores in zip(decided["variant"].astype(str), decided["cores"], strict=True):
            accuracy_and_cores = max(accuracies.get(name, 0.0) for name in variant.split(" + ")), int(cores)
            weight[variant] = min(weight.get(variant, accuracy_and_cores), accuracy_and_cores)
    return sorted(weight, key=lambda variant: (weight[variant], _natural(variant)))


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]
