"""Plots of latencies and violations over time, and of the distribution of the latency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ipa.sim import FloatArray
from ipa.studies.many import PolicyRuns
from ipa.studies.pages.clock import lengths
from ipa.studies.pages.colours import ARRIVALS, FAILED, MUTED, SLA_COLOUR, colour
from ipa.studies.pages.panels import panel_titles, stacked
from ipa.studies.pages.plots import (
    Plot,
    Spec,
    axis,
    bars,
    key,
    layout,
    line,
    log_axis,
    note,
    numbers,
    safe,
    sla_key,
    sla_line,
)
from ipa.studies.pages.scene import Scene
from ipa.studies.series import VIOLATIONS, bin_s, latency_curve, latency_quantiles_s, violation_counts

SHARE = "share of all requests (%)"

_KINDS = {"late": "#e8a33d", "dropped": SLA_COLOUR, "failed": FAILED, "unfinished": "#8b949b"}


def share_line(x: FloatArray, y: FloatArray, name: str, style: Spec, **keys: Any) -> Spec:
    """A cumulative distribution: latencies (x) and the percentage that took no longer (y)."""
    return line(numbers(x, 5), numbers(y), name, style, hovertemplate="%{y:.2f} % within %{x:.3f} s", **keys)


def quantile_line(x: Sequence[object], values: FloatArray, name: str, style: Spec, **keys: Any) -> Spec:
    """A quantile over time, with markers if there are few values."""
    shown: Spec = {"mode": "lines" if len(x) > 20 else "lines+markers", "marker": {"size": 4}}
    return line(x, numbers(values, 4), name, style, hovertemplate="%{y:.3f} s", **{**shown, **keys})


def latency(scene: Scene) -> Plot:
    """The median and the 99 % quantile of the latency, in bins of time."""
    sla_s = scene.sla_s
    of_policies = [latency_quantiles_s(group.tables, group.duration_s, (0.5, 0.99)) for group in scene.groups]
    completed = [values[np.isfinite(values)] for _, values in of_policies]
    highest = max([sla_s, *(float(values.max()) for values in completed if len(values))])
    titles = panel_titles(scene.groups, ["" if len(values) else "nothing completed" for values in completed])
    panels, spec = stacked(titles, scene.clock.axis(), "latency (s)", 1.08 * highest, hovermode="x unified")
    traces = [
        key(f"p{quantile}", f"p{quantile}", {"color": MUTED, "width": width})
        for quantile, width in ((50, 2.2), (99, 1.2))
    ]
    traces.append(sla_key(sla_s))
    for panel, group, (middle_s, (p50_s, p99_s)) in zip(panels, scene.groups, of_policies, strict=True):
        x = scene.clock.moments(middle_s)
        for name, width, values in (("p99", 1.1, p99_s), ("p50", 2.2, p50_s)):
            style = {"color": colour(group.place), "width": width}
            traces.append(quantile_line(x, values, name, style, legendgroup=name, showlegend=False, **panel.axes))
        spec["shapes"].append(sla_line(sla_s, reference=panel.reference))
    return Plot(
        "latency",
        "Latency over time",
        "Median (thick) and 99 % quantile (thin) of the requests that arrived in each "
        f"{bin_s(scene.clock.duration_s):g} s and completed; late above the dashed line, a gap where none completed."
        f"{scene.first}",
        traces,
        spec,
    )


def violations(scene: Scene) -> Plot | None:
    """The requests that violated the SLA, by kind, in bins of time; None if there are none."""
    of_policies = [violation_counts(group.tables, group.duration_s, group.sla_s) for group in scene.groups]
    highest = max(int(np.sum(list(counts.values()), axis=0).max()) for _, counts in of_policies)
    if not highest:
        return None
    totals = [sum(int(counts_of_kind.sum()) for counts_of_kind in counts.values()) for _, counts in of_policies]
    titles = []
    for group, total in zip(scene.groups, totals, strict=True):
        requests = int(group.runs[0].summary["requests"])
        share = f" ({100.0 * total / requests:.2f} %)" if requests else ""
        titles.append(f"{total:,} of {requests:,} requests{share}")
    panels, spec = stacked(
        panel_titles(scene.groups, titles),
        scene.clock.axis(),
        f"requests per {bin_s(scene.clock.duration_s):g} s",
        1.1 * highest,
        barmode="stack",
        bargap=0,
    )
    shown = [
        kind
        for kind in VIOLATIONS
        if kind in ("late", "dropped") or any(counts[kind].any() for _, counts in of_policies)
    ]
    traces = [
        bars(
            scene.clock.moments((edges_s[:-1] + edges_s[1:]) / 2.0),
            counts[kind].tolist(),
            kind,
            _KINDS[kind],
            width=lengths(np.diff(edges_s)),
            hovertemplate=f"%{{x}}<br>{kind}: %{{y}}<extra></extra>",
            legendgroup=kind,
            showlegend=panel is panels[0],
            **panel.axes,
        )
        for panel, (edges_s, counts) in zip(panels, of_policies, strict=True)
        for kind in shown
    ]
    return Plot(
        "violations",
        "Drops and SLA violations",
        "Requests by the time they arrived that were answered late or not at all; "
        f"an empty panel is a policy that kept the SLA.{scene.first}",
        traces,
        spec,
    )


MOST_CURVES = 5
"""With more policies, the distribution of each has a panel of its own."""

Curves = Sequence[tuple[PolicyRuns, tuple[FloatArray, FloatArray]]]
"""Each policy's latencies and shares."""


