"""Plans as pictures and as one HTML page: the frontier of one load, or the plan against the load."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from ipa.policies import StageConfiguration
from ipa.studies.formatting import number
from ipa.studies.pages.colours import BACKGROUND, GOOD, HUES, ON_DARK, ON_LIGHT, PALETTE, SLA_COLOUR, between
from ipa.studies.pages.document import Cell, html_document, html_table, plot_section
from ipa.studies.pages.panels import framed, grid
from ipa.studies.pages.plots import Plot, Spec, axis, layout, numbers, sla_line, steps
from ipa.studies.plans import Frontier, Over, Plan
from ipa.studies.runs.results import write_text

LOAD = "planned load, requests per second"
_ROW, _HEAD, _BOTTOM = 34, 46, 52


def write(found: Frontier | Over, path: Path) -> None:
    """Write the page to a file, whole or not at all.

    Raises ScenarioError for a path that cannot be written, and where plotly is not installed.
    """
    write_text(of_frontier(found) if isinstance(found, Frontier) else of_loads(found), path)


def of_frontier(found: Frontier) -> str:
    """The page of all Pareto-optimal plans for a load."""
    chosen = found.chosen
    subtitle = (
        f"{found.pipeline.name}, {chosen.load_rps:g} requests per second, SLA {chosen.sla_s:.4g} s, {found.policy}"
    )
    sections = plot_section(frontier_plot(found)) if found.plans else ""
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in chosen.notes)
    table = f"<section>\n<h2>The plans</h2>\n{notes}{_table(found)}</section>\n"
    return html_document("All plans worth having", escape(subtitle), sections + table)


def of_loads(found: Over) -> str:
    """The page of the plan against the load."""
    first, last = found.plans[0].load_rps, found.plans[-1].load_rps
    subtitle = f"{found.pipeline.name}, {first:g} to {last:g} requests per second, {found.policy}"
    sections = "".join(map(plot_section, load_plots(found)))
    table = f"<section>\n<h2>The plans</h2>\n{_spans_table(found)}</section>\n"
    return html_document("The plan against the load", escape(subtitle), sections + table)


def frontier_plot(found: Frontier) -> Plot:
    """The plans by their cores and accuracy, the chosen one marked."""
    cores = [plan.cores for plan in found.plans]
    accuracy = numbers((plan.objective["accuracy"] for plan in found.plans), 5)
    about = [[_described(plan), _figures(plan)] for plan in found.plans]
    hover = "<b>%{x} cores</b><br>%{customdata[0]}<br>%{customdata[1]}<extra></extra>"
    line = steps(cores, accuracy, "Pareto-optimal", line={"color": PALETTE[0]})
    points: Spec = {"mode": "lines+markers", "marker": {"color": PALETTE[0], "size": 8}}
    traces = [{**line, **points, "customdata": about, "hovertemplate": hover}]
    marked = [place for place, plan in enumerate(found.plans) if found.is_chosen(plan)]
    if marked:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "chosen",
                "x": [cores[place] for place in marked],
                "y": [accuracy[place] for place in marked],
                "marker": {"symbol": "circle-open", "size": 18, "color": GOOD, "line": {"width": 2.5, "color": GOOD}},
                "hoverinfo": "skip",
            }
        )
    return Plot(
        "frontier",
        "Accuracy and cores",
        "Every plan that keeps the SLA and sustains the load, and that no other one beats in both accuracy and cores. "
        "The accuracy is the one that the policy weighs. The pointer shows the plan.",
        traces,
        layout(
            380,
            xaxis=axis("cores of all replicas", rangemode="tozero"),
            yaxis=axis("accuracy, as the objective has it"),
        ),
    )


def load_plots(found: Over) -> list[Plot]:
    """Cores, accuracy, latency and objective by the load, and what each stage is served with."""
    return [_figures_plot(found), _bands_plot(found)]


def _figures_plot(found: Over) -> Plot:
    # The last step is drawn as long as the one before.
    plans, loads = [*found.plans, found.plans[-1]], [*(plan.load_rps for plan in found.plans), found.end_rps]
    panels = grid(
        ["Cores", "Accuracy", "Latency", "Objective"],
        [{"title": LOAD}] * 4,
        [
            {"title": "cores, stage on stage", "rangemode": "tozero"},
            {"title": "PAS"},
            {"title": "planned latency, s", "rangemode": "tozero"},
            {"title": "objective"},
        ],
        panel=230,
    )
    traces: list[Spec] = []
    for place, stage in enumerate(plans[0].configuration):
        tint = between(*HUES[place % len(HUES)], 0.55)
        cores = [float(plan.configuration[stage].total_cores) for plan in plans]
        traces.append(
            {
                **steps(loads, cores, escape(stage, quote=False), line={"color": tint, "width": 1}),
                "stackgroup": "cores",
                "hovertemplate": f"{escape(stage, quote=False)}: %{{y}} cores<extra></extra>",
                **panels.axes(0),
            }
        )
    hidden: Spec = {"showlegend": False}
    for panel, name, values in (
        (1, "PAS", [100.0 * plan.objective["pas"] for plan in plans]),
        (2, "latency", [plan.latency_s for plan in plans]),
        (3, "objective", [plan.objective["total"] for plan in plans]),
    ):
        line = {"color": PALETTE[0]}
        hover = f"%{{x:g}} rps: {name} %{{y:.4~g}}<extra></extra>"
        traces.append(
            steps(loads, numbers(values, 4), name, line=line, hovertemplate=hover, **hidden, **panels.axes(panel))
        )
    late = [plan for plan in found.plans if not plan.feasible]
    if late:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "not feasible",
                "x": [plan.load_rps for plan in late],
                "y": numbers((plan.objective["total"] for plan in late), 4),
                "marker": {"symbol": "x", "size": 7, "color": SLA_COLOUR},
                "customdata": ["<br>".join(map(escape, plan.notes)) for plan in late],
                "hovertemplate": "%{x:g} rps: %{customdata}<extra></extra>",
                **panels.axes(3),
            }
        )
    spec = {**panels.layout, "shapes": [sla_line(plans[0].sla_s, reference="3")]}
    crosses = " A cross: not feasible; the pointer says why." if late else ""
    return Plot(
        "loads",
        "What a load takes",
        f"The plan for each load, as if nothing were running yet. Dashed: the SLA.{crosses}",
        traces,
        spec,
    )


def _bands_plot(found: Over) -> Plot:
    """What each stage is served with, a row each, the variant as a colour."""
    stages = list(found.plans[0].configuration)
    part = _HEAD + _ROW
    inner = len(stages) * part - _HEAD
    axes: Spec = {}
    traces: list[Spec] = []
    for place, stage in enumerate(stages):
        reference = "" if place == 0 else str(place + 1)
        upper = 1.0 - place * part / inner
        last = place == len(stages) - 1
        axes[f"yaxis{reference}"] = axis(
            domain=[max(upper - _ROW / inner, 0.0), upper],
            range=[0.5, -0.5],
            showticklabels=False,
            ticks="",
            showgrid=False,
            fixedrange=True,
            anchor=f"x{reference}",
        )
        axes[f"xaxis{reference}"] = axis(
            LOAD if last else "",
            showticklabels=last,
            anchor=f"y{reference}",
            range=[found.plans[0].load_rps, found.end_rps],
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
        traces += _bands_of(found, stage, HUES[place % len(HUES)], reference)
    framing = framed(inner, _HEAD, _BOTTOM)
    return Plot(
        "bands",
        "Variants, batches and replicas",
        "What each stage is served with, by the load: the colour is the variant, from light to heavy; written where "
        "there is room, 3×b8 is three replicas with batches of up to 8.",
        traces,
        layout(
            inner + _HEAD + _BOTTOM,
            margin={"l": framing["margin"]["l"], "r": 24, "t": _HEAD, "b": _BOTTOM},
            barmode="overlay",
            bargap=0,
            uniformtext={"minsize": 10, "mode": "hide"},
            **axes,
        ),
    )


def _bands_of(found: Over, stage: str, hue: tuple[str, str], reference: str) -> list[Spec]:
    plans = found.plans
    ends = [*(plan.load_rps for plan in plans[1:]), found.end_rps]
    parts: list[tuple[tuple[str, int, int], float, float]] = []
    for plan, end in zip(plans, ends, strict=True):
        wanted = plan.configuration[stage]
        served = (wanted.variant, wanted.batch, wanted.replicas)
        if parts and parts[-1][0] == served:
            parts[-1] = (served, parts[-1][1], end)
        else:
            parts.append((served, plan.load_rps, end))
    variants = sorted({served[0] for served, _, _ in parts}, key=found.weight(stage))
    traces: list[Spec] = []
    for place, variant in enumerate(variants):
        depth = place / (len(variants) - 1) if len(variants) > 1 else 0.35
        own = [part for part in parts if part[0][0] == variant]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "base": numbers(start for _, start, _ in own),
                "x": numbers(end - start for _, start, end in own),
                "y": [0] * len(own),
                "width": 0.8,
                "name": escape(variant, quote=False),
                "text": [f"{replicas}×b{batch}" for (_, batch, replicas), _, _ in own],
                "textposition": "inside",
                "insidetextanchor": "middle",
                "textangle": 0,
                "textfont": {"size": 11, "color": ON_DARK if depth > 0.45 else ON_LIGHT},
                "marker": {"color": between(*hue, depth), "line": {"color": BACKGROUND, "width": 0.5}},
                "customdata": [f"{start:g} rps on" for _, start, _ in own],
                "hovertemplate": f"{escape(variant, quote=False)} %{{text}}<br>from %{{customdata}}<extra></extra>",
                "xaxis": f"x{reference}",
                "yaxis": f"y{reference}",
                "legend": f"legend{reference}",
            }
        )
    return traces


def _table(found: Frontier) -> str:
    columns: list[str | Cell] = ["Cores", "Accuracy", Cell("PAS", "x 100"), "Objective", Cell("Latency", "s")]
    rows: list[list[str | Cell]] = [
        [
            _marked(f"{plan.cores}", found.is_chosen(plan)),
            number(plan.objective["accuracy"], 4),
            number(100.0 * plan.objective["pas"], 2),
            number(plan.objective["total"], 4),
            number(plan.latency_s, 3),
            *map(_stage, plan.configuration.values()),
        ]
        for plan in found.plans
    ]
    return html_table([*columns, *found.chosen.configuration], rows, name="Pareto-optimal plans")


def _spans_table(found: Over) -> str:
    infeasible = ["Rung"] if not all(plan.feasible for plan in found.plans) else []
    rows: list[list[str | Cell]] = [
        [
            span_text(span),
            str(span[0].cores),
            number(100.0 * span[0].objective["pas"], 2),
            *map(_stage, span[0].configuration.values()),
            *([span[0].rung] if infeasible else []),
        ]
        for span in found.spans
    ]
    columns: list[str | Cell] = [Cell("Load", "rps"), "Cores", Cell("PAS", "x 100")]
    columns += [*found.plans[0].configuration, *infeasible]
    return html_table(columns, rows, name="Plans by load")


def _marked(text: str, is_chosen: bool) -> Cell:
    return Cell(f"<b>{text}</b>", "chosen") if is_chosen else Cell(text)


def _stage(wanted: StageConfiguration) -> str:
    return f"{wanted.replicas} × {wanted.variant}, batch {wanted.batch}"


def span_text(span: Sequence[Plan]) -> str:
    """The loads of plans that are alike: `7` or `7 to 9`."""
    first, last = span[0].load_rps, span[-1].load_rps
    return f"{first:.12g}" if first == last else f"{first:.12g} to {last:.12g}"


def _described(plan: Plan) -> str:
    return "<br>".join(f"{escape(stage)}: {escape(_stage(each))}" for stage, each in plan.configuration.items())


def _figures(plan: Plan) -> str:
    return (
        f"PAS {number(100.0 * plan.objective['pas'], 2)}, objective {number(plan.objective['total'], 4)}, "
        f"latency {number(plan.latency_s, 3)} s"
    )
