"""Bands of what was decided: a part for each stage, a row for each policy, the variant in force as a colour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from html import escape

from ipa.studies.many import Group
from ipa.studies.pages.clock import TIME, clock, lengths, moments, time_axis
from ipa.studies.pages.colours import BACKGROUND, HUES, ON_DARK, ON_LIGHT, between, colour, coloured
from ipa.studies.pages.plots import Plot, Spec, axis, layout
from ipa.studies.pages.reasons import Reasons
from ipa.studies.series import Segment, mixes_as_one, segments

_MOST_GAPS = 150  # with more segments in a row, the gaps between them would fill it
_ROW, _HEAD, _BOTTOM = 30, 46, 52


def bands(
    groups: Sequence[Group],
    reasons: Sequence[Reasons],
    duration_s: float,
    first: str,
    starts_at: datetime | None = None,
) -> Plot:
    """Variant, batch size and replicas of every stage over time, and why; `reasons`: one of each group."""
    stages = list(dict.fromkeys(groups[0].tables["decisions"]["stage"].astype(str)))
    rows = max(len(groups), 1)
    part = _HEAD + rows * _ROW
    inner = len(stages) * part - _HEAD
    axes: Spec = {}
    traces: list[Spec] = []
    for place, stage in enumerate(stages):
        reference = "" if place == 0 else str(place + 1)
        upper = 1.0 - place * part / inner
        last = place == len(stages) - 1
        axes[f"yaxis{reference}"] = axis(
            domain=[max(upper - rows * _ROW / inner, 0.0), upper],
            range=[rows - 0.5, -0.5],
            tickvals=list(range(rows)),
            ticktext=[coloured(g.label, colour(g.place)) for g in groups],
            ticks="",
            showgrid=False,
            fixedrange=True,
            anchor=f"x{reference}",
        )
        axes[f"xaxis{reference}"] = time_axis(
            duration_s,
            TIME if last else "",
            showticklabels=last,
            anchor=f"y{reference}",
            **({"matches": "x"} if reference else {}),
        )
        axes[f"legend{reference}"] = {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": upper + 4 / inner,
            "yanchor": "bottom",
            "title": {"text": f"<b>{escape(stage, quote=False)}</b>  ", "font": {"size": 13}},
            "traceorder": "normal",
        }
        traces += _stage(groups, reasons, stage, HUES[place % len(HUES)], duration_s, reference, starts_at)
    return Plot(
        "bands",
        "Variants and batches",
        "What was decided for each stage: the colour is the variant, from light to heavy; written where there is room, "
        f"3×b8 is three replicas with batches of up to 8. The pointer shows why it was decided.{first}",
        traces,
        layout(
            inner + _HEAD + _BOTTOM,
            margin={"l": 64, "r": 24, "t": _HEAD, "b": _BOTTOM},
            barmode="overlay",
            bargap=0,
            uniformtext={"minsize": 10, "mode": "hide"},
            **axes,
        ),
    )


def _stage(
    groups: Sequence[Group],
    reasons: Sequence[Reasons],
    stage: str,
    hue: tuple[str, str],
    duration_s: float,
    reference: str,
    starts_at: datetime | None,
) -> list[Spec]:
    """The traces of a stage, one per variant, the lightest first."""
    rows = [segments(group.tables["decisions"], stage, duration_s) for group in groups]
    gap = 0.5 if max(map(len, rows)) <= _MOST_GAPS else 0.0
    variants = _variants(groups, stage)
    traces = []
    for place, variant in enumerate(variants):
        depth = place / (len(variants) - 1) if len(variants) > 1 else 0.35
        parts = [(row, part) for row, found in enumerate(rows) for part in found if part.variant == variant]
        about = [
            [
                groups[row].label,
                " to ".join(clock(time_s, duration_s, starts_at) for time_s in (part.start_s, part.end_s)),
                reasons[row].of(part.step),
            ]
            for row, part in parts
        ]
        traces.append(
            {
                **_bars(variant, parts, about),
                "textfont": {"size": 11, "color": ON_DARK if depth > 0.45 else ON_LIGHT},
                "marker": {"color": between(*hue, depth), "line": {"color": BACKGROUND, "width": gap}},
                "xaxis": f"x{reference}",
                "yaxis": f"y{reference}",
                "legend": f"legend{reference}",
            }
        )
    return traces


def _bars(variant: str, parts: Sequence[tuple[int, Segment]], about: Sequence[Sequence[str]]) -> Spec:
    """The segments of a variant, each with its row, as bars; `about` each: whose it is, when, and why."""
    name = escape(variant, quote=False)
    return {
        "type": "bar",
        "orientation": "h",
        "base": moments(part.start_s for _, part in parts),
        "x": lengths(part.end_s - part.start_s for _, part in parts),
        "y": [row for row, _ in parts],
        "width": 0.8,
        "name": name,
        "text": [f"{part.replicas}×b{part.batch}" for _, part in parts],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "customdata": about,
        "hovertemplate": (
            f"<b>%{{customdata[0]}}</b><br>{name} %{{text}}<br>%{{customdata[1]}}<br>%{{customdata[2]}}<extra></extra>"
        ),
    }


def _variants(groups: Sequence[Group], stage: str) -> list[str]:
    """The variants decided for a stage, light ones first: by accuracy, then cores, then name with numbers in order."""
    weight: dict[str, tuple[float, int]] = {}
    for group in groups:
        accuracies = group.accuracies.get(stage, {})
        rows = mixes_as_one(group.tables["decisions"])
        rows = rows[rows["stage"] == stage]
        for variant, cores in zip(rows["variant"].astype(str), rows["cores"], strict=True):
            found = max(accuracies.get(name, 0.0) for name in variant.split(" + ")), int(cores)
            weight[variant] = min(weight.get(variant, found), found)
    return sorted(weight, key=lambda variant: (weight[variant], _natural(variant)))


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]
