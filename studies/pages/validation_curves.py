"""The plots of a validation: live and simulated on top of each other."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from ipa.studies.pages.clock import moments, time_axis
from ipa.studies.pages.colours import PALETTE, SLA_COLOUR, TEXT, faded
from ipa.studies.pages.panels import panel_title, stacked_panels
from ipa.studies.pages.plots import Plot, Spec, axis, key, layout, numbers, sla_line, steps
from ipa.studies.series import bin_s, latency_curve, latency_quantiles_s, load_rps
from ipa.studies.validation import GRID_S, JUDGED_UP_TO, FloatArray, Tables, Validation, Windows, busiest, ready_at

LIVE, SIMULATED, OPEN_LOOP = PALETTE[:3]


def plots(validation: Validation) -> list[Plot]:
    """All plots, in the order of the page."""
    return [
        distribution(validation),
        latency(validation),
        replicas(validation),
        utilisation(validation),
        load(validation),
    ]


def distribution(validation: Validation) -> Plot:
    """The distribution of the latency: each repeat, and the simulations."""
    sla_s = validation.prepared.sla_s
    curves = [
        *(
            (f"live {number}", [run], faded(LIVE, 0.6), 1.2)
            for number, run in enumerate(validation.worlds.live, start=1)
        ),
        ("simulated with the live decisions", validation.worlds.open_loop, OPEN_LOOP, 1.5),
        ("simulated", [validation.worlds.simulated], SIMULATED, 2.0),
    ]
    traces, ends_s = [], [sla_s]
    for name, runs, colour, width in curves:
        x, y = latency_curve(runs, sla_s)
        ends_s += [float(x[-1])] if len(x) else []
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": numbers(x, 5),
                "y": numbers(y),
                "name": name,
                "line": {"color": colour, "width": width, **({"dash": "dot"} if colour == OPEN_LOOP else {})},
                "hovertemplate": "%{y:.2f} % within %{x:.3f} s",
            }
        )
    slowest_s = max(ends_s[1:], default=sla_s)
    shows_sla = slowest_s > 0.5 * sla_s
    if shows_sla:
        traces.append(_sla_key(sla_s))
    return Plot(
        "distribution",
        "Distribution of the latency",
        "Share of all requests answered within a latency, of the whole run. The simulator is right where its line lies "
        "among those of the live repeats.",
        traces,
        layout(
            440,
            xaxis=axis("latency (s)", range=[0.0, 1.05 * (max(slowest_s, sla_s) if shows_sla else slowest_s)]),
            yaxis=axis("share of all requests (%)", range=[0.0, 101.0]),
            shapes=[sla_line(sla_s, vertical=True)] if shows_sla else [],
        ),
    )


def latency(validation: Validation) -> Plot:
    """The median and the 99 % quantile over time."""
    duration_s, sla_s = validation.prepared.trace.duration_s, validation.prepared.sla_s
    worlds = (("live", validation.worlds.live, LIVE), ("simulated", [validation.worlds.simulated], SIMULATED))
    traces, highest = [], 0.0
    for name, runs, colour in worlds:
        middle_s, (median_s, p99_s) = _quantiles_over_time(runs, duration_s)
        highest = max(highest, float(np.nanmax(p99_s, initial=0.0)))
        for quantile, values, width, dash in (("p50", median_s, 2.2, "solid"), ("p99", p99_s, 1.4, "dash")):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "x": moments(middle_s),
                    "y": numbers(values, 4),
                    "name": f"{name}, {quantile}",
                    "line": {"color": colour, "width": width, "dash": dash},
                    "marker": {"size": 4},
                    "hovertemplate": "%{y:.3f} s",
                }
            )
    shows_sla = highest > 0.5 * sla_s
    return Plot(
        "latency",
        "Latency over time",
        f"Median and 99 % quantile of the requests that arrived in each {bin_s(duration_s):g} s and completed; live: "
        "the repeats together.",
        [*traces, *([_sla_key(sla_s)] if shows_sla else [])],
        layout(
            400,
            xaxis=time_axis(duration_s),
            yaxis=axis("latency (s)", range=[0.0, 1.08 * max(highest, sla_s if shows_sla else highest, 1e-3)]),
            shapes=[sla_line(sla_s)] if shows_sla else [],
            hovermode="x unified",
        ),
    )


def _quantiles_over_time(runs: Sequence[Tables], duration_s: float) -> tuple[FloatArray, FloatArray]:
    import pandas as pd

    return latency_quantiles_s({"requests": pd.concat([run["requests"] for run in runs])}, duration_s, (0.5, 0.99))


def replicas(validation: Validation) -> Plot:
    """The replicas ready at each stage over time."""
    duration_s = validation.prepared.trace.duration_s
    moments_s = np.arange(0.0, duration_s + GRID_S / 2, GRID_S)
    worlds = [
        *((f"live {number}", run, faded(LIVE, 0.6), 1.5) for number, run in enumerate(validation.worlds.live, start=1)),
        ("simulated", validation.worlds.simulated, SIMULATED, 1.8),
    ]
    counted = [
        [(name, ready_at(run["replicas"], stage, moments_s), colour, width) for name, run, colour, width in worlds]
        for stage in validation.stages
    ]
    highest = max(int(ready.max()) for lines in counted for _, ready, *_ in lines)
    shares = validation.replicas_alike_percent
    grid = stacked_panels(
        [
            panel_title(escape(stage, quote=False), TEXT, f"as many in both {shares[stage]:.1f} % of the time")
            for stage in validation.stages
        ],
        time_axis(duration_s),
        "replicas ready",
        1.15 * max(highest, 1),
        hovermode="x unified",
    )
    traces: list[Spec] = [
        key("live, each repeat", "live", line={"color": LIVE, "width": 2}),
        key("simulated", "simulated", line={"color": SIMULATED, "width": 2}),
    ]
    for place, lines in enumerate(counted):
        for name, ready, colour, width in lines:
            kept = np.flatnonzero(np.diff(ready, prepend=-1))  # only where the number changes
            x, y = np.append(moments_s[kept], duration_s), np.append(ready[kept], ready[-1])
            traces.append(
                steps(
                    moments(x),
                    numbers(y, 0),
                    name,
                    line={"color": colour, "width": width},
                    hovertemplate="%{y}",
                    showlegend=False,
                    **grid.axes(place),
                )
            )
    return Plot(
        "replicas",
        "Replicas over time",
        "Replicas that are ready, stage by stage. A shift to the right is a start-up that takes longer than measured.",
        traces,
        grid.layout,
    )


def utilisation(validation: Validation) -> Plot:
    """How busy the busiest stage was in each window."""
    windows: Windows = validation.windows
    traces = []
    for name, runs, colour in (
        ("live", validation.worlds.live, LIVE),
        ("simulated", [validation.worlds.simulated], SIMULATED),
    ):
        busy = 100.0 * busiest(runs, windows)
        x, y = windows.edges_s, np.append(busy, busy[-1:])
        traces.append(
            steps(moments(x), numbers(y, 1), name, line={"color": colour, "width": 2}, hovertemplate="%{y:.0f} %")
        )
    limit = sla_line(100.0 * JUDGED_UP_TO) | {"line": {"color": TEXT, "width": 1, "dash": "dot"}}
    return Plot(
        "utilisation",
        "Utilisation",
        "Of the time of a stage's ready replicas the share in which they served, in the busiest stage; live: the mean "
        f"over the repeats. Windows above the dotted line ({100 * JUDGED_UP_TO:g} %) have no verdict: nearer to "
        "saturation a small difference grows without bound.",
        traces,
        layout(
            300,
            xaxis=time_axis(float(windows.edges_s[-1])),
            yaxis=axis("busiest stage (%)", range=[0.0, 105.0]),
            shapes=[limit],
            hovermode="x unified",
        ),
    )


def load(validation: Validation) -> Plot:
    """The arrivals at the pipeline, as they reached the gateway and as the trace has them."""
    duration_s = validation.prepared.trace.duration_s
    traces = []
    for name, run, colour, width in (
        ("live 1", validation.worlds.live[0], LIVE, 1.6),
        ("simulated", validation.worlds.simulated, SIMULATED, 1.0),
    ):
        x, y = load_rps(run, duration_s).line
        traces.append(
            steps(moments(x), numbers(y), name, line={"color": colour, "width": width}, hovertemplate="%{y:.0f} rps")
        )
    return Plot(
        "load",
        "Load",
        "Requests that arrived each second: the live ones as the gateway received them.",
        traces,
        layout(
            300,
            xaxis=time_axis(duration_s),
            yaxis=axis("load (requests per second)", rangemode="tozero"),
            hovermode="x unified",
        ),
    )


def _sla_key(sla_s: float) -> Spec:
    return key(f"SLA {sla_s:.4g} s", "sla", line={"color": SLA_COLOUR, "dash": "dash", "width": 1.2})