def distribution(scene: Scene) -> Plot:
    """The distribution of the latency over all seeds, of all requests."""
    sla_s = scene.sla_s
    curves = [(group, curve) for group in scene.groups if len((curve := _curve(group, sla_s))[0])]
    seen_s = [sla_s, *(float(x[end]) for _, (x, _) in curves for end in (0, -1))]
    x_axis = log_axis("latency (s)", min(seen_s), max(seen_s))
    several = len(curves) > MOST_CURVES
    pooled = " Seeds together." if any(len(group.runs) > 1 for group in scene.groups) else ""
    beside = f" Grey: {curves[0][0].label}, to compare with." if several else ""
    return Plot(
        "distribution",
        "Distribution of the latency",
        "Share of all requests answered within a latency (logarithmic): at the dashed line, the share within the SLA; "
        f"requests never answered keep a curve below 100 %.{pooled}{beside}",
        *(_in_panels if several else _in_one)(curves, x_axis, sla_s),
    )


def _curve(group: PolicyRuns, sla_s: float) -> tuple[FloatArray, FloatArray]:
    x, y = latency_curve([run.tables for run in group.runs], sla_s)
    return x[x > 0.0], y[x > 0.0]


def _of_policy(group: PolicyRuns, curve: tuple[FloatArray, FloatArray], colour: str, **keys: Any) -> Spec:
    return share_line(*curve, safe(group.label), {"color": colour, "width": 2}, **keys)


def _in_one(curves: Curves, x_axis: Spec, sla_s: float) -> tuple[list[Spec], Spec]:
    traces = [_of_policy(group, curve, colour(group.place)) for group, curve in curves]
    return [*traces, sla_key(sla_s)], layout(
        440,
        xaxis=x_axis,
        yaxis=axis(SHARE, range=[0.0, 101.0]),
        shapes=[sla_line(sla_s, vertical=True)],
        annotations=[] if curves else [note("nothing completed", x=0.3, y=0.5)],
    )


def _in_panels(curves: Curves, x_axis: Spec, sla_s: float) -> tuple[list[Spec], Spec]:
    """A panel for each policy, with the first policy's curve in grey."""
    panels, spec = stacked(panel_titles([group for group, _ in curves], [""] * len(curves)), x_axis, SHARE, 101.0)
    traces = [sla_key(sla_s)]
    for panel, (group, curve) in zip(panels, curves, strict=True):
        hidden: Spec = {"showlegend": False, **panel.axes}
        if panel is not panels[0]:
            traces.append(_of_policy(*curves[0], ARRIVALS, **hidden))
        traces.append(_of_policy(group, curve, colour(group.place), **hidden))
        spec["shapes"].append(sla_line(sla_s, vertical=True, reference=panel.reference))
    return traces, spec
