"""A fleet as a page: its budget over time, and what it costs each pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipa.studies.fleets import sentences
from ipa.studies.pages.colours import PALETTE, SLA_COLOUR, TEXT
from ipa.studies.pages.document import Items, Page, Part, Section, Table
from ipa.studies.pages.plots import Plot, Spec, axis, layout, numbers, ruler, safe, steps

if TYPE_CHECKING:
    from ipa.sim import FloatArray
    from ipa.studies.fleets import FleetAnswers


def page(answers: FleetAnswers) -> Page:
    """The page; the same answers give the same page."""
    fleet = answers.fleet
    subtitle = f"{fleet.budget} {fleet.unit} for {len(fleet.pipelines)} pipelines, shared by {fleet.sharing}"
    parts: list[Part] = [
        Section("Who pays for whom", [Items(list(sentences(answers)))]),
        over_time(answers),
        _table(answers),
    ]
    return Page(f"Fleet: {fleet.title}", [subtitle], parts)


def over_time(answers: FleetAnswers) -> Plot:
    """What each pipeline gets, stacked; what all want together, dashed; and the budget."""
    unit, budget = answers.fleet.unit, answers.fleet.budget
    times_s = np.unique(np.concatenate([units.times_s for units in answers.over_time.values()]))
    traces: list[Spec] = []
    wanted = np.zeros(len(times_s))
    for place, (name, (own_s, wants, gets)) in enumerate(answers.over_time.items()):
        colour = PALETTE[place % len(PALETTE)]
        wanted += _held(times_s, own_s, wants)
        style: Spec = {"color": colour, "width": 0.8}
        area = {"stackgroup": "parts", "fillcolor": colour, "hovertemplate": f"%{{y}} {unit}"}
        traces.append(steps(numbers(times_s), numbers(_held(times_s, own_s, gets)), safe(name), style, **area))
    dashed: Spec = {"color": TEXT, "width": 1.6, "dash": "dash"}
    traces.append(steps(numbers(times_s), numbers(wanted), "wanted, all together", dashed))
    most = 1.08 * max(float(wanted.max()), budget)
    shapes = [ruler(budget, {"color": SLA_COLOUR, "width": 1.4})]
    note = (
        f"The areas are the {unit} that the pipelines' decisions take, together at most the budget of {budget} {unit} "
        "(the red line). What one gives back is free once its replicas are gone. Dashed: what all would decide alone."
    )
    return Plot(
        "budget",
        "The budget over time",
        note,
        traces,
        layout(380, xaxis=axis("time (s)"), yaxis=axis(unit, range=[0, most]), shapes=shapes, hovermode="x unified"),
    )


def _held(times_s: FloatArray, own_s: FloatArray, units: FloatArray) -> FloatArray:
    """What a pipeline has at these times: each holds from its step to the next; 0 once its load has ended, before
    that of others."""
    ended = np.append(units, units[-1] if own_s[-1] == times_s[-1] else 0.0)
    held: FloatArray = ended[np.searchsorted(own_s, times_s, "right") - 1]
    return held


def _table(answers: FleetAnswers) -> Section:
    fleet = answers.fleet
    costs, note = ["late (%)", "PAS"], f"{fleet.unit[0].upper()}{fleet.unit[1:]} are means over time."
    if answers.has_alone:
        costs = ["late (%), alone", "late (%)", f"with {fleet.one_more}", "PAS, alone", "PAS"]
        note += " Alone, a pipeline has the whole budget."
    columns = ("pipeline", "priority", "wants", "gets", *costs)
    rows = [
        (
            row.name,
            f"{row.priority:g}",
            f"{row.wanted:.2f}",
            f"{row.got:.2f}",
            *(f"{100 * outcome.late:.2f}" for outcome in (row.alone, row.fleet, row.more) if outcome is not None),
            *(
                "-" if outcome.pas is None else f"{outcome.pas:.2f}"
                for outcome in (row.alone, row.fleet)
                if outcome is not None
            ),
        )
        for row in answers.rows
    ]
    return Section("The pipelines", [Table("pipelines", columns, rows)], note)
