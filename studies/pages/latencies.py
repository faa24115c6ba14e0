"""How requests were answered: latencies and violations over time, and the distribution of the latency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ipa.sim import FloatArray
from ipa.studies.many import Group
from ipa.studies.pages.clock import lengths, moments, time_axis
from ipa.studies.pages.colours import ARRIVALS, FAILED, MUTED, SLA_COLOUR, colour
from ipa.studies.pages.panels import panel_titles, stacked_panels
from ipa.studies.pages.plots import Plot, Spec, axis, key, layout, log_ticks, note, numbers, sla_line
from ipa.studies.series import VIOLATIONS, bin_s, latency_curve, latency_quantiles_s, violation_counts

_KINDS = {
    "late": ("late", "#e8a33d"),
    "dropped": ("dropped", SLA_COLOUR),
    "failed": ("failed", FAILED),
    "unfinished": ("unfinished", "#8b949b"),
}


def latency(groups: Sequence[Group], duration_s: float, sla_s: float, first: str) -> Plot:
    """The median and the 99 % quantile of the latency, in bins of time."""
    found = [latency_quantiles_s(group.tables, duration_s, (0.5, 0.99)) for group in groups]
    seen = [values[np.isfinite(values)] for _, values in found]
    highest = max([sla_s, *(float(values.max()) for values in seen if len(values))])
    grid = stacked_panels(
        panel_titles(groups, ["" if len(values) else "nothing completed" for values in seen]),
        time_axis(duration_s),
        "latency (s)",
        1.08 * highest,
        hovermode="x unified",
        shapes=[],
    )
    traces = [
        key("p50", "p50", line={"color": MUTED, "width": 2.2}),
        key("p99", "p99", line={"color": MUTED, "width": 1.2}),
        key(f"SLA {sla_s:.4g} s", "sla", line={"color": SLA_COLOUR, "width": 1.2, "dash": "dash"}),
    ]
    for place, (group, (middle_s, values)) in enumerate(zip(groups, found, strict=True)):
        mode = "lines" if len(middle_s) > 20 else "lines+markers"
        for name, width, row in (("p99", 1.1, values[1]), ("p50", 2.2, values[0])):
            traces.append(
                {
                    "type": "scatter",
                    "mode": mode,
                    "x": moments(middle_s),
                    "y": numbers(row, 4),
                    "name": name,
                    "line": {"color": colour(group.place), "width": width},
                    "marker": {"size": 4},
                    "hovertemplate": "%{y:.3f} s",
                    "legendgroup": name,
                    "showlegend": False,
                    **grid.axes(place),
                }
            )
        grid.layout["shapes"].append(sla_line(sla_s, reference=grid.references[place]))
    return Plot(
        "latency",
        "Latency over time",
        f"Median (thick) and 99 % quantile (thin) of the requests that arrived in each {bin_s(duration_s):g} s and "
        f"completed; late above the dashed line, a gap where none completed.{first}",
        traces,
        grid.layout,
    )


def violations(groups: Sequence[Group], duration_s: float, sla_s: float, first: str) -> Plot | None:
    """The requests that violated the SLA, by how, in bins of time; None where none did."""
    found = [violation_counts(group.tables, duration_s, sla_s) for group in groups]
    highest = max(int(sum(counts.values()).max()) for _, counts in found)  # type: ignore[union-attr]
    if not highest:
        return None
    titles = []
    for group, (_, counts) in zip(groups, found, strict=True):
        total, requests = sum(int(of.sum()) for of in counts.values()), int(group.runs[0].summary["requests"])
        share = f" ({100.0 * total / requests:.2f} %)" if requests else ""
        titles.append(f"{total:,} of {requests:,} requests{share}")
    grid = stacked_panels(
        panel_titles(groups, titles),
        time_axis(duration_s),
        f"requests per {bin_s(duration_s):g} s",
        1.1 * highest,
        barmode="stack",
        bargap=0,
    )
    shown = [
        kind for kind in VIOLATIONS if kind in ("late", "dropped") or any(counts[kind].any() for _, counts in found)
    ]
    traces = []
    for place, (edges_s, counts) in enumerate(found):
        for kind in shown:
            name, colour = _KINDS[kind]
            traces.append(
                {
                    "type": "bar",
                    "x": moments((edges_s[:-1] + edges_s[1:]) / 2.0),
                    "y": [int(count) for count in counts[kind]],
                    "width": lengths(np.diff(edges_s)),
                    "name": name,
                    "marker": {"color": colour, "line": {"width": 0}},
                    "hovertemplate": f"%{{x}}<br>{name}: %{{y}}<extra></extra>",
                    "legendgroup": kind,
                    "showlegend": place == 0,
                    **grid.axes(place),
                }
            )
    return Plot(
        "violations",
        "Drops and SLA violations",
        "Requests by the time they arrived that were answered late or not at all; "
        f"an empty panel is a policy that kept the SLA.{first}",
        traces,
        grid.layout,
    )


MOST_CURVES = 5
"""With more policies than these, the distribution of each has a panel of its own."""


def distribution(groups: Sequence[Group], sla_s: float) -> Plot:
    """The distribution of the latency over all seeds, of all requests."""
    curves = [(group, curve) for group in groups if len((curve := _curve(group, sla_s))[0])]
    seen_s = [sla_s, *(float(x[end]) for _, (x, _) in curves for end in (0, -1))]
    x_axis = axis(
        "latency (s)",
        type="log",
        range=numbers(np.log10([0.9 * min(seen_s), 1.1 * max(seen_s)])),
        **log_ticks(min(seen_s), max(seen_s)),
    )
    several = len(curves) > MOST_CURVES
    pooled = " Seeds together." if any(len(group.runs) > 1 for group in groups) else ""
    beside = f" Grey: {curves[0][0].label}, to compare with." if several else ""
    return Plot(
        "distribution",
        "Distribution of the latency",
        "Share of all requests answered within a latency (logarithmic): at the dashed line, the share within the SLA; "
        f"requests never answered keep a curve below 100 %.{pooled}{beside}",
        *(_in_panels if several else _in_one)(curves, x_axis, sla_s),
    )


Curves = Sequence[tuple[Group, tuple[FloatArray, FloatArray]]]
"""Each policy's latencies and shares."""


