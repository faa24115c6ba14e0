"""Plots of plans: the Pareto-optimal plans for one load, and the plan against the load."""

from __future__ import annotations

from ipa.policies import StageConfiguration
from ipa.studies.formatting import number
from ipa.studies.pages import bands
from ipa.studies.pages.colours import GOOD, HUES, PALETTE, SLA_COLOUR, between
from ipa.studies.pages.panels import grid
from ipa.studies.pages.plots import Plot, Spec, axis, layout, numbers, points, safe, sla_line, steps
from ipa.studies.plans import Frontier, Over, Plan

LOAD = "planned load, requests per second"


def frontier_plot(frontier: Frontier) -> Plot:
    """The plans by their cores and accuracy, the chosen one marked."""
    cores = [plan.cores for plan in frontier.plans]
    accuracy = numbers((plan.objective["accuracy"] for plan in frontier.plans), 5)
    hover = "<b>%{x} cores</b><br>%{customdata[0]}<br>%{customdata[1]}<extra></extra>"
    optimal = steps(
        cores,
        accuracy,
        "Pareto-optimal",
        {"color": PALETTE[0]},
        marker={"color": PALETTE[0], "size": 8},
        customdata=[[_described(plan), _figures(plan)] for plan in frontier.plans],
        hovertemplate=hover,
    )
    traces = [optimal | {"mode": "lines+markers"}]
    marked = [place for place, plan in enumerate(frontier.plans) if frontier.is_chosen(plan)]
    if marked:
        ring = {"symbol": "circle-open", "size": 18, "color": GOOD, "line": {"width": 2.5, "color": GOOD}}
        x, y = [cores[place] for place in marked], [accuracy[place] for place in marked]
        traces.append(points(x, y, "chosen", ring, hoverinfo="skip"))
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


def load_plots(over: Over) -> list[Plot]:
    """Cores, accuracy, latency, objective and the configuration of each stage, by the load."""
    return [_figures_plot(over), bands.by_load(over, LOAD)]


def _figures_plot(over: Over) -> Plot:
    # The last step is drawn as long as the one before.
    plans, loads = [*over.plans, over.plans[-1]], [*(plan.load_rps for plan in over.plans), over.end_rps]
    titles = ("cores, stage on stage", "PAS", "planned latency, s", "objective")
    from_zero: tuple[Spec, ...] = ({"rangemode": "tozero"}, {}, {"rangemode": "tozero"}, {})
    panels, spec = grid(
        ["Cores", "Accuracy", "Latency", "Objective"],
        [{"title": LOAD}] * 4,
        [{"title": title, **keys} for title, keys in zip(titles, from_zero, strict=True)],
        panel=230,
    )
    traces: list[Spec] = []
    for place, stage in enumerate(plans[0].configuration):
        style = {"color": between(*HUES[place % len(HUES)], 0.55), "width": 1}
        cores = [float(plan.configuration[stage].total_cores) for plan in plans]
        hover = f"{safe(stage)}: %{{y}} cores<extra></extra>"
        shown = {"stackgroup": "cores", "hovertemplate": hover, **panels[0].axes}
        traces.append(steps(loads, cores, safe(stage), style, **shown))
    for panel, name, values in (
        (panels[1], "PAS", [100.0 * plan.objective["pas"] for plan in plans]),
        (panels[2], "latency", [plan.latency_s for plan in plans]),
        (panels[3], "objective", [plan.objective["total"] for plan in plans]),
    ):
        shown = {"hovertemplate": f"%{{x:g}} rps: {name} %{{y:.4~g}}<extra></extra>", "showlegend": False}
        traces.append(steps(loads, numbers(values, 4), name, {"color": PALETTE[0]}, **shown, **panel.axes))
    late = [plan for plan in over.plans if not plan.feasible]
    if late:
        traces.append(
            points(
                [plan.load_rps for plan in late],
                numbers((plan.objective["total"] for plan in late), 4),
                "not feasible",
                {"symbol": "x", "size": 7, "color": SLA_COLOUR},
                customdata=["<br>".join(map(safe, plan.notes)) for plan in late],
                hovertemplate="%{x:g} rps: %{customdata}<extra></extra>",
                **panels[3].axes,
            )
        )
    spec["shapes"] = [sla_line(plans[0].sla_s, reference=panels[2].reference)]
    crosses = " A cross: not feasible; the pointer says why." if late else ""
    reading = f"The plan for each load, as if nothing were running yet. Dashed: the SLA.{crosses}"
    return Plot("loads", "What a load takes", reading, traces, spec)


def _stage(planned: StageConfiguration) -> str:
    return f"{planned.replicas} × {planned.variant}, batch {planned.batch}"


def _described(plan: Plan) -> str:
    return "<br>".join(safe(f"{stage}: {_stage(planned)}") for stage, planned in plan.configuration.items())


def _figures(plan: Plan) -> str:
    return (
        f"PAS {number(100.0 * plan.objective['pas'], 2)}, objective {number(plan.objective['total'], 4)}, "
        f"latency {number(plan.latency_s, 3)} s"
    )
