"""Bands of what was decided: a part for each stage, a row for each policy, the variant in force as a colour."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from html import escape
from math import isfinite
from textwrap import wrap
from typing import Any

from ipa.policies import Entry, Explanation, OptimisingPolicy
from ipa.studies.formatting import number
from ipa.studies.many import Group
from ipa.studies.pages.clock import TIME, clock, lengths, moments, time_axis
from ipa.studies.pages.colours import BACKGROUND, HUES, ON_DARK, ON_LIGHT, between, colour, coloured
from ipa.studies.pages.plots import Plot, Spec, axis, layout
from ipa.studies.runs import explained, planner
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


# ---- why each decision was made, in the few lines that the pointer shows ----


LINE = 58
"""The width of the lines, in letters; longer ones are continued."""

_BINDING = {
    "none": "no limit keeps a better one out",
    "sla": "bound by the SLA",
    "cores": "bound by the limit of cores",
    "replicas": "bound by the limit of replicas",
    "sla+cores": "bound by the SLA and the limit of cores together",
    "variants": "bound by the variants allowed",
}


class Reasons:
    """The reasons of the decisions of a policy's first seed, by their steps."""

    def __init__(self, group: Group) -> None:
        self._run = group.runs[0]
        table = group.tables["decisions"].drop_duplicates("step")
        self._rows: dict[int, Mapping[Any, Any]] = {int(row["step"]): row for row in table.to_dict("records")}
        self._kept: dict[int, str] = {}

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps that decided."""
        return tuple(self._rows)

    def of(self, step: int) -> str:
        """Why the decision of a step was made, as HTML in lines."""
        if step not in self._kept:
            lines = [*_lines(self._rows[step]), *self._second(step), *_notes(self._rows[step])]
            self._kept[step] = "<br>".join(part for line in lines for part in _wrapped(line))
        return self._kept[step]

    def _second(self, step: int) -> Iterator[str]:
        entry = self._entries.get(step)
        found = explained(self._planner, entry) if self._planner and entry else None
        if found is not None:
            yield _runner_up(found)
        if entry is not None and entry.decision.why is not None:
            yield from _prices(entry.decision.why)

    @cached_property
    def _planner(self) -> OptimisingPolicy | None:
        try:
            return planner(self._run.scenario)
        except (KeyError, ValueError):
            return None  # results of an earlier version, or made by hand

    @cached_property
    def _entries(self) -> Mapping[int, Entry]:
        try:
            return {entry.observation.step: entry for entry in self._run.entries}
        except ValueError:
            return {}  # kept without its journal


def _lines(row: Mapping[Any, Any]) -> Iterator[str]:
    forecast, planned = row["forecast_rps"], row["planned_load_rps"]
    if isfinite(forecast):
        yield f"forecast {number(forecast, 1)} rps" + (
            f", planned for {number(planned, 1)}" if isfinite(planned) else ""
        )
    if row.get("rung") not in (None, "optimal"):
        yield "at the start" if row["rung"] == "initial" else f"rung: {row['rung']}"
    if isinstance(row.get("binding"), str):
        yield _BINDING.get(row["binding"], f"bound by {row['binding']}")
    if not row.get("feasible", True):
        yield "load, SLA and limits could not all be met"
    if not row.get("accepted", True):
        yield "refused: the configuration before stayed"


def _notes(row: Mapping[Any, Any]) -> Iterator[str]:
    if row.get("notes"):
        yield from str(row["notes"]).split("; ")


def _runner_up(found: Explanation) -> str:
    second = found.runner_up
    if second is None:
        return "no runner-up"
    changed = [
        f"{stage} {wanted.variants} {wanted.replicas}×b{wanted.batch}"
        for stage, wanted in second.configuration.items()
        if wanted != found.configuration[stage]
    ]
    less = f"objective {second.difference:.2g} less" if second.difference else "equally good"
    return f"runner-up: {', '.join(changed)}; {less}"


def _prices(why: Mapping[str, Any]) -> Iterator[str]:
    """What a full journal says that a little more would bring."""
    for key, what in (("one_more_core", "one more core"), ("ten_ms_of_sla", "10 ms more of SLA")):
        price = why.get(key)
        if isinstance(price, Mapping):
            yield f"{what}: {_worth(price)}"


def _worth(price: Mapping[str, Any]) -> str:
    if price.get("configuration") is None:
        return "no other plan"
    gain = price.get("gain")
    return f"rung {price.get('rung')}" if gain is None else f"objective {gain:.2g} more"


def _wrapped(line: str) -> list[str]:
    return [escape(part, quote=False) for part in wrap(line, LINE, subsequent_indent="  ")]