def _curve(group: Group, sla_s: float) -> tuple[FloatArray, FloatArray]:
    x, y = latency_curve([run.tables for run in group.runs], sla_s)
    return x[x > 0.0], y[x > 0.0]


def _line(curve: tuple[FloatArray, FloatArray], name: str, colour: str, **more: object) -> Spec:
    x, y = curve
    return {
        "type": "scatter",
        "mode": "lines",
        "x": numbers(x, 5),
        "y": numbers(y),
        "name": name,
        "line": {"color": colour, "width": 2},
        "hovertemplate": "%{y:.2f} % within %{x:.3f} s",
        **more,
    }


def _sla_key(sla_s: float) -> Spec:
    return key(f"SLA {sla_s:.4g} s", "sla", line={"color": SLA_COLOUR, "dash": "dash", "width": 1.2})


def _in_one(curves: Curves, x_axis: Spec, sla_s: float) -> tuple[list[Spec], Spec]:
    traces = [_line(curve, group.label, colour(group.place)) for group, curve in curves]
    return [*traces, _sla_key(sla_s)], layout(
        440,
        xaxis=x_axis,
        yaxis=axis("share of all requests (%)", range=[0.0, 101.0]),
        shapes=[sla_line(sla_s, vertical=True)],
        annotations=[] if curves else [note("nothing completed", x=0.3, y=0.5)],
    )


def _in_panels(curves: Curves, x_axis: Spec, sla_s: float) -> tuple[list[Spec], Spec]:
    """A panel for each policy, with the curve of the first in grey."""
    grid = stacked_panels(
        panel_titles([group for group, _ in curves], [""] * len(curves)),
        x_axis,
        "share of all requests (%)",
        101.0,
        shapes=[],
    )
    first, first_curve = curves[0]
    traces = [_sla_key(sla_s)]
    for place, (group, curve) in enumerate(curves):
        if place:
            traces.append(_line(first_curve, first.label, ARRIVALS, showlegend=False, **grid.axes(place)))
        traces.append(_line(curve, group.label, colour(group.place), showlegend=False, **grid.axes(place)))
        grid.layout["shapes"].append(sla_line(sla_s, vertical=True, reference=grid.references[place]))
    return traces, grid.layout
