"""How requests were answered: latencies and violations over time, and the distribution of the latency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ipa.studies.drawing import (
    MUTED,
    SLA_COLOUR,
    VIOLATIONS,
    Plot,
    axis,
    bin_s,
    key,
    latency_curve,
    latency_quantiles_s,
    layout,
    log_ticks,
    note,
    numbers,
    sla_line,
    stacked_panels,
    violation_counts,
)
from ipa.studies.report.groups import Group, panel_titles

_KINDS = {
    "late": ("late", "#e8a33d"),
    "dropped": ("dropped", "#b3261e"),
    "failed": ("failed", "#6d3f8c"),
    "unfinished": ("unfinished", "#8b949b"),
}


def latency(groups: Sequence[Group], duration_s: float, sla_s: float, first: str) -> Plot:
    """The median and the 99 % quantile of the latency, in bins of time."""
    found = [latency_quantiles_s(group.tables["requests"], duration_s, (0.5, 0.99)) for group in groups]
    seen = [values[np.isfinite(values)] for _, values in found]
    highest = max([sla_s, *(float(values.max()) for values in seen if len(values))])
    grid = stacked_panels(
        panel_titles(groups, ["" if len(values) else "nothing completed" for values in seen]),
        duration_s,
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
                    "x": numbers(middle_s),
                    "y": numbers(row, 4),
                    "name": name,
                    "line": {"color": group.colour, "width": width},
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


def violations(groups: Sequence[Group], duration_s: float, sla_s: float, first: str) -> Plot:
    """The requests that violated the SLA, by how, in bins of time."""
    found = [violation_counts(group.tables["requests"], duration_s, sla_s) for group in groups]
    highest = max(int(sum(counts.values()).max()) for _, counts in found)  # type: ignore[union-attr]
    titles = []
    for group, (_, counts) in zip(groups, found, strict=True):
        total, requests = sum(int(of.sum()) for of in counts.values()), len(group.tables["requests"])
        share = f" ({100.0 * total / requests:.2f} %)" if requests else ""
        titles.append(f"{total:,} of {requests:,} requests{share}")
    grid = stacked_panels(
        panel_titles(groups, titles),
        duration_s,
        f"requests per {bin_s(duration_s):g} s",
        1.1 * max(highest, 1),
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
                    "x": numbers((edges_s[:-1] + edges_s[1:]) / 2.0),
                    "y": [int(count) for count in counts[kind]],
                    "width": numbers(np.diff(edges_s)),
                    "name": name,
                    "marker": {"color": colour, "line": {"width": 0}},
                    "hovertemplate": f"{name}: %{{y}}<extra></extra>",
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


def distribution(groups: Sequence[Group], sla_s: float) -> Plot:
    """The distribution of the latency over all seeds, of all requests."""
    traces, fastest, slowest = [], [sla_s], [sla_s]
    for group in groups:
        x, y = latency_curve([run.tables["requests"] for run in group.runs], sla_s)
        x, y = x[x > 0.0], y[x > 0.0]
        if not len(x):
            continue
        fastest.append(float(x[0]))
        slowest.append(float(x[-1]))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": numbers(x, 5),
                "y": numbers(y),
                "name": group.label,
                "line": {"color": group.colour, "width": 2},
                "hovertemplate": "%{y:.2f} % within %{x:.3f} s",
            }
        )
    traces.append(key(f"SLA {sla_s:.4g} s", "sla", line={"color": SLA_COLOUR, "dash": "dash", "width": 1.2}))
    pooled = " Seeds together." if any(len(group.runs) > 1 for group in groups) else ""
    empty = [] if len(fastest) > 1 else [note("nothing completed", x=0.3, y=0.5)]
    return Plot(
        "distribution",
        "Distribution of the latency",
        "Share of all requests answered within a latency (logarithmic): at the dashed line, the share within the SLA; "
        f"requests never answered keep a curve below 100 %.{pooled}",
        traces,
        layout(
            440,
            xaxis=axis(
                "latency (s)",
                type="log",
                range=numbers(np.log10([0.9 * min(fastest), 1.1 * max(slowest)])),
                **log_ticks(min(fastest), max(slowest)),
            ),
            yaxis=axis("share of all requests (%)", range=[0.0, 101.0]),
            shapes=[sla_line(sla_s, vertical=True)],
            annotations=empty,
        ),
    )
